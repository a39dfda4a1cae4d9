"""Checkpoint → model bundle: ONNX, int8 whose answers do not depend on the batch, parity checked.

Weights are quantised per output channel, activations per token: each row of a
matrix product carries a scale of its own, taken from that row alone, so a statement
gets the same answer alone as in any batch (onnxruntime's dynamic quantisation takes
one scale from the whole batch). Per-token scales are those of ZeroQuant (Yao et al.
2022, https://arxiv.org/abs/2206.01861). Before, outliers are smoothed and the zero point
is moved where that makes the error of a product smaller. Both sides are unsigned: for signed weights the
int8 products of processors without VNNI add two of them in 16 bits, which overflow.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoTokenizer

from stance.bundle import read_manifest, write_bundle
from stance.calibration import fit_temperature, probabilities
from stance.classifier import StanceClassifier
from stance.config import Config
from stance.errors import ExportError, UsageError
from stance.inputs import Encoded, bare, batch_arrays, encode
from stance.metrics import macro_f1
from stance.modeling import MeanPoolingClassifier, MeanPoolingConfig
from stance.records import LABELS, Annotation, Statement
from stance.version import __version__

_WEIGHT_LIMIT = 127
_ACTIVATION_LIMIT = 127
_ZERO_POINT = 128
_LOW_ZERO_POINTS = (12, 24)
"""For rows that are nearly all positive."""
_SMOOTHING = (0.3, 0.5, 0.7)
"""How much of the outliers goes from the activations to the weights."""
_LARGEST = 255
_TINY = 1e-8
_DAMPING = 0.01
"""Share of the mean that is added to each channel's second moment; GPTQ's own choice."""
_EXACT_CHANNELS = 16
_EXACT_FROM = 256
"""Channels that a product must have for some of them to be left in fp32."""
_EXACT_GAIN = 0.6
"""Share of the squared error that may be left for that to be worth its time."""
_CALIBRATION_TEXTS = 200
_ROWS_A_TEXT = 16
"""With the number of texts: about as many rows as the widest product of common encoders has channels."""
_PLANNING_ROWS = 800
"""Enough to rank the plans, which takes a product each."""
_BLOCK = 128


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
    calibration: Sequence[Statement],
    data_sha256: str = "",
) -> Export:
    """Write the bundle of a checkpoint, unless its labels differ from the checkpoint's.

    Args:
        checkpoint: a folder that `stance.training.train` wrote.
        directory: where the bundle is to be.
        config: of the training.
        validation: items held out from training, for parity and temperature.
        calibration: statements of the training data; the ranges of the int8 values suit them.
        data_sha256: checksum of the training data, kept in the bundle.

    Raises:
        ExportError: int8 flips more labels than the config allows, or a label depends on its batch.
    """
    checkpoint = Path(checkpoint)
    with tempfile.TemporaryDirectory() as scratch:
        plain, quantised = Path(scratch) / "fp32.onnx", Path(scratch) / "int8.onnx"
        export_onnx(checkpoint, plain, opset=config.export.opset)
        activations = sample_activations(plain, _encoded(checkpoint, config, calibration))
        onnx.save(quantise(onnx.load(plain), activations), quantised)
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
        kind = AutoConfig.from_pretrained(checkpoint).model_type
        if kind != MeanPoolingConfig.model_type:
            raise UsageError(
                f"{checkpoint} holds a model of the type {kind!r}; expected a checkpoint of 'stance train'"
            )
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


def _encoded(checkpoint: Path, config: Config, statements: Sequence[Statement]) -> list[Encoded]:
    return encode(
        bare(Tokenizer.from_file(str(checkpoint / "tokenizer.json"))),
        list(statements)[:: max(len(statements) // _CALIBRATION_TEXTS, 1)],
        mask_actor=config.inputs.mask_actor,
        context=config.inputs.context,
        max_tokens=config.inputs.max_tokens,
    )


def _pad_id(checkpoint: Path) -> int:
    return int(AutoTokenizer.from_pretrained(checkpoint).pad_token_id or 0)


def sample_activations(
    graph: Path, encoded: Sequence[Encoded], *, seed: int = 0
) -> dict[str, NDArray[np.float32]]:
    """Rows that go into the large matrix products of an fp32 graph, some of each text.

    Returns:
        name of the product's input → its rows, shape (rows, channels).
    """
    model = onnx.load(graph)
    weights = {t.name: t for t in model.graph.initializer}
    sources = sorted({node.input[0] for node in model.graph.node if _is_product(node, weights)})
    inputs = [node.name for node in model.graph.input]
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in sources)
    options = ort.SessionOptions()
    # the optimiser would fuse the wanted values away
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(seed)
    rows: dict[str, list[NDArray[np.float32]]] = {name: [] for name in sources}
    for item in encoded:
        values = session.run(sources, batch_arrays([item], pad_id=0, names=inputs))
        for name, value in zip(sources, values, strict=True):
            table = value.reshape(-1, value.shape[-1])
            rows[name].append(table[rng.permutation(len(table))[:_ROWS_A_TEXT]])
    return {name: np.concatenate(parts) for name, parts in rows.items()}


@dataclass(frozen=True)
class _Plan:
    """How the input of matrix products becomes uint8.

    Each channel is multiplied by ``factors``, which the weights take over, and rounded
    around ``zero_point``. The channels in ``exact`` have the factor 0 and stay in fp32.
    """

    factors: NDArray[np.float32]
    zero_point: int
    exact: NDArray[np.int64]

    def weights(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """The matrix without the exact channels, times what the input was divided by."""
        inverse = np.divide(1, self.factors, out=np.zeros_like(self.factors), where=self.factors > 0)
        return np.asarray(matrix * inverse[:, None])


def _plan(rows: NDArray[np.float32], matrix: NDArray[np.float32]) -> _Plan:
    """The plan with the smallest error of ``rows @ matrix`` when both sides are int8.

    Channels with outliers waste the range of a row; dividing them by a factor that the
    weights take over evens that out (SmoothQuant, Xiao et al. 2022,
    https://arxiv.org/abs/2211.10438). After a GELU nearly all values are positive: a zero
    point near the end of the range leaves more of it to them. Where a few channels do
    most of the harm, they are left in fp32 (LLM.int8(), Dettmers et al. 2022,
    https://arxiv.org/abs/2208.07339).
    """
    rows = rows[:: max(len(rows) // _PLANNING_ROWS, 1)]
    product = rows @ matrix
    largest = np.maximum(np.abs(rows).max(axis=0), 1e-4)
    taken_over = np.maximum(np.abs(matrix).max(axis=1), 1e-4)
    factors = [(taken_over ** (1 - a) / largest**a).astype(np.float32) for a in _SMOOTHING]
    factors.append(np.ones(len(matrix), dtype=np.float32))

    def best(exact: NDArray[np.int64]) -> tuple[float, _Plan]:
        plans = []
        for factor in factors:
            masked = factor.copy()
            masked[exact] = 0
            plans += [_Plan(masked, zero, exact) for zero in (_ZERO_POINT, *_LOW_ZERO_POINTS)]
        errors = [float(np.square(_int8_product(rows, matrix, p) - product).sum()) for p in plans]
        return min(errors), plans[int(np.argmin(errors))]

    error, plan = best(np.array([], dtype=np.int64))
    if len(matrix) >= _EXACT_FROM:
        error_with, plan_with = best(np.sort(np.argsort(-largest)[:_EXACT_CHANNELS]))
        if error_with < _EXACT_GAIN * error:
            return plan_with
    return plan


def _int8_product(rows: NDArray[np.float32], matrix: NDArray[np.float32], plan: _Plan) -> NDArray[np.float32]:
    kept = rows[:, plan.exact] @ matrix[plan.exact]
    rows, matrix = rows * plan.factors, plan.weights(matrix)
    above, below = _LARGEST - plan.zero_point, plan.zero_point
    bounds = (rows.max(axis=1) / above, -rows.min(axis=1) / below, np.full(len(rows), _TINY))
    steps = np.max(bounds, axis=0)[:, None]
    scale = _weight_scale(matrix)
    product = (np.round(rows / steps) @ np.round(matrix / scale)) * steps * scale
    return np.asarray(product + kept, dtype=np.float32)


def _weight_scale(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Size of one integer step in each column."""
    return np.asarray(np.maximum(np.abs(matrix).max(axis=0), _TINY) / _WEIGHT_LIMIT, dtype=np.float32)


def _rounded(
    matrix: NDArray[np.float32], rows: NDArray[np.float32], scale: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Integers for the weights, each rounded so that it makes up for the error of those before it.

    GPTQ (Frantar et al. 2022, https://arxiv.org/abs/2210.17323).

    Args:
        matrix: shape (inputs, outputs).
        rows: what goes into the product, shape (rows, inputs).
        scale: size of a step, shape (outputs,).
    """
    hessian = (rows.T @ rows).astype(np.float64)
    hessian[np.diag_indices_from(hessian)] += _DAMPING * hessian.diagonal().mean() + _TINY
    spread = np.linalg.cholesky(np.linalg.inv(hessian)).T.astype(np.float32)
    left, integers = matrix.copy(), np.empty_like(matrix)
    for start in range(0, len(matrix), _BLOCK):
        block = slice(start, min(start + _BLOCK, len(matrix)))
        errors = np.empty_like(left[block])
        for i in range(block.start, block.stop):
            integers[i] = np.clip(np.round(left[i] / scale), -_WEIGHT_LIMIT, _WEIGHT_LIMIT)
            errors[i - start] = (left[i] - integers[i] * scale) / spread[i, i]
            left[i + 1 : block.stop] -= spread[i, i + 1 : block.stop, None] * errors[i - start]
        left[block.stop :] -= spread[block, block.stop :].T @ errors
    return integers


def quantise(model: onnx.ModelProto, activations: Mapping[str, NDArray[np.float32]]) -> onnx.ModelProto:
    """Replace matrix products with constant weights and the word embeddings by int8 ones.

    The graph uses standard ONNX operators only. Products with two variable sides
    (attention scores) and the small classification head stay in fp32.

    Args:
        model: the fp32 graph.
        activations: rows that go into its products (see `sample_activations`).
    """
    graph = model.graph
    weights = {t.name: t for t in graph.initializer}
    uses = [name for node in graph.node for name in node.input]
    # the projections to query, key and value share their input, and so its integers
    sharing: dict[str, list[NDArray[np.float32]]] = {}
    for node in graph.node:
        if _is_product(node, weights):
            sharing.setdefault(node.input[0], []).append(_matrix(node, weights))
    plans = {
        source: _plan(activations[source], np.concatenate(matrices, axis=1))
        for source, matrices in sharing.items()
    }
    quantised: set[str] = set()
    nodes: list[onnx.NodeProto] = []
    new = _Initializers()
    for node in graph.node:
        if _is_product(node, weights):
            source = node.input[0]
            if source not in quantised:
                quantised.add(source)
                nodes.extend(_quantised_rows(source, plans[source], new))
            nodes.extend(
                _quantised_product(node, _matrix(node, weights), activations[source], plans[source], new)
            )
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

    def zero_point(self, value: int) -> str:
        return self.add(f"zero_point_{value}", np.array(value, dtype=np.uint8))


def _is_large(tensor: onnx.TensorProto | None) -> bool:
    return tensor is not None and len(tensor.dims) == 2 and min(tensor.dims) > len(LABELS)


def _is_product(node: onnx.NodeProto, weights: Mapping[str, onnx.TensorProto]) -> bool:
    """Whether a node multiplies rows with a large constant matrix and does no more than add a bias."""
    if node.op_type not in ("MatMul", "Gemm") or not _is_large(weights.get(node.input[1])):
        return False
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    plain = attributes.get("alpha", 1.0) == 1.0 and attributes.get("beta", 1.0) == 1.0
    return plain and not attributes.get("transA")


def _matrix(node: onnx.NodeProto, weights: Mapping[str, onnx.TensorProto]) -> NDArray[np.float32]:
    """The constant side of a product, shape (inputs, outputs)."""
    matrix = numpy_helper.to_array(weights[node.input[1]]).astype(np.float32)
    transposed = any(a.name == "transB" and a.i for a in node.attribute)
    return matrix.T if transposed else matrix


def _quantised_product(
    node: onnx.NodeProto,
    matrix: NDArray[np.float32],
    rows: NDArray[np.float32],
    plan: _Plan,
    new: _Initializers,
) -> list[onnx.NodeProto]:
    kept = matrix[plan.exact]
    matrix, rows = plan.weights(matrix), rows * plan.factors
    scale = _weight_scale(matrix)
    source, name, output = node.input[0], node.input[1], node.output[0]
    # a weight that two products share is rounded for each, because their inputs differ
    name = f"{source}_{name}"
    integers = new.add(f"{name}_uint8", (_rounded(matrix, rows, scale) + _ZERO_POINT).astype(np.uint8))
    terms = [f"{output}_by_row_and_column"]
    nodes = [
        helper.make_node(
            "MatMulInteger",
            [f"{source}_uint8", integers, new.zero_point(plan.zero_point), new.zero_point(_ZERO_POINT)],
            [f"{output}_int32"],
        ),
        helper.make_node("Cast", [f"{output}_int32"], [f"{output}_float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{output}_float", f"{source}_row_scale"], [f"{output}_by_row"]),
        helper.make_node("Mul", [f"{output}_by_row", new.add(f"{name}_scale", scale)], terms[:1]),
    ]
    if len(plan.exact):
        terms.append(f"{output}_exact")
        nodes.append(
            helper.make_node("MatMul", [f"{source}_exact", new.add(f"{name}_exact", kept)], terms[-1:])
        )
    terms += node.input[2:]
    total = terms[0]
    for i, term in enumerate(terms[1:], 1):
        sums = output if i == len(terms) - 1 else f"{output}_sum_{i}"
        nodes.append(helper.make_node("Add", [total, term], [sums]))
        total = sums
    nodes[-1].output[0] = output
    return nodes


def _quantised_rows(source: str, plan: _Plan, new: _Initializers) -> list[onnx.NodeProto]:
    """Each row as uint8 around the plan's zero point, in steps that just hold its extremes."""
    nodes, smooth = [], source
    if (plan.factors != 1).any():
        smooth = f"{source}_smooth"
        factors = new.add(f"{source}_factors", plan.factors)
        nodes.append(helper.make_node("Mul", [source, factors], [smooth]))
    if len(plan.exact):
        channels = new.add(f"{source}_exact_channels", plan.exact)
        nodes.append(helper.make_node("Gather", [source, channels], [f"{source}_exact"], axis=-1))
    zero = plan.zero_point
    last = new.add("last_axis", np.array([-1], dtype=np.int64))
    tiny = new.add("tiny", np.array(_TINY, dtype=np.float32))
    above = new.add(f"above_{zero}", np.array(1 / (_LARGEST - zero), dtype=np.float32))
    below = new.add(f"below_{zero}", np.array(-1 / zero, dtype=np.float32))
    # a cast to an integer cuts the fraction off: half a step more rounds to the nearest
    offset = new.add(f"offset_{zero}", np.array(zero + 0.5, dtype=np.float32))
    scale = f"{source}_row_scale"
    return [
        *nodes,
        helper.make_node("ReduceMax", [smooth, last], [f"{source}_max"], keepdims=1),
        helper.make_node("ReduceMin", [smooth, last], [f"{source}_min"], keepdims=1),
        helper.make_node("Mul", [f"{source}_max", above], [f"{source}_above"]),
        helper.make_node("Mul", [f"{source}_min", below], [f"{source}_below"]),
        helper.make_node("Max", [f"{source}_above", f"{source}_below", tiny], [scale]),
        helper.make_node("Div", [smooth, scale], [f"{source}_steps"]),
        helper.make_node("Add", [f"{source}_steps", offset], [f"{source}_shifted"]),
        helper.make_node("Cast", [f"{source}_shifted"], [f"{source}_uint8"], to=TensorProto.UINT8),
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
