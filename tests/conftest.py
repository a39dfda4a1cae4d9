"""A real model of a few hundred bytes: a bag of words whose answers can be read off its table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from stance.bundle import write_bundle
from stance.classifier import StanceClassifier
from stance.config import InputConfig
from stance.records import LABELS

# What each word adds to the logits of supportive, conditional, opposed, none.
# Eighths, so that sums are exact in any order and only a fault can change an answer.
# Padding is the loudest of all, so that a mask that lets it through changes every answer.
WORDS: dict[str, tuple[float, float, float, float]] = {
    "[PAD]": (-9.0, 9.0, -9.0, 9.0),
    "[UNK]": (0.0, 0.0, 0.0, 0.125),
    "[CLS]": (0.0, 0.0, 0.0, 0.0),
    "[SEP]": (0.0, 0.0, 0.0, 0.0),
    "send": (3.0, 0.5, 0.0, 0.0),
    "aid": (0.375, 0.25, 0.125, 0.0),
    "if": (0.0, 5.0, 0.0, 0.0),
    "stop": (0.0, 0.0, 4.0, 0.0),
    "weather": (0.0, 0.0, 0.0, 3.0),
    "kirby": (0.0, 0.0, 9.0, 0.0),
    "the": (0.0, 0.0, 0.0, 0.25),
    "speaker": (0.125, 0.125, 0.125, 0.0),
    "ukraine": (0.25, 0.25, 0.25, 0.0),
}


def _graph(path: Path) -> None:
    """Logits = sum of the table's rows of all tokens that the attention mask lets through."""
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])
    mask = helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["batch", "tokens"])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(LABELS)])
    constants = [
        numpy_helper.from_array(np.array(list(WORDS.values()), dtype=np.float32), "table"),
        numpy_helper.from_array(np.array([2], dtype=np.int64), "last"),
        numpy_helper.from_array(np.array([1], dtype=np.int64), "tokens"),
    ]
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["weights"]),
        helper.make_node("Mul", ["rows", "weights"], ["seen"]),
        helper.make_node("ReduceSum", ["seen", "tokens"], ["logits"], keepdims=0),
    ]
    graph = helper.make_graph(nodes, "bag", [ids, mask], [logits], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def _tokenizer() -> Tokenizer:
    """Lower-case words between [CLS] and [SEP], a context as second segment."""
    vocabulary = {word: i for i, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    return tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """A word-level tokenizer of a dozen words."""
    return _tokenizer()


@pytest.fixture(scope="session")
def tiny_parts(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    """A folder with ``model.onnx`` and ``tokenizer.json`` that are not yet a bundle."""
    directory = tmp_path_factory.mktemp("parts")
    _graph(directory / "model.onnx")
    tokenizer.save(str(directory / "tokenizer.json"))
    return directory


@pytest.fixture(scope="session")
def make_bundle(tiny_parts: Path) -> Callable[..., Path]:
    """Writes a bundle of the tiny model; keyword arguments are fields of its manifest."""

    def make(directory: Path, **facts: Any) -> Path:
        given = {"name": "tiny", "labels": list(LABELS), "inputs": InputConfig(max_tokens=32)} | facts
        return write_bundle(
            directory, model=tiny_parts / "model.onnx", tokenizer=tiny_parts / "tokenizer.json", **given
        )

    return make


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory, make_bundle: Callable[..., Path]) -> Path:
    """A bundle: 'send' is supportive, 'if' conditional, 'stop' opposed, 'weather' none."""
    return make_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="session")
def tiny(tiny_bundle: Path) -> StanceClassifier:
    """The classifier of `tiny_bundle`."""
    return StanceClassifier(tiny_bundle, threads=1)
