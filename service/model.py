"""The model: an ONNX graph on one device, packed rows in, scores out.

Knows: onnxruntime, providers, what the graph must declare. Does not know: text, caching, who waits for the answer.
"""

import contextlib
import io
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime as ort

from service.bundle import Bundle
from service.errors import BundleError, DeviceError, ModelFailed
from service.scoring import RowScores
from service.text import Row, collate

Device = Literal["auto", "cpu", "cuda"]

INPUTS = ("input_ids", "block_ids", "position_ids", "attribute_positions", "query_positions")
OUTPUTS = ("logits", "value_logits")
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Model:
    """A graph that is loaded and has passed its checks. `device` is where it really runs: "cpu" or "cuda"."""

    session: ort.InferenceSession
    device: str

    def run(self, rows: list[Row]) -> list[RowScores]:
        """Score rows as one batch. Raises ModelFailed when the graph fails or gives what is not a number."""
        try:
            logits, value_logits = self.session.run(list(OUTPUTS), collate(rows))
        except Exception as error:  # onnxruntime's exceptions share no narrower root
            raise ModelFailed(f"the model failed on a batch of {len(rows)} rows") from error
        scores = [
            RowScores(logits[i, : len(row.ends)], value_logits[i, : len(row.ends), 1 : row.query_length - 1])
            for i, row in enumerate(rows)
        ]
        if not all(np.isfinite(score.logits).all() and np.isfinite(score.value_logits).all() for score in scores):
            raise ModelFailed("the model gave a score that is not a finite number")
        return scores


def open_model(bundle: Bundle, *, device: Device, threads: int = 0) -> Model:
    """Load the bundle's graph for a device and run it once.

    "cuda" takes the GPU file and raises DeviceError unless the session really is on CUDA; "auto" tries that where the
    bundle has a GPU file and otherwise takes the CPU. `threads` 0 means one for each core this process may use.
    Raises BundleError when the graph does not fit.
    """
    if device == "cpu":
        return open_graph(bundle.paths["cpu"], device="cpu", threads=threads)
    try:
        if "gpu" not in bundle.paths:
            raise DeviceError(
                f"the bundle {bundle.name} {bundle.version} has no GPU file: package one, or take the CPU"
            )
        return open_graph(bundle.paths["gpu"], device="cuda", threads=threads)
    except DeviceError as error:
        if device == "cuda":
            raise
        logger.info("no GPU is used: %s", error)
        return open_graph(bundle.paths["cpu"], device="cpu", threads=threads)


def open_graph(path: Path, *, device: Literal["cpu", "cuda"], threads: int = 0) -> Model:
    """Load one ONNX file, check what it declares, and warm it. Raises BundleError, DeviceError."""
    provider = PROVIDERS[device]
    if provider not in ort.get_available_providers():
        raise DeviceError(f"this onnxruntime has no {provider}: install onnxruntime-gpu, or take another device")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or usable_cores()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if device == "cuda":
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find; the session says it, too
            ort.preload_dlls()
    try:
        session = ort.InferenceSession(str(path), options, providers=[provider], enable_fallback=0)
    except Exception as error:  # as above
        if device == "cuda":
            raise DeviceError(f"CUDA could not be used: {error}") from error
        raise BundleError(f"onnxruntime cannot load {path}: {error}") from error
    _check_names(path, "input", {node.name for node in session.get_inputs()}, INPUTS)
    _check_names(path, "output", {node.name for node in session.get_outputs()}, OUTPUTS)
    model = Model(session, device)
    try:
        model.run([probe_row()])
    except ModelFailed as error:
        failure = DeviceError if device == "cuda" else BundleError
        raise failure(f"{path} was loaded, but its first forward pass failed: {error.__cause__ or error}") from error
    if session.get_providers()[0] != provider:
        raise DeviceError(
            f"{device} was asked for and onnxruntime fell back to {session.get_providers()[0]}: "
            "install its CUDA packages (pip install 'attribute-ranker[gpu]') and check the driver"
        )
    return model


def probe_row() -> Row:
    """The smallest real row: a query of one token and one candidate."""
    columns: Mapping[str, list[int]] = {
        "input_ids": [0, 1, 0, 1, 0],
        "block_ids": [0, 0, 0, 1, 1],
        "position_ids": [0, 1, 2, 3, 4],
        "ends": [4],
    }
    return Row(**{name: np.array(column, dtype=np.int64) for name, column in columns.items()}, query_length=3)


def usable_cores() -> int:
    """How many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_names(path: Path, kind: str, declared: set[str], needed: tuple[str, ...]) -> None:
    for name in needed:
        if name not in declared:
            raise BundleError(f"the graph {path} has no {kind} {name!r}: export it again")
