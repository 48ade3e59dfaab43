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

from service.bundle import Bundle
from service.errors import BundleError, DeviceError, ModelFailed
from service.model import INPUTS, OUTPUTS, Model, open_graph, open_model, probe_row


def graph(path: Path, *, inputs: tuple[str, ...] = INPUTS, value: float = 0.0) -> Path:
    """A graph of the right shape whose every score is `value`."""
    declared = [
        helper.make_tensor_value_info(
            name, TensorProto.INT64, ["n"] if name == "query_positions" else ["r", f"{name}_n"]
        )
        for name in inputs
    ]
    outputs = [
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, None),
        helper.make_tensor_value_info("value_logits", TensorProto.FLOAT, None),
    ]
    constant = helper.make_tensor("value", TensorProto.FLOAT, [1], [value])
    nodes = [
        helper.make_node("Shape", ["attribute_positions"], ["shape"]),
        helper.make_node("Shape", ["query_positions"], ["tokens"]),
        helper.make_node("Concat", ["shape", "tokens"], ["value_shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["logits"], value=constant),
        helper.make_node("ConstantOfShape", ["value_shape"], ["value_logits"], value=constant),
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
