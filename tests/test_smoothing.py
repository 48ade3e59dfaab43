"""Smoothing: the same answers, less uneven channels."""

import numpy as np
import onnx
import pytest
from onnx import ModelProto
from test_quantise import UNEVEN, logits
from tiny import tiny_graph, tiny_tokenizer

from model_export.quantise import feeds, make_static
from model_export.ranges import Ranges, encoder_matmuls, measure, weights_of
from model_export.smoothing import smooth
from service.text import Feed


@pytest.fixture
def graph() -> ModelProto:
    return onnx.load_from_string(tiny_graph())


@pytest.fixture(scope="module")
def calibration(base: object) -> list[Feed]:
    return feeds(tiny_tokenizer(base), UNEVEN)  # type: ignore[arg-type]


def uneven(graph: ModelProto) -> None:
    """Let one channel of each layer norm reach fifty times as far."""
    constants = weights_of(graph)
    for node in graph.graph.node:
        if node.op_type == "LayerNormalization":
            scale = onnx.numpy_helper.to_array(constants[node.input[1]]).copy()
            scale[1] *= 50
            constants[node.input[1]].CopyFrom(onnx.numpy_helper.from_array(scale, node.input[1]))


def reach(ranges: Ranges) -> float:
    """How far the channel that reaches farthest is from the median one."""
    each = np.maximum(-ranges.lowest, ranges.highest)
    return float(each.max() / np.median(each))


@pytest.mark.parametrize("share", [0.3, 0.7, 1.0])
def test_a_smoothed_graph_says_the_same(graph: ModelProto, calibration: list[Feed], share: float) -> None:
    before = logits(graph, calibration)
    smooth(graph, measure(graph, calibration), share=share)
    assert any(node.input[0].endswith("_even") for node in encoder_matmuls(graph))
    onnx.checker.check_model(graph)
    assert logits(graph, calibration) == pytest.approx(before, abs=1e-4)


def test_the_ranges_told_are_those_of_the_smoothed_graph(graph: ModelProto, calibration: list[Feed]) -> None:
    told = smooth(graph, measure(graph, calibration), share=0.7)
    for name, ranges in measure(graph, calibration).items():
        assert told[name].lowest == pytest.approx(ranges.lowest, rel=1e-3, abs=1e-4)
        assert told[name].highest == pytest.approx(ranges.highest, rel=1e-3, abs=1e-4)


def test_channels_become_more_even(graph: ModelProto, calibration: list[Feed]) -> None:
    uneven(graph)
    before = measure(graph, calibration)
    after = smooth(graph, before, share=0.7)
    for even in [name for name in after if name.endswith("_even")]:
        assert reach(after[even]) < reach(before[even.removesuffix("_even")]) / 3


def test_rounding_loses_less(graph: ModelProto, calibration: list[Feed]) -> None:
    uneven(graph)
    exact, plain = logits(graph, calibration), onnx.ModelProto()
    plain.CopyFrom(graph)
    measured = measure(graph, calibration)
    make_static(plain, measured, outliers=0)
    make_static(graph, smooth(graph, measured, share=0.7), outliers=0)
    errors = [float(np.sqrt(np.mean((logits(each, calibration) - exact) ** 2))) for each in (plain, graph)]
    assert errors[1] < 0.75 * errors[0]


def test_a_channel_that_calibration_never_saw_is_not_blown_up(graph: ModelProto, calibration: list[Feed]) -> None:
    measured = measure(graph, calibration)
    source = next(node.input[0] for node in encoder_matmuls(graph))
    measured[source].lowest[0] = measured[source].highest[0] = 0.0
    smooth(graph, measured, share=1.0)
    by = onnx.numpy_helper.to_array(weights_of(graph)[f"{source}_even_by"])
    assert by.max() <= 1000 * by.min() * 1.001
