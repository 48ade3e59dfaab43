"""Attention written out says what the operator says, and says it alike in every place of a row."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from model_export.attention import write_out

HEADS, WIDTH = 3, 32


def attending() -> ModelProto:
    """A graph that is one Attention."""
    names = ("query", "key", "value")
    shape = ["rows", HEADS, "length", WIDTH]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names]
    inputs.append(helper.make_tensor_value_info("mask", TensorProto.BOOL, ["rows", 1, "length", "length"]))
    node = helper.make_node("Attention", [*names, "mask"], ["seen"], scale=WIDTH**-0.5)
    output = helper.make_tensor_value_info("seen", TensorProto.FLOAT, shape)
    graph = helper.make_graph([node], "attend", inputs, [output])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=11)


@pytest.fixture
def written() -> ModelProto:
    graph = attending()
    write_out(graph)
    return graph


def run(graph: ModelProto, blocks: NDArray[np.int64], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """What each token gets, (heads, length, width), when it sees block 0 and its own."""
    mask = (blocks[None, :] == 0) | (blocks[None, :] == blocks[:, None])
    feed = dict(zip(("query", "key", "value"), vectors[:, None], strict=True)) | {"mask": mask[None, None]}
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    found: NDArray[np.float32] = session.run(None, feed)[0][0]
    return found


def drawn(length: int) -> NDArray[np.float32]:
    """Queries, keys and values of so many tokens."""
    return np.random.default_rng(2).normal(size=(3, HEADS, length, WIDTH)).astype(np.float32) * 3


def test_it_says_what_the_operator_says(written: ModelProto) -> None:
    blocks = np.array([0, 0, 0, 1, 1, 2, 3, 3, 3])
    reference = run(attending(), blocks, drawn(9))
    np.testing.assert_allclose(run(written, blocks, drawn(9)), reference, atol=1e-5)


@pytest.mark.parametrize("between", [1, 5, 40, 111])
def test_a_block_gets_the_same_bits_wherever_it_stands(written: ModelProto, between: int) -> None:
    near, others = drawn(16), drawn(between)
    far = np.concatenate([near[:, :, :13], others, near[:, :, 13:]], axis=2)
    alone = run(written, np.array([0] * 13 + [1] * 3), near)
    behind = run(written, np.array([0] * 13 + [2] * between + [1] * 3), far)
    np.testing.assert_array_equal(behind[:, -3:], alone[:, -3:])


def test_a_token_that_sees_only_itself_keeps_its_value(written: ModelProto) -> None:
    vectors = drawn(4)
    np.testing.assert_allclose(run(written, np.arange(1, 5), vectors), vectors[2], atol=1e-5)


def test_the_mask_is_turned_into_numbers_once() -> None:
    graph = attending()
    second = helper.make_node("Attention", ["query", "key", "seen", "mask"], ["again"], scale=1.0)
    graph.graph.node.append(second)
    write_out(graph)
    assert [node.op_type for node in graph.graph.node].count("Where") == 1


def test_a_graph_without_attention_stays_as_it_is() -> None:
    graph = attending()
    del graph.graph.node[:]
    before = graph.SerializeToString()
    write_out(graph)
    assert graph.SerializeToString() == before


def test_what_is_written_is_whole(written: ModelProto) -> None:
    onnx.checker.check_model(written)
