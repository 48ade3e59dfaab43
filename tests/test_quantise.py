"""Quantising: every part stays within its rounding, and a logit stays a fact of its row alone."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from tiny import shop_records, tiny_config, tiny_graph, tiny_tokenizer

from model_export import quantise, records
from model_export.config import Config
from model_export.export import FP32
from model_export.quantise import INT8, add_excess, feeds, make_static, part_residuals, store_tables
from model_export.ranges import encoder_matmuls, measure, weights_of
from model_export.records import Record
from model_export.rows import packed
from model_export.verify import batched_difference
from service.model import OUTPUTS, Model, open_graph
from service.text import Feed, Tokenizer

UNEVEN = [*shop_records(), Record("红色羊毛地毯", ("颜色", "材质"), (1.0, 1.0), (None, None))]


class Stage(NamedTuple):
    """A quantised graph with where it came from."""

    config: Config
    examples: Path
    exported: Path
    out: Path
    outcome: dict[str, Any]


@pytest.fixture(scope="module")
def tokenizer(base: Path) -> Tokenizer:
    return tiny_tokenizer(base)


@pytest.fixture
def graph() -> ModelProto:
    return onnx.load_from_string(tiny_graph())


@pytest.fixture(scope="module")
def done(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The whole stage, run once."""
    config = tiny_config(base)
    examples, exported, out = (tmp_path_factory.mktemp(name) for name in ("examples", "exported", "out"))
    records.write(examples / "shop.train.jsonl", UNEVEN)
    (exported / FP32).write_bytes(tiny_graph())
    return Stage(config, examples, exported, out, quantise.quantise(config, examples, exported, out))


def run(graph: ModelProto, feed: Feed) -> list[NDArray[np.float32]]:
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    answer: list[NDArray[np.float32]] = session.run([output.name for output in graph.graph.output], feed)
    return answer


def logits(graph: ModelProto, calibration: list[Feed]) -> NDArray[np.float32]:
    return np.concatenate([run(graph, feed)[0].ravel() for feed in calibration])


def multiplying(weights: NDArray[np.float32]) -> tuple[ModelProto, NodeProto]:
    """A graph that is one matmul, and the matmul."""
    width, out = weights.shape
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph(
        [node],
        "multiply",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", out])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return model, model.graph.node[0]


def test_a_feed_has_no_padding(tokenizer: Tokenizer) -> None:
    assert all((feed["block_ids"] >= 0).all() for feed in feeds(tokenizer, UNEVEN))


def test_static_matmuls_leave_the_answers_nearly_the_same(tokenizer: Tokenizer, graph: ModelProto) -> None:
    calibration = feeds(tokenizer, UNEVEN)
    reference = logits(graph, calibration)
    make_static(graph, measure(graph, calibration), outliers=2)
    assert np.abs(logits(graph, calibration) - reference).mean() < 0.25 * reference.std()


def test_weights_of_static_matmuls_are_int8(tokenizer: Tokenizer, graph: ModelProto) -> None:
    names = [node.input[1] for node in encoder_matmuls(graph)]
    make_static(graph, measure(graph, feeds(tokenizer, UNEVEN)), outliers=2)
    assert {weights_of(graph)[f"{name}_int8"].data_type for name in names} == {TensorProto.INT8}


def test_matmuls_that_read_the_same_round_it_once(tokenizer: Tokenizer, graph: ModelProto) -> None:
    read = {node.input[0] for node in encoder_matmuls(graph)}
    make_static(graph, measure(graph, feeds(tokenizer, UNEVEN)), outliers=0)
    assert [node.op_type for node in graph.graph.node].count("QuantizeLinear") == len(read)


def test_onnxruntime_multiplies_static_matmuls_in_int8(tokenizer: Tokenizer, graph: ModelProto, tmp_path: Path) -> None:
    make_static(graph, measure(graph, feeds(tokenizer, UNEVEN)), outliers=2)
    assert optimised(graph, tmp_path).count("MatMulIntegerToFloat") == 12


def optimised(graph: ModelProto, folder: Path) -> list[str]:
    """The operators that onnxruntime really runs."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 4
    ort.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(folder / "optimised.onnx").graph.node]


def test_excess_is_what_a_cut_input_loses() -> None:
    generator = np.random.default_rng(5)
    weights, values = (generator.normal(size=shape).astype(np.float32) for shape in ((6, 4), (9, 6)))
    values[:, [1, 4]] *= 50
    values[:, [0, 2, 3, 5]] = values[:, [0, 2, 3, 5]].clip(max=1.5)
    graph, node = multiplying(weights)
    add_excess(graph, node, [1, 4], limit=np.float32(1.5))
    whole, cut = values @ weights, values.clip(max=1.5) @ weights
    (found,) = run(graph, {"x": values})  # nothing cuts this input, so the excess comes on top of the whole
    np.testing.assert_allclose(found - whole, whole - cut, atol=1e-3)


def test_a_graph_with_excess_is_whole() -> None:
    graph, node = multiplying(np.eye(4, dtype=np.float32))
    add_excess(graph, node, [0], limit=np.float32(1))
    onnx.checker.check_model(graph)


def test_parted_residuals_answer_the_same(tokenizer: Tokenizer, graph: ModelProto) -> None:
    calibration = feeds(tokenizer, UNEVEN)
    reference = logits(graph, calibration)
    part_residuals(graph)
    np.testing.assert_allclose(logits(graph, calibration), reference, atol=2e-5)


def test_parted_residuals_are_not_fused_with_layer_norms(graph: ModelProto, tmp_path: Path) -> None:
    part_residuals(graph)
    assert "SkipLayerNormalization" not in optimised(graph, tmp_path)


def looking_up(table: NDArray[np.float32]) -> ModelProto:
    """A graph that gives the rows of a table."""
    return helper.make_model(
        helper.make_graph(
            [helper.make_node("Gather", ["table", "places"], ["rows"])],
            "look up",
            [helper.make_tensor_value_info("places", TensorProto.INT64, ["length"])],
            [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["length", table.shape[1]])],
            [numpy_helper.from_array(table, "table")],
        ),
        opset_imports=[helper.make_opsetid("", 21)],
        ir_version=10,
    )


def uneven_table(rows: int) -> NDArray[np.float32]:
    """Rows of very different sizes, and one of nothing."""
    generator = np.random.default_rng(3)
    table = generator.normal(size=(rows, 8)) * np.logspace(-3, 3, rows)[:, None]
    table[7] = 0
    return np.asarray(table, np.float32)


def test_a_quantised_table_is_within_half_a_step_of_each_row() -> None:
    table = uneven_table(300)
    graph = looking_up(table)
    store_tables(graph)
    (rows,) = run(graph, {"places": np.arange(300)})
    step = np.abs(table).max(axis=1, keepdims=True) / 127
    assert (np.abs(rows - table) <= step * 0.5001 + 1e-9).all()


def test_a_quantised_table_is_stored_in_int8() -> None:
    graph = looking_up(uneven_table(300))
    store_tables(graph)
    stored = [tensor for tensor in graph.graph.initializer if tensor.dims[1] == 8]
    assert [tensor.data_type for tensor in stored] == [TensorProto.INT8]


def test_a_graph_with_a_quantised_table_is_whole() -> None:
    graph = looking_up(uneven_table(300))
    store_tables(graph)
    onnx.checker.check_model(graph)


def test_a_small_table_stays_as_it_is() -> None:
    graph = looking_up(uneven_table(100))
    store_tables(graph)
    assert graph == looking_up(uneven_table(100))


def opened(path: Path) -> Model:
    return open_graph(path, device="cpu", threads=1)


def test_the_service_opens_the_int8_file(done: Stage) -> None:
    assert {node.name for node in opened(done.out / INT8).session.get_outputs()} == set(OUTPUTS)


def test_the_int8_file_says_nearly_what_the_fp32_file_says(done: Stage, tokenizer: Tokenizer) -> None:
    rows = [packed(tokenizer, record)[1] for record in UNEVEN]
    mine, theirs = (opened(path).run(rows) for path in (done.out / INT8, done.exported / FP32))
    logits, reference = (np.concatenate([found.logits for found in side]) for side in (mine, theirs))
    assert np.abs(logits - reference).mean() < 0.25 * reference.std()


def test_an_int8_logit_does_not_depend_on_the_batch(done: Stage, tokenizer: Tokenizer) -> None:
    rows = [packed(tokenizer, record)[1] for record in UNEVEN]
    assert batched_difference(opened(done.out / INT8), rows) < 1e-3


def test_the_position_table_is_stored_in_int8(done: Stage) -> None:
    tables = [t for t in onnx.load(done.out / INT8).graph.initializer if list(t.dims) == [512, 32]]
    assert [table.data_type for table in tables] == [TensorProto.INT8]


def test_the_stage_tells_what_it_made(done: Stage) -> None:
    assert done.outcome == {
        "bytes": (done.out / INT8).stat().st_size,
        "calibration_records": len(UNEVEN),
        "static": 12,
        "with_excess": 2,
    }


def test_calibration_takes_as_many_records_as_asked_for(done: Stage, tmp_path: Path) -> None:
    config = tiny_config(done.config.base, quantising={"calibration_records": 5})
    assert quantise.quantise(config, done.examples, done.exported, tmp_path)["calibration_records"] == 5
