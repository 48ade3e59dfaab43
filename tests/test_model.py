"""A graph is checked before it serves, and a device that was asked for is really used."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from pydantic import ValidationError
from tiny import row, tiny_graph, tiny_tokenizer, write_tokenizer

from service.binding import SHAPES_KEPT, BoundSession
from service.bundle import Bundle
from service.errors import BundleError, DeviceError, ModelFailed
from service.model import (
    INPUTS,
    LENGTH_BUCKET,
    OUTPUTS,
    POSITION_BUCKET,
    Model,
    bucketed,
    check_placement,
    open_graph,
    open_model,
    probe_row,
)
from service.settings import Settings
from service.text import Row, Tokenizer, collate


def graph(path: Path, *, inputs: tuple[str, ...] = INPUTS, value: float = 0.0) -> Path:
    """A graph of the right shape whose every score is `value`."""
    declared = [
        helper.make_tensor_value_info(
            name, TensorProto.INT64, ["n"] if name == "query_positions" else ["r", f"{name}_n"]
        )
        for name in inputs
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in OUTPUTS]
    constant = helper.make_tensor("value", TensorProto.FLOAT, [1], [value])
    nodes = [
        helper.make_node("Shape", ["attribute_positions"], ["shape"]),
        helper.make_node("Shape", ["query_positions"], ["tokens"]),
        helper.make_node("Concat", ["shape", "tokens"], ["value_shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["logits"], value=constant),
        helper.make_node("ConstantOfShape", ["value_shape"], ["value_logits"], value=constant),
        helper.make_node("ConstantOfShape", ["shape"], ["embeddings"], value=constant),
    ]
    content = helper.make_model(
        helper.make_graph(nodes, "g", declared, outputs), opset_imports=[helper.make_opsetid("", 21)], ir_version=10
    )
    onnx.save(content, path)
    return path


def test_scores_have_the_shape_of_their_row(tmp_path: Path) -> None:
    (score,) = open_graph(graph(tmp_path / "g.onnx"), device="cpu").run([probe_row()])
    assert (score.logits.shape, score.value_logits.shape) == ((1,), (1, 1))


@pytest.mark.parametrize("missing", [name for name in INPUTS if name not in {"attribute_positions", "query_positions"}])
def test_a_graph_that_lacks_an_input_is_refused_by_its_name(tmp_path: Path, missing: str) -> None:
    path = graph(tmp_path / "g.onnx", inputs=tuple(name for name in INPUTS if name != missing))
    with pytest.raises(BundleError, match=f"no input '{missing}'"):
        open_graph(path, device="cpu")


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "g.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleError, match=r"cannot load .*g\.onnx"):
        open_graph(tmp_path / "g.onnx", device="cpu")


def test_a_score_that_is_not_a_number_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not a finite number"):
        open_graph(graph(tmp_path / "g.onnx", value=float("nan")), device="cpu")


def test_a_failing_batch_raises_model_failed(model: Model) -> None:
    broken = replace(probe_row(), input_ids=np.array([0, 10**9, 0, 1, 0]))
    with pytest.raises(ModelFailed):
        model.run([broken])


def test_cuda_asked_for_without_a_gpu_file_fails_by_name(bundle: Bundle) -> None:
    cpu_only = replace(bundle, paths={role: path for role, path in bundle.paths.items() if role != "gpu"})
    with pytest.raises(DeviceError, match="no GPU file"):
        open_model(cpu_only, device="cuda")


def has_gpu() -> bool:
    return Path("/dev/nvidia0").exists()


@pytest.mark.skipif(has_gpu(), reason="this machine has a GPU, so asking for it does not fail")
def test_cuda_asked_for_where_there_is_none_fails_by_name(tmp_path: Path, bundle: Bundle) -> None:
    with_gpu_file = replace(bundle, paths=bundle.paths | {"gpu": graph(tmp_path / "g.onnx")})
    with pytest.raises(DeviceError, match=r"(?i)cuda"):
        open_model(with_gpu_file, device="cuda")


@pytest.mark.skipif(has_gpu(), reason="this machine has a GPU, so auto takes it")
def test_auto_takes_the_cpu_where_there_is_no_gpu(bundle: Bundle) -> None:
    assert open_model(bundle, device="auto").device == "cpu"


def test_the_graph_declares_what_the_service_feeds(model: Model) -> None:
    assert {node.name for node in model.session.get_inputs()} == set(INPUTS)
    assert {node.name for node in model.session.get_outputs()} == set(OUTPUTS)


def test_onnxruntime_reports_nothing_to_its_makers(tmp_path: Path) -> None:
    code = (
        "from service.bundle import default_folder, open_bundle; from service.model import open_model; "
        "open_model(open_bundle(default_folder()), device='cpu')"
    )
    kept = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    subprocess.run([sys.executable, "-c", code], env={**kept, "HOME": str(tmp_path)}, check=True)
    assert not list(tmp_path.rglob(".onnxruntime*"))


CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


@pytest.mark.parametrize("operator", ["MatMul", "FusedMatMul", "MultiHeadAttention", "SkipLayerNormalization", "Gelu"])
def test_work_that_was_placed_elsewhere_is_refused_by_its_name(operator: str) -> None:
    with pytest.raises(DeviceError, match=f"cuda:0 was asked for and onnxruntime placed {operator} on {CPU}"):
        check_placement("cuda:0", CUDA, [("MatMul", CUDA), (operator, CPU)])


def test_operators_on_shapes_may_stay_behind() -> None:
    check_placement("cuda:0", CUDA, [("MatMul", CUDA), ("Shape", CPU), ("Concat", CPU), ("Gather", CPU)])


def test_a_real_graph_on_the_cpu_fits_the_cpu_and_is_refused_where_cuda_was_asked_for(plain: Model) -> None:
    assigned = plain.session.get_provider_graph_assignment_info()
    placed = [(node.op_type, part.ep_name) for part in assigned for node in part.get_nodes()]
    check_placement("cpu", CPU, placed)
    with pytest.raises(DeviceError, match="placed"):
        check_placement("cuda:0", CUDA, placed)


def tiny(folder: Path) -> Model:
    (folder / "tiny.onnx").write_bytes(tiny_graph())
    return open_graph(folder / "tiny.onnx", device="cpu", threads=1)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The tiny graph on the CPU."""
    return tiny(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def bound(plain: Model) -> Model:
    """The same with buffers that stay, as a GPU has them."""
    return Model(plain.session, "cpu", BoundSession(plain.session, "cpu", 0))


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("words")
    write_tokenizer(folder)
    return tiny_tokenizer(folder)


def some_rows(words: Tokenizer, number: int, length: int) -> list[Row]:
    """Rows of different queries and numbers of candidates, the longest of about so many tokens."""
    names = ("color", "material", "size", "product type", "brand name")
    return [row(words, "red wool rug " * (length // 6) + "blue " * n, *names[: 1 + n % 5]) for n in range(number)]


@pytest.mark.parametrize("number", [1, 3, 5])
@pytest.mark.parametrize("length", [6, 31, 60])
def test_buffers_that_stay_change_no_score(
    plain: Model, bound: Model, words: Tokenizer, number: int, length: int
) -> None:
    rows = some_rows(words, number, length)
    for kept, free in zip(bound.run(rows), plain.run(rows), strict=True):
        assert kept.logits.shape == free.logits.shape
        assert np.abs(kept.logits - free.logits).max() <= 1e-5
        assert np.abs(kept.value_logits - free.value_logits).max() <= 1e-5
        assert np.abs(kept.embedding - free.embedding).max() <= 1e-5


@pytest.mark.parametrize("others", [0, 2])
def test_a_row_without_candidates_has_an_embedding_alone_and_beside_others(
    plain: Model, bound: Model, words: Tokenizer, others: int
) -> None:
    rows = [*some_rows(words, others, 20), row(words, "red wool rug")]
    for model in (plain, bound):
        found = model.run(rows)[-1]
        assert found.logits.shape == (0,)
        assert np.abs(found.embedding - plain.run([row(words, "red wool rug", "color")])[0].embedding).max() <= 1e-5


@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_bound_session_gives_what_the_session_gives(plain: Model, words: Tokenizer, number: int) -> None:
    feed = collate(some_rows(words, number, 20))
    shape = feed["attribute_positions"].shape
    values = (*shape, len(feed["query_positions"]))
    shapes = {"logits": shape, "value_logits": values, "embeddings": (number, plain.width)}
    free = plain.session.run(list(OUTPUTS), feed)
    for kept, expected in zip(BoundSession(plain.session, "cpu", 0).run(feed, shapes), free, strict=True):
        assert np.abs(kept - expected).max() <= 1e-6


def test_a_run_leaves_nothing_in_the_buffers_for_the_next(plain: Model, bound: Model, words: Tokenizer) -> None:
    first, second = ([row(words, query, "color", "size")] for query in ("red wool rug", "blue silk lamp"))
    answers = [bound.run(rows)[0].logits for rows in (first, second, first)]
    for found, rows in zip(answers, (first, second, first), strict=True):
        assert np.abs(found - plain.run(rows)[0].logits).max() <= 1e-5


def test_more_shapes_than_are_kept_are_answered(plain: Model) -> None:
    session = BoundSession(plain.session, "cpu", 0)
    for length in [*range(5, 5 + SHAPES_KEPT + 3), 5, 6]:
        feed = collate([probe_row(length)])
        logits, _ = session.run(feed, {"logits": (1, 1), "value_logits": (1, 1, 3)})
        assert np.abs(logits - plain.session.run(["logits"], feed)[0]).max() <= 1e-6


@pytest.mark.parametrize(("length", "candidates"), [(6, 1), (31, 2), (60, 5)])
def test_a_feed_is_rounded_up_to_its_buckets(words: Tokenizer, length: int, candidates: int) -> None:
    feed = collate(some_rows(words, candidates, length))
    grown = bucketed(feed)
    for name in ("input_ids", "block_ids", "position_ids"):
        assert grown[name].shape[1] % LENGTH_BUCKET == 0
        assert grown[name].shape[1] - feed[name].shape[1] < LENGTH_BUCKET
        assert (grown[name][:, : feed[name].shape[1]] == feed[name]).all()
    assert (grown["block_ids"][:, feed["block_ids"].shape[1] :] == -1).all()
    for name in ("attribute_positions", "query_positions"):
        assert grown[name].shape[-1] % POSITION_BUCKET == 0
        assert grown[name].max() < grown["input_ids"].shape[1]
    assert grown["query_positions"][: len(feed["query_positions"])].tolist() == feed["query_positions"].tolist()


def test_a_feed_that_fills_its_buckets_stays_as_it_is() -> None:
    feed = collate([probe_row(LENGTH_BUCKET)])
    assert (bucketed(feed)["input_ids"] == feed["input_ids"]).all()


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:7", "cuda:15"])
def test_a_device_may_have_a_number(device: str) -> None:
    assert Settings.model_validate({"device": device}).device == device


@pytest.mark.parametrize("device", ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:100", "cpu:0", "CUDA", "cuda:0\n"])
def test_what_is_no_device_is_refused(device: str) -> None:
    with pytest.raises(ValidationError, match="device"):
        Settings.model_validate({"device": device})


@pytest.mark.parametrize("device", ["cuda:63", "cuda:99"])
def test_a_gpu_that_is_not_there_is_refused_by_its_number(tmp_path: Path, bundle: Bundle, device: str) -> None:
    (tmp_path / "tiny.onnx").write_bytes(tiny_graph())
    with_gpu_file = replace(bundle, paths=bundle.paths | {"gpu": tmp_path / "tiny.onnx"})
    with pytest.raises(DeviceError, match=r"(?i)cuda"):
        open_model(with_gpu_file, device=device)
