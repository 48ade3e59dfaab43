"""Every metric of the service, spans of its stages, and how a log line is written.

Knows: names, labels, buckets, the request whose work is being done. Does not know: who counts what when.
"""

import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, Summary, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.values import MultiProcessValue

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Where prometheus_client finds the folder in which worker processes add their metrics up."""

STAGES = ("parse", "tokenise", "cache", "queue", "model", "total")
SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
CACHE_LEVELS = ("memory", "redis", "joined", "miss")
TEXT_LEVELS = ("memory", "redis", "miss")
CACHE_FAULTS = ("read", "write", "decode", "dropped")
REJECTED = (
    *("unreadable", "overloaded", "deadline_exceeded", "model_failed", "client_gone"),
    *("unauthorized", "rate_limited", "ledger_away"),
)
EVENTS = (
    *("accepted", "duplicate"),
    *("not_json", "not_object", "missing", "type", "range", "time", "too_late", "too_early"),
    *("too_long", "too_large", "too_deep", "nul"),
)
"""What becomes of an event: the first two, or why it is refused."""
DEGRADED = ("overloaded", "deadline_exceeded", "model_failed")
FOLDED = ("folded", "capped", "unknown_query", "nothing", "unreadable")
RULE_SOURCES = ("file", "admin")
RULE_ACTIONS = ("hide", "multiply", "floor", "pin")
SWAPS, SWAPS_TOLD = "ranker_bundle_swaps_total", "Bundles that were to take over, by outcome."

SHADOWED = ("same_first", "changed_first", "dropped", "failed")

PIECES = ("known", "unknown")
BINS = tuple(f"0.{tenth}" for tenth in range(10))
"""The tenths that a weight may be in, by where they begin."""
REFERENCES = {
    "unknown_ratio": "Share of unknown word pieces",
    "entropy_ratio": "Mean entropy of the weights over that of equal weights",
    "calibration_error": "Calibration error of the top weight",
}

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request whose work is being done."""


class Tracer(Protocol):
    """What makes spans: OpenTelemetry's tracer, as far as it is used here."""

    def start_span(self, name: str, *, start_time: int) -> Any:
        """A span that began at this time, in nanoseconds since 1970."""
        ...


class Telemetry:
    """All metric objects; every series is there from the start. With a tracer, each stage is a span as well.

    `shared` is the folder in which several processes add their metrics up.
    """

    def __init__(self, *, tracer: Tracer | None = None, shared: Path | None = None) -> None:
        self.registry = CollectorRegistry()
        self._tracer, self._shared = tracer, shared
        self.requests = Counter(
            "ranker_requests_total",
            "Requests answered, by route and status.",
            ["route", "status"],
            registry=self.registry,
        )
        self.stage = Histogram(
            "ranker_stage_seconds", "Time in each stage.", ["stage"], buckets=SECONDS, registry=self.registry
        )
        self.batch_rows = Histogram(
            "ranker_batch_rows", "Rows in a batch.", buckets=(1, 2, 4, 8, 16, 32, 64, 128), registry=self.registry
        )
        self.batch_tokens = Histogram(
            "ranker_batch_tokens",
            "Tokens in a batch, padding included.",
            buckets=(32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384),
            registry=self.registry,
        )
        self.queue_rows = self._gauge("ranker_queue_rows", "Rows waiting for the model.", mode="livesum")
        self.pairs = Counter(
            "ranker_cache_pairs_total", "Pairs asked for, by where they were found.", ["level"], registry=self.registry
        )
        self.texts = Counter(
            "ranker_cache_texts_total",
            "Texts whose vectors were asked for, by where they were found.",
            ["level"],
            registry=self.registry,
        )
        self.cache_faults = Counter(
            "ranker_cache_faults_total", "What the Redis cache could not do.", ["fault"], registry=self.registry
        )
        self.cache_degraded = self._gauge(
            "ranker_cache_degraded", "1 while Redis is left alone after failures.", mode="livemax"
        )
        self.rejected = Counter(
            "ranker_rejected_total", "Work refused or given up, by reason.", ["reason"], registry=self.registry
        )
        self.degraded = Counter(
            "ranker_degraded_total",
            "Answers made without the model because the caller asked for a fallback, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self.swaps = Counter(SWAPS, SWAPS_TOLD, ["outcome"], registry=self.registry)
        self.events = Counter(
            "ranker_events_total", "Events sent, by what became of them.", ["outcome"], registry=self.registry
        )
        self.rules = self._gauge(
            "ranker_rules", "Rules that are known, by where they came from.", "source", mode="livemax"
        )
        self.rules_stale = self._gauge(
            "ranker_rules_stale",
            "1 while rules cannot be read again, or not all of them, by where they come from.",
            "source",
            mode="livemax",
        )
        self.rules_applied = Counter(
            "ranker_rules_applied_total", "Rules that had their say in an answer, by action.", ["action"],
            registry=self.registry,
        )  # fmt: skip
        self.model = self._gauge(
            "ranker_model_info", "1 for the bundle in service.", "name", "version", "device", mode="livemax"
        )
        self.entropy = Histogram(
            "ranker_weights_entropy_nats",
            "Entropy of the weights answered, before rules.",
            buckets=(0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.5),
            registry=self.registry,
        )
        self.events_folded = Counter(
            "ranker_events_folded_total", "Events taken from the queue, by what became of them.", ["outcome"],
            registry=self.registry,
        )  # fmt: skip
        self.events_waiting = self._gauge(
            "ranker_events_waiting", "Events that wait to be folded.", mode="livemostrecent"
        )
        self.events_oldest = self._gauge(
            "ranker_events_oldest_seconds",
            "How long the oldest event that waits to be folded has waited; 0 where none waits.",
            mode="livemostrecent",
        )
        self.shadow_divergence = Histogram(
            "ranker_shadow_divergence_nats",
            "Jensen-Shannon divergence of the shadow bundle's weights from those answered.",
            buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
            registry=self.registry,
        )
        self.shadow_requests = Counter(
            "ranker_shadow_requests_total",
            "Requests that the shadow bundle took or had to drop, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self.shadow_model = self._gauge(
            "ranker_shadow_info", "1 for the shadow bundle.", "name", "version", "device", mode="livemax"
        )
        self.shadowed = {outcome: self.shadow_requests.labels(outcome) for outcome in SHADOWED}
        self.drift_pieces = Counter(
            "ranker_drift_pieces_total", "Word pieces of queries, by whether the tokenizer knows them.", ["piece"],
            registry=self.registry,
        )  # fmt: skip
        self.drift_entropy = Summary(
            "ranker_drift_entropy_ratio",
            "Entropy of the weights of two attributes or more over that of equal weights.",
            registry=self.registry,
        )
        self.drift_top = Summary(
            "ranker_drift_top_weight", "Largest weight shown to those who chose a facet, by the tenth it is in.",
            ["bin"], registry=self.registry,
        )  # fmt: skip
        self.drift_top_chosen = Counter(
            "ranker_drift_top_chosen_total", "Choices of the facet of the largest weight, by the tenth that is in.",
            ["bin"], registry=self.registry,
        )  # fmt: skip
        self.drift_references = {figure: self._reference(figure) for figure in REFERENCES}
        self._stages = {name: self.stage.labels(name) for name in STAGES}
        self.found = {level: self.pairs.labels(level) for level in CACHE_LEVELS}
        self.texts_found = {level: self.texts.labels(level) for level in TEXT_LEVELS}
        for fault in CACHE_FAULTS:
            self.cache_faults.labels(fault)
        for reason in REJECTED:
            self.rejected.labels(reason)
        for reason in DEGRADED:
            self.degraded.labels(reason)
        for outcome in FOLDED:
            self.events_folded.labels(outcome)
        for outcome in EVENTS:
            self.events.labels(outcome)
        for source in RULE_SOURCES:
            self.rules.labels(source)
            self.rules_stale.labels(source)
        for action in RULE_ACTIONS:
            self.rules_applied.labels(action)
        for piece in PIECES:
            self.drift_pieces.labels(piece)
        for each in BINS:
            self.drift_top.labels(each)
            self.drift_top_chosen.labels(each)
        for outcome in ("taken", "unchanged", "refused"):
            self.swaps.labels(outcome)

    def _reference(self, figure: str) -> Gauge:
        """NaN until it is known, which no alert compares with anything."""
        text = f"{REFERENCES[figure]} on the bundle's dev data; NaN where it is not known."
        gauge = self._gauge(f"ranker_drift_{figure}_reference", text, mode="livemostrecent")
        gauge.set(math.nan)
        return gauge

    def _gauge(self, name: str, text: str, *labels: str, mode: Any) -> Gauge:
        return Gauge(name, text, labels, multiprocess_mode=mode, registry=self.registry)

    @property
    def traced(self) -> bool:
        """Whether spans go anywhere."""
        return self._tracer is not None

    def observe(self, stage: str, begun: float, ended: float) -> None:
        """A stage of one request, or a batch of the model, took from `begun` to `ended` (`time.monotonic`)."""
        self._stages[stage].observe(ended - begun)
        self.span(stage, begun, ended)

    def span(self, name: str, begun: float, ended: float) -> None:
        """The same for the trace alone, in the context of the request."""
        if self._tracer:
            at = time.time() - time.monotonic()  # asked each time, for clocks are set and machines sleep
            self._tracer.start_span(name, start_time=round((begun + at) * 1e9)).end(round((ended + at) * 1e9))

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text form; with several processes, added up over them."""
        return generate_latest(over_workers(self._shared) if self._shared else self.registry)


class _OverWorkers(MultiProcessCollector):
    """Adds up what processes have written to a folder; gauges of those that have ended are dropped."""

    def __init__(self, folder: Path) -> None:
        super().__init__(None, str(folder))  # type: ignore[no-untyped-call]
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        """Every metric, as prometheus_client asks for it."""
        for file in self._folder.glob("gauge_live*_*.db"):
            if not _runs(int(file.stem.rpartition("_")[2])):
                file.unlink(missing_ok=True)  # somebody else may be doing the same
        try:
            return self._summed()
        except FileNotFoundError:  # one that never served was forgotten meanwhile
            return self._summed()

    def _summed(self) -> Iterable[Metric]:
        return cast(Iterable[Metric], super().collect())  # type: ignore[no-untyped-call]


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def over_workers(folder: Path) -> CollectorRegistry:
    """The metrics of all processes that share a folder."""
    registry = CollectorRegistry()
    registry.register(_OverWorkers(folder))
    return registry


def refusals() -> Callable[[], None]:
    """What counts a refused bundle for the process above the workers, beside theirs in the folder they share."""
    kind = MultiProcessValue()  # type: ignore[no-untyped-call]
    count = kind("counter", SWAPS.removesuffix("_total"), SWAPS, ["outcome"], ["refused"], SWAPS_TOLD)
    return partial(count.inc, 1)


def forget(folder: Path, pid: int | None) -> None:
    """Drop what a process has written to the shared folder, which has ended and counted nothing."""
    for file in folder.glob(f"*_{pid}.db"):
        file.unlink(missing_ok=True)


class JsonLines(logging.Formatter):
    """One JSON object a line; `extra={"fields": {...}}` adds to it. Texts of requests never go in."""

    def format(self, record: logging.LogRecord) -> str:
        """The line for a record, an exception's traceback under "exception"."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **({"request_id": request_id.get()} if request_id.get() else {}),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True, default=str)
