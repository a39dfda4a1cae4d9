"""Checkpoint → model bundle: ONNX, int8 whose answers do not depend on the batch, parity checked.

Weights are quantised per output channel, activations per token: each row of a
matrix product carries a scale of its own, taken from that row alone, so a statement
gets the same answer alone as in any batch (onnxruntime's dynamic quantisation takes
one scale from the whole batch). Per-token scales are those of ZeroQuant (Yao et al.
2022, https://arxiv.org/abs/2206.01861). Both sides are unsigned: for signed weights the
int8 products of processors without VNNI add two of them in 16 bits, which overflow.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from transformers import AutoTokenizer

from stance.bundle import read_manifest, write_bundle
from stance.calibration import fit_temperature, probabilities
from stance.classifier import StanceClassifier
from stance.config import Config
from stance.errors import ExportError, UsageError
from stance.metrics import macro_f1
from stance.modeling import MeanPoolingClassifier
from stance.records import LABELS, Annotation
from stance.version import __version__

_WEIGHT_LIMIT = 127
_ACTIVATION_LIMIT = 127
_ZERO_POINT = 128


@dataclass(frozen=True)
class Parity:
    """How the bundle's answers compare with the checkpoint's on the validation split."""

    n_items: int
    flipped: float
    batch_flipped: float
    macro_f1_fp32: float
    macro_f1_int8: float
    largest_difference: float


@dataclass(frozen=True)
class Export:
    """A written bundle and its parity with the checkpoint."""

    bundle: Path
    parity: Parity
    temperature: float


def export(
    checkpoint: str | Path,
    directory: str | Path,
    *,
    config: Config,
    validation: Sequence[Annotation],
    data_sha256: str = "",
) -> Export:
    """Write the bundle of a checkpoint, unless its labels differ from the checkpoint's.

    Args:
        checkpoint: a transformers folder.
        directory: where the bundle is to be.
        config: of the training.
        validation: items held out from training, for parity and temperature.
        data_sha256: checksum of the training data, kept in the bundle.

    Raises:
        ExportError: int8 flips more labels than the config allows, or a label depends on its batch.
    """
    checkpoint = Path(checkpoint)
    with tempfile.TemporaryDirectory() as scratch:
        plain, quantised = Path(scratch) / "fp32.onnx", Path(scratch) / "int8.onnx"
        export_onnx(checkpoint, plain, opset=config.export.opset)
        onnx.save(quantise(onnx.load(plain)), quantised)
        facts: dict[str, Any] = {
            "tokenizer": checkpoint / "tokenizer.json",
            "name": config.export.name or Path(config.output).name,
            "labels": list(LABELS),
            "inputs": config.inputs,
            "pad_id": _pad_id(checkpoint),
            "encoder": config.encoder.name,
        }
        reference = StanceClassifier(write_bundle(Path(scratch) / "fp32", model=plain, **facts))
        candidate = StanceClassifier(
            write_bundle(Path(scratch) / "int8", model=quantised, quantisation="int8", **facts)
        )
        parity = compare(reference, candidate, validation)
        if parity.flipped > config.export.max_flipped:
            raise ExportError(
                f"int8 gives {parity.flipped:.1%} of {parity.n_items} validation statements another label"
                f" than fp32, allowed are {config.export.max_flipped:.1%} (export.max_flipped)"
            )
        if parity.batch_flipped:
            raise ExportError(
                f"{parity.batch_flipped:.1%} of {parity.n_items} validation statements get another label"
                " alone than in a batch"
            )
        gold = np.array([item.stance.position for item in validation])
        temperature = fit_temperature(candidate.logits([item.statement for item in validation]), gold)
        write_bundle(
            directory,
            model=quantised,
            quantisation="int8",
            temperature=temperature,
            config=config,
            data_sha256=data_sha256,
            created=datetime.now(UTC).date().isoformat(),
            scores={"validation": {k: round(v, 4) for k, v in vars(parity).items()}, "stance": __version__},
            **facts,
        )
    read_manifest(directory)
    return Export(Path(directory), parity, temperature)


def compare(reference: StanceClassifier, candidate: StanceClassifier, items: Sequence[Annotation]) -> Parity:
    """Labels of two classifiers on the same items, in batches and one by one."""
    statements = [item.statement for item in items]
    gold = np.array([item.stance.position for item in items])
    one, two = reference.logits(statements), candidate.logits(statements)
    alone = np.concatenate([candidate.logits([statement]) for statement in statements])
    first, second = one.argmax(axis=1), two.argmax(axis=1)
    return Parity(
        n_items=len(items),
        flipped=float((first != second).mean()),
        batch_flipped=float((alone.argmax(axis=1) != second).mean()),
        macro_f1_fp32=macro_f1(gold, first),
        macro_f1_int8=macro_f1(gold, second),
        largest_difference=float(np.abs(probabilities(one, 1.0) - probabilities(two, 1.0)).max()),
    )


def export_onnx(checkpoint: Path, path: Path, *, opset: int) -> None:
    """Write a checkpoint as an fp32 graph: int64 (batch, tokens) inputs, ``logits`` (batch, 4)."""
    try:
        model: torch.nn.Module = MeanPoolingClassifier.from_pretrained(
            checkpoint, dtype=torch.float32, attn_implementation="eager"
        )
        model.eval()
        tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot load the checkpoint {checkpoint}: {error}") from error
    names = [n for n in ("input_ids", "attention_mask", "token_type_ids") if n in tokenizer.model_input_names]
    sample = {name: torch.ones((2, 7), dtype=torch.int64) for name in names}
    batch, tokens = torch.export.Dim("batch", min=1, max=4096), torch.export.Dim("tokens", min=2, max=8192)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Logits(model),
            kwargs={"inputs": sample},
            f=str(path),
            input_names=names,
            output_names=["logits"],
            dynamic_shapes={"inputs": {name: {0: batch, 1: tokens} for name in names}},
            opset_version=opset,
            external_data=False,
            verbose=False,
        )


class _Logits(torch.nn.Module):
    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        logits: torch.Tensor = self.model(**inputs).logits
        return logits


def _pad_id(checkpoint: Path) -> int:
    return int(AutoTokenizer.from_pretrained(checkpoint).pad_token_id or 0)


def quantise(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace matrix products with constant weights and the word embeddings by int8 ones.

    The graph uses standard ONNX operators only. Products with two variable sides
    (attention scores) and the small classification head stay in fp32.
    """
    graph = model.graph
    weights = {t.name: t for t in graph.initializer}
    uses = [name for node in graph.node for name in node.input]
    rows: dict[str, tuple[str, str]] = {}
    nodes: list[onnx.NodeProto] = []
    new = _Initializers()
    for node in graph.node:
        if node.op_type in ("MatMul", "Gemm") and _is_large(weights.get(node.input[1])):
            nodes.extend(_quantised_product(node, weights[node.input[1]], new, rows))
        elif (
            node.op_type == "Gather"
            and _is_large(weights.get(node.input[0]))
            and uses.count(node.input[0]) == 1
        ):
            nodes.extend(_quantised_gather(node, weights[node.input[0]], new))
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [t for t in graph.initializer if t.name in used]
    del graph.initializer[:]
    graph.initializer.extend([*kept, *new.tensors])
    del graph.value_info[:]
    onnx.checker.check_model(model)
    return model


class _Initializers:
    """Constants of the new graph, each written once."""

    def __init__(self) -> None:
        self.tensors: list[onnx.TensorProto] = []
        self._names: set[str] = set()

    def add(self, name: str, value: NDArray[Any]) -> str:
        if name not in self._names:
            self._names.add(name)
            self.tensors.append(numpy_helper.from_array(value, name))
        return name


def _is_large(tensor: onnx.TensorProto | None) -> bool:
    return tensor is not None and len(tensor.dims) == 2 and min(tensor.dims) > len(LABELS)


def _quantised_product(
    node: onnx.NodeProto,
    weight: onnx.TensorProto,
    new: _Initializers,
    rows: dict[str, tuple[str, str]],
) -> list[onnx.NodeProto]:
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0 or attributes.get("transA"):
        return [node]
    matrix = numpy_helper.to_array(weight).astype(np.float32)
    if attributes.get("transB"):
        matrix = matrix.T
    scale = np.maximum(np.abs(matrix).max(axis=0), 1e-8) / _WEIGHT_LIMIT
    name, source = weight.name, node.input[0]
    integers = new.add(f"{name}_uint8", (np.round(matrix / scale) + _ZERO_POINT).astype(np.uint8))
    scales = new.add(f"{name}_scale", scale.astype(np.float32))
    zero = new.add("zero_point", np.array(_ZERO_POINT, dtype=np.uint8))
    nodes: list[onnx.NodeProto] = []
    if source not in rows:  # the projections to query, key and value share their input
        rows[source] = (f"{source}_uint8", f"{source}_row_scale")
        nodes.extend(_quantised_rows(source, *rows[source], new))
    quantised, row_scale = rows[source]
    output = node.output[0]
    result = f"{output}_unbiased" if len(node.input) > 2 else output
    nodes += [
        helper.make_node("MatMulInteger", [quantised, integers, zero, zero], [f"{output}_int32"]),
        helper.make_node("Cast", [f"{output}_int32"], [f"{output}_float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{output}_float", row_scale], [f"{output}_by_row"]),
        helper.make_node("Mul", [f"{output}_by_row", scales], [result]),
    ]
    if len(node.input) > 2:
        nodes.append(helper.make_node("Add", [result, node.input[2]], [output]))
    return nodes


def _quantised_rows(source: str, quantised: str, scale: str, new: _Initializers) -> list[onnx.NodeProto]:
    """Each row over its largest absolute value, as uint8 around 128, and the row's scale."""
    last = new.add("last_axis", np.array([-1], dtype=np.int64))
    tiny = new.add("tiny", np.array(1e-8, dtype=np.float32))
    limit = new.add("activation_limit", np.array(_ACTIVATION_LIMIT, dtype=np.float32))
    # a cast to an integer cuts the fraction off: half a step more rounds to the nearest
    offset = new.add("activation_offset", np.array(_ZERO_POINT + 0.5, dtype=np.float32))
    return [
        helper.make_node("Abs", [source], [f"{source}_abs"]),
        helper.make_node("ReduceMax", [f"{source}_abs", last], [f"{source}_max"], keepdims=1),
        helper.make_node("Max", [f"{source}_max", tiny], [f"{source}_bound"]),
        helper.make_node("Div", [f"{source}_bound", limit], [scale]),
        helper.make_node("Div", [source, scale], [f"{source}_steps"]),
        helper.make_node("Add", [f"{source}_steps", offset], [f"{source}_shifted"]),
        helper.make_node("Cast", [f"{source}_shifted"], [quantised], to=TensorProto.UINT8),
    ]


def _quantised_gather(
    node: onnx.NodeProto, weight: onnx.TensorProto, new: _Initializers
) -> list[onnx.NodeProto]:
    """Embedding rows as int8 with one scale a row."""
    matrix = numpy_helper.to_array(weight).astype(np.float32)
    scale = np.maximum(np.abs(matrix).max(axis=1, keepdims=True), 1e-8) / _ACTIVATION_LIMIT
    output, name, ids = node.output[0], weight.name, node.input[1]
    integers = new.add(f"{name}_int8", np.round(matrix / scale).astype(np.int8))
    scales = new.add(f"{name}_scale", scale.astype(np.float32))
    return [
        helper.make_node("Gather", [integers, ids], [f"{output}_int8"], axis=0),
        helper.make_node("Cast", [f"{output}_int8"], [f"{output}_float"], to=TensorProto.FLOAT),
        helper.make_node("Gather", [scales, ids], [f"{output}_scale"], axis=0),
        helper.make_node("Mul", [f"{output}_float", f"{output}_scale"], [output]),
    ]
