"""Every metric of the service, and how a log line is written.

Knows: names, labels and buckets. Does not know: who counts what when.
"""

import json
import logging
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

STAGES = ("cache", "tokenise", "queue", "model", "total")
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
CACHE_LEVELS = ("memory", "redis", "miss")
CACHE_FAULTS = ("read", "write", "decode", "dropped")


class Telemetry:
    """All metric objects, registered with a registry of their own; every series is there from the start."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
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
            buckets=(32, 64, 128, 256, 512, 1024, 2048, 4096, 8192),
            registry=self.registry,
        )
        self.queue_rows = Gauge("ranker_queue_rows", "Rows waiting for the model.", registry=self.registry)
        self.pairs = Counter(
            "ranker_cache_pairs_total", "Pairs asked for, by where they were found.", ["level"], registry=self.registry
        )
        self.cache_faults = Counter(
            "ranker_cache_faults_total", "What the Redis cache could not do.", ["fault"], registry=self.registry
        )
        self.cache_degraded = Gauge(
            "ranker_cache_degraded", "1 while Redis is left alone after failures.", registry=self.registry
        )
        self.rejected = Counter(
            "ranker_rejected_total", "Work refused or given up, by reason.", ["reason"], registry=self.registry
        )
        self.model = Gauge(
            "ranker_model_info", "The bundle in service.", ["name", "version", "device"], registry=self.registry
        )
        self.entropy = Histogram(
            "ranker_weights_entropy_nats",
            "Entropy of the weights answered.",
            buckets=(0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.5),
            registry=self.registry,
        )
        for stage in STAGES:
            self.stage.labels(stage)
        for level in CACHE_LEVELS:
            self.pairs.labels(level)
        for fault in CACHE_FAULTS:
            self.cache_faults.labels(fault)
        for reason in ("unreadable", "overloaded", "deadline_exceeded", "model_failed"):
            self.rejected.labels(reason)


class JsonLines(logging.Formatter):
    """One JSON object a line; `extra={"fields": {...}}` adds to it. Texts of requests never go in."""

    def format(self, record: logging.LogRecord) -> str:
        """The line for a record, an exception's traceback under "exception"."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True, default=str)
