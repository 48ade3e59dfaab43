"""The model: an ONNX graph on one device, packed rows in, scores out.

Knows: onnxruntime, providers, what the graph must declare. Does not know: text, caching, who waits for the answer.
"""

import contextlib
import io
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from service.binding import BoundSession
from service.bundle import Bundle
from service.cores import usable_cores
from service.errors import BundleError, DeviceError, ModelFailed
from service.scoring import RowScores
from service.text import Feed, Row, collate

INPUTS = ("input_ids", "block_ids", "position_ids", "attribute_positions", "query_positions")
OUTPUTS = ("logits", "value_logits", "embeddings")
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
HEAVY = ("MatMul", "Gemm", "Attention", "LayerNorm", "Gelu", "Softmax")
"""Parts of the names of operators that a device which was asked for must take; the rest, on shapes, may stay behind."""
LENGTH_BUCKET, POSITION_BUCKET = 32, 16
"""On a GPU shapes are rounded up to multiples of these, rows to a power of two, so that few come up; those of short
queries with up to 32 candidates are warm."""
WARM_LENGTHS, WARM_ROWS, WARM_CANDIDATES = (32, 64, 96, 128), (1, 2, 4, 8, 16, 32), (16, 32)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Model:
    """A graph that is loaded and has passed its checks. `device` is where it really runs: "cpu" or "cuda:N".

    Without `bound`, `run` may be called from several threads at once.
    """

    session: ort.InferenceSession
    device: str
    bound: BoundSession | None = None

    @property
    def width(self) -> int:
        """The length of an embedding."""
        (width,) = (node.shape[-1] for node in self.session.get_outputs() if node.name == "embeddings")
        return int(width)

    def run(self, rows: list[Row]) -> list[RowScores]:
        """Score rows as one batch. Raises ModelFailed when the graph fails or gives what is not a number."""
        try:
            logits, value_logits, embeddings = self._run(rows)
        except Exception as error:  # onnxruntime's exceptions share no narrower root
            raise ModelFailed(f"the model failed on a batch of {len(rows)} rows") from error
        if not all(np.isfinite(scores).all() for scores in (logits, value_logits, embeddings)):
            raise ModelFailed("the model gave a score that is not a finite number")
        return [
            RowScores(
                logits[i, : len(row.ends)], value_logits[i, : len(row.ends), 1 : row.query_length - 1], embeddings[i]
            )
            for i, row in enumerate(rows)
        ]

    def _run(self, rows: list[Row]) -> list[NDArray[np.float32]]:
        if self.bound is None:
            found: list[NDArray[np.float32]] = self.session.run(list(OUTPUTS), collate(rows))
            return found
        feed = bucketed(collate([*rows, *rows[-1:] * (_power_of_two(len(rows)) - len(rows))]))
        shape = feed["attribute_positions"].shape
        values = (*shape, len(feed["query_positions"]))
        return self.bound.run(feed, {"logits": shape, "value_logits": values, "embeddings": (shape[0], self.width)})


def bucketed(feed: Feed) -> Feed:
    """The same feed with lengths, candidates and query positions rounded up to their buckets."""
    grown = {
        name: _grown(feed[name], LENGTH_BUCKET, -1 if name == "block_ids" else 0)
        for name in ("input_ids", "block_ids", "position_ids")
    }
    queries = -(-len(feed["query_positions"]) // POSITION_BUCKET) * POSITION_BUCKET
    return grown | {
        "attribute_positions": _grown(feed["attribute_positions"], POSITION_BUCKET, 0),
        "query_positions": np.minimum(np.arange(queries, dtype=np.int64), grown["input_ids"].shape[1] - 1),
    }


def _grown(array: NDArray[np.int64], bucket: int, value: int) -> NDArray[np.int64]:
    return np.pad(array, ((0, 0), (0, -array.shape[1] % bucket)), constant_values=value)


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()


def open_model(bundle: Bundle, *, device: str, threads: int = 0, gpu_memory_mb: int = 2048) -> Model:
    """Load the bundle's graph for a device, "auto", "cpu", "cuda" or "cuda:N", and run it.

    "cuda" takes the GPU file and raises DeviceError unless the session really is on CUDA; "auto" tries that where the
    bundle has a GPU file and otherwise takes the CPU; `threads` as for `open_graph`. Raises BundleError when the graph
    does not fit.
    """
    if device == "cpu":
        return open_graph(bundle.paths["cpu"], device="cpu", threads=threads)
    try:
        if "gpu" not in bundle.paths:
            raise DeviceError(
                f"the bundle {bundle.name} {bundle.version} has no GPU file: package one, or take the CPU"
            )
        number = int(device.partition(":")[2] or 0)
        return open_graph(bundle.paths["gpu"], device=f"cuda:{number}", gpu_memory_mb=gpu_memory_mb)
    except DeviceError as error:
        if device != "auto":
            raise
        logger.info("no GPU is used: %s", error)
        return open_graph(bundle.paths["cpu"], device="cpu", threads=threads)


def open_graph(path: Path, *, device: str, threads: int = 0, gpu_memory_mb: int = 2048) -> Model:
    """Load one ONNX file, check what it declares and where it runs, and warm it. Raises BundleError, DeviceError.

    `threads` is how many CPU threads one run takes, 0 for one a usable core. With 1 it is the caller's own: several
    callers at once then use several cores, and better than one run on several does.
    """
    kind, _, number = device.partition(":")
    provider = PROVIDERS[kind]
    if provider not in ort.get_available_providers():
        raise DeviceError(f"this onnxruntime has no {provider}: install onnxruntime-gpu, or take another device")
    session = _session(path, kind, int(number or 0), threads or usable_cores(), gpu_memory_mb)
    _check_names(path, "input", {node.name for node in session.get_inputs()}, INPUTS)
    _check_names(path, "output", {node.name for node in session.get_outputs()}, OUTPUTS)
    if session.get_providers()[0] != provider:
        raise DeviceError(
            f"{device} was asked for and onnxruntime fell back to {session.get_providers()[0]}: "
            "install its CUDA packages (pip install 'attribute-ranker[gpu]') and check the driver"
        )
    check_placement(device, provider, _placed(session))
    model = Model(session, device, BoundSession(session, kind, int(number)) if kind == "cuda" else None)
    try:
        _warm(model)
    except ModelFailed as error:
        failure = DeviceError if kind == "cuda" else BundleError
        raise failure(f"{path} was loaded, but its first forward pass failed: {error.__cause__ or error}") from error
    return model


def _session(path: Path, kind: str, number: int, threads: int, gpu_memory_mb: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # patterns are kept for every shape that ever came up
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    chosen: dict[str, Any] = {}
    if kind == "cuda":
        chosen = {
            "device_id": number,
            "gpu_mem_limit": gpu_memory_mb * 1024**2,
            "arena_extend_strategy": "kSameAsRequested",
        }
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find; the session says it, too
            ort.preload_dlls()
    try:
        return ort.InferenceSession(str(path), options, providers=[(PROVIDERS[kind], chosen)], enable_fallback=0)
    except Exception as error:  # as above
        if kind == "cuda":
            raise DeviceError(f"CUDA could not be used: {error}") from error
        raise BundleError(f"onnxruntime cannot load {path}: {error}") from error


def _placed(session: ort.InferenceSession) -> list[tuple[str, str]]:
    """(operator, provider) of every node of the graph."""
    assigned = session.get_provider_graph_assignment_info()
    return [(node.op_type, part.ep_name) for part in assigned for node in part.get_nodes()]


def check_placement(device: str, provider: str, placed: Iterable[tuple[str, str]]) -> None:
    """Raises DeviceError when an operator that does the work was not placed where it was asked for."""
    for operator, found in placed:
        if found != provider and any(part in operator for part in HEAVY):
            raise DeviceError(
                f"{device} was asked for and onnxruntime placed {operator} on {found}: the graph does not fit it"
            )


def _warm(model: Model) -> None:
    model.run([probe_row()])
    if model.bound:
        for rows in WARM_ROWS:
            for length in WARM_LENGTHS:
                for candidates in WARM_CANDIDATES:
                    model.run([probe_row(length, candidates)] * rows)


def probe_row(length: int = 5, candidates: int = 1) -> Row:
    """The smallest real row, a query of one token and one candidate; or a longer one, with at most so many."""
    room = length - 3
    blocks = sorted(1 + place % min(candidates, room // 2) for place in range(room))
    ends = [3 + place for place in range(room) if blocks[place : place + 2] != [blocks[place]] * 2]
    input_ids = [int(place not in {0, 2, *ends}) for place in range(length)]
    return Row(input_ids, [0, 0, 0, *blocks], range(length), ends, query_length=3)


def _check_names(path: Path, kind: str, declared: set[str], needed: tuple[str, ...]) -> None:
    for name in needed:
        if name not in declared:
            raise BundleError(f"the graph {path} has no {kind} {name!r}: export it again")
