"""Ranges: what the encoder's matmuls read is found and measured, and a scale covers it."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto
from tiny import shop_records, tiny_graph, tiny_tokenizer, write_base

from model_export.quantise import feeds
from model_export.ranges import Ranges, after_gelu, encoder_matmuls, measure, weights_of

NUMBERS = st.floats(-1000, 1000, width=32)


@pytest.fixture
def graph() -> ModelProto:
    return onnx.load_from_string(tiny_graph())


def ranges(*channels: tuple[float, float]) -> Ranges:
    lowest, highest = np.array(channels, np.float32).T
    return Ranges(lowest, highest)


def test_the_matmuls_of_the_encoder_end_before_the_heads(graph: ModelProto) -> None:
    assert len(encoder_matmuls(graph)) == 2 * 6


def test_one_matmul_of_each_layer_reads_a_gelu(graph: ModelProto) -> None:
    shapes = [tuple(weights_of(graph)[node.input[1]].dims) for node in after_gelu(graph)]
    assert shapes == [(64, 32), (64, 32)]


def test_every_tensor_that_a_matmul_reads_is_measured_by_channel(
    graph: ModelProto, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tokenizer = tiny_tokenizer(write_base(tmp_path_factory.mktemp("base")))
    found = measure(graph, feeds(tokenizer, shop_records()))
    widths = {node.input[0]: weights_of(graph)[node.input[1]].dims[0] for node in encoder_matmuls(graph)}
    assert {name: len(part.lowest) for name, part in found.items()} == widths


def test_more_feeds_never_narrow_a_range(graph: ModelProto, tmp_path_factory: pytest.TempPathFactory) -> None:
    tokenizer = tiny_tokenizer(write_base(tmp_path_factory.mktemp("base")))
    part, whole = (measure(graph, feeds(tokenizer, shop_records()[:size])) for size in (2, 12))
    for name, found in part.items():
        assert (whole[name].lowest <= found.lowest).all() and (whole[name].highest >= found.highest).all()


def test_outliers_are_the_channels_that_reach_highest() -> None:
    assert ranges((0, 1), (0, 9), (0, 2), (0, 5)).outliers(2).tolist() == [1, 3]


def test_cut_channels_do_not_widen_the_scale() -> None:
    assert ranges((0, 1), (0, 9)).scale([1]) == ranges((0, 1), (0, 1)).scale()


@given(st.lists(st.tuples(NUMBERS, NUMBERS).map(sorted), min_size=1, max_size=5))
def test_a_scale_covers_the_range_to_half_a_step(channels: list[tuple[float, float]]) -> None:
    found = ranges(*channels)
    scale, zero = found.scale()
    steps = np.array([found.lowest.min(), found.highest.max(), 0.0]) / scale + int(zero)
    assert steps.min() >= -0.51 and steps.max() <= 255.51
