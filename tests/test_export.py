"""Quantisation: each product as the plan says, weights that make up for each other's errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from transformers import BertConfig

from stance.errors import UsageError
from stance.export import (
    _int8_product,
    _Plan,
    _plan,
    _rounded,
    _weight_scale,
    export_onnx,
    quantise,
    sample_activations,
)
from stance.inputs import Encoded

RNG = np.random.default_rng(5)
Matrix = NDArray[np.float32]


def _rows(count: int = 400, channels: int = 64) -> Matrix:
    """Rows whose channels go together, as those of a network do."""
    mixed = RNG.normal(size=(count, 16)) @ RNG.normal(size=(16, channels))
    return (mixed + 0.1 * RNG.normal(size=(count, channels))).astype(np.float32)


def _matrix(channels: int = 64) -> Matrix:
    return RNG.normal(size=(channels, 32)).astype(np.float32)


def _graph(matrix: Matrix) -> onnx.ModelProto:
    """Tokens → vectors → a product with a bias."""
    table = RNG.normal(size=(50, len(matrix))).astype(np.float32)
    bias: Matrix = RNG.normal(size=(1, matrix.shape[1])).astype(np.float32)
    constants = {"table": table, "matrix": matrix, "bias": bias}
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", "tokens", matrix.shape[1]])
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["vectors"]),
        helper.make_node("MatMul", ["vectors", "matrix"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [ids], [out], [numpy_helper.from_array(v, k) for k, v in constants.items()]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def _run(model: onnx.ModelProto, ids: NDArray[np.int64]) -> Matrix:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"input_ids": ids})[0])


def _error(one: Matrix, other: Matrix) -> float:
    return float(np.sqrt(np.square(one - other).mean() / np.square(other).mean()))


def test_rows_that_are_nearly_all_positive_get_a_low_zero_point() -> None:
    positive = np.maximum(RNG.normal(size=(400, 64)), -0.05).astype(np.float32)
    assert _plan(positive, _matrix()).zero_point < 64
    assert _plan(_rows(), _matrix()).zero_point == 128


def test_outliers_are_smoothed_and_the_error_falls() -> None:
    rows, matrix = _rows(), _matrix()
    rows[:, 7] *= 60
    plan = _plan(rows, matrix)
    assert plan.factors[7] < 0.5 * np.median(plan.factors)
    exact = rows @ matrix
    plain = _Plan(np.ones(64, dtype=np.float32), 128, np.array([], dtype=np.int64))
    assert _error(_int8_product(rows, matrix, plan), exact) < _error(
        _int8_product(rows, matrix, plain), exact
    )


def test_weights_that_make_up_for_each_other_err_less_than_the_nearest_ones() -> None:
    rows, matrix = _rows(2000), _matrix()
    scale = _weight_scale(matrix) * 8  # coarse steps, so that rounding is all there is
    exact, unseen = rows[:1000] @ matrix, rows[1000:]
    nearest = np.round(matrix / scale) * scale
    chosen = _rounded(matrix, rows[:1000], scale) * scale
    assert _error(rows[:1000] @ chosen, exact) < 0.7 * _error(rows[:1000] @ nearest, exact)
    assert _error(unseen @ chosen, unseen @ matrix) < 0.7 * _error(unseen @ nearest, unseen @ matrix)


def test_a_few_wild_channels_are_left_in_fp32() -> None:
    rows, matrix = _rows(channels=256), _matrix(256)
    assert len(_plan(rows, matrix).exact) == 0
    wild = RNG.choice(256, 8, replace=False)
    # now and then only, so that dividing the channel by its largest value would drown all others
    rows[::40, wild] *= 2000
    plan = _plan(rows, matrix)
    assert set(wild) <= set(plan.exact.tolist())
    assert _error(_int8_product(rows, matrix, plan), rows @ matrix) < 0.01


@pytest.mark.parametrize(("channels", "outlier"), [(64, 1.0), (64, 40.0), (256, 4000.0)])
def test_the_int8_graph_answers_as_the_fp32_one(tmp_path: Path, channels: int, outlier: float) -> None:
    model = _graph(_matrix(channels))
    table = numpy_helper.to_array(model.graph.initializer[0]).copy()
    table[::9, 3:11] *= outlier
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(table, "table"))
    path = tmp_path / "g.onnx"
    onnx.save(model, path)
    parts = np.arange(50).reshape(5, 10)
    texts = [Encoded(ids=ids.tolist(), type_ids=[0] * 10, n_tokens=10, truncated=False) for ids in parts]
    ids = RNG.integers(0, 50, (2, 6))
    exact = _run(model, ids)
    small = quantise(model, sample_activations(path, texts))
    assert {"MatMulInteger"} <= {node.op_type for node in small.graph.node}
    assert ("Gather", "vectors") in {
        (node.op_type, node.input[0]) for node in small.graph.node
    } or outlier < 100
    assert _error(_run(small, ids), exact) < 0.02
    # one row alone: the same bits
    np.testing.assert_array_equal(_run(small, ids)[:1], _run(small, ids[:1]))


def test_samples_are_what_goes_into_the_products(tmp_path: Path) -> None:
    model = _graph(_matrix())
    path = tmp_path / "g.onnx"
    onnx.save(model, path)
    table = numpy_helper.to_array(model.graph.initializer[0])
    text = Encoded(ids=[4, 9], type_ids=[0, 0], n_tokens=2, truncated=False)
    rows = sample_activations(path, [text])["vectors"]
    assert sorted(rows[:, 0].tolist()) == sorted(table[[4, 9], 0].tolist())


def test_a_weight_that_two_products_share_serves_both(tmp_path: Path) -> None:
    model = _graph(_matrix(256))
    other = RNG.normal(size=(50, 256)).astype(np.float32)
    table = numpy_helper.to_array(model.graph.initializer[0]).copy()
    table[::4, :8] *= 500
    other[::4, 100:108] *= 500
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(table, "table"))
    model.graph.initializer.append(numpy_helper.from_array(other, "other"))
    model.graph.node.insert(0, helper.make_node("Gather", ["other", "input_ids"], ["others"]))
    model.graph.node.append(helper.make_node("MatMul", ["others", "matrix"], ["second"]))
    model.graph.output.append(
        helper.make_tensor_value_info("second", TensorProto.FLOAT, ["batch", "tokens", 32])
    )
    path = tmp_path / "g.onnx"
    onnx.save(model, path)
    parts = np.arange(50).reshape(5, 10)
    texts = [Encoded(ids=ids.tolist(), type_ids=[0] * 10, n_tokens=10, truncated=False) for ids in parts]
    exact = ort.InferenceSession(str(path)).run(None, {"input_ids": parts})
    small = quantise(model, sample_activations(path, texts)).SerializeToString()
    for found, expected in zip(
        ort.InferenceSession(small).run(None, {"input_ids": parts}), exact, strict=True
    ):
        assert _error(found, expected) < 0.02


def test_a_checkpoint_of_another_kind_is_refused_by_its_type(tmp_path: Path) -> None:
    BertConfig(num_hidden_layers=1).save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="'bert'"):
        export_onnx(tmp_path, tmp_path / "g.onnx", opset=18)
