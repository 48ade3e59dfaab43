"""Metrics that are there before anything happens and add up over processes; log lines with an id and without texts."""

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeModel, FakeSecondLevel, ended
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from service.app import create_app
from service.batching import Batcher
from service.errors import ModelFailed
from service.inflight import InFlight
from service.prior import Prior
from service.settings import Settings
from service.telemetry import (
    BINS,
    CACHE_FAULTS,
    CACHE_LEVELS,
    DEGRADED,
    FOLDED,
    PIECES,
    REJECTED,
    RULE_ACTIONS,
    RULE_SOURCES,
    SHADOWED,
    SHARED_FOLDER,
    STAGES,
    TEXT_LEVELS,
    JsonLines,
    Telemetry,
    forget,
    over_workers,
    request_id,
)
from service.text import Tokenizer
from service.weighting import Weigher

SETTINGS = Settings.model_validate({"device": "cpu", "admin_key": "a"})
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

NO_PID = 2**22
"""Linux gives lower ones."""
WRITER = """
import sys
from pathlib import Path
from service.telemetry import Telemetry
telemetry, number = Telemetry(shared=Path(sys.argv[1])), int(sys.argv[2])
telemetry.requests.labels("/v1/weights", "200").inc(number)
telemetry.batch_rows.observe(number)
telemetry.queue_rows.set(number)
telemetry.cache_degraded.set(number % 2)
telemetry.drift_top.labels("0.6").observe(number / 10)
print("written", flush=True)
sys.stdin.read()
"""


def samples(exposition: str) -> Samples:
    families = text_string_to_metric_families(exposition)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((name, frozenset(labels.items())))


@pytest.mark.parametrize(
    ("name", "label", "values"),
    [
        ("ranker_stage_seconds_count", "stage", STAGES),
        ("ranker_cache_pairs_total", "level", CACHE_LEVELS),
        ("ranker_cache_texts_total", "level", TEXT_LEVELS),
        ("ranker_cache_faults_total", "fault", CACHE_FAULTS),
        ("ranker_rejected_total", "reason", REJECTED),
        ("ranker_degraded_total", "reason", DEGRADED),
        ("ranker_events_folded_total", "outcome", FOLDED),
        ("ranker_rules", "source", RULE_SOURCES),
        ("ranker_rules_stale", "source", RULE_SOURCES),
        ("ranker_rules_applied_total", "action", RULE_ACTIONS),
        ("ranker_bundle_swaps_total", "outcome", ("taken", "unchanged", "refused")),
        ("ranker_shadow_requests_total", "outcome", SHADOWED),
        ("ranker_drift_pieces_total", "piece", PIECES),
        ("ranker_drift_top_weight_count", "bin", BINS),
        ("ranker_drift_top_chosen_total", "bin", BINS),
    ],
)
def test_every_series_of_a_label_is_there_from_the_start(name: str, label: str, values: tuple[str, ...]) -> None:
    found = samples(Telemetry().exposition().decode())
    assert {labels: number for (n, labels), number in found.items() if n == name} == {
        frozenset({(label, value)}): 0 for value in values
    }


@pytest.mark.parametrize(
    "name",
    [
        *("queue_rows", "cache_degraded", "batch_rows_count", "batch_tokens_count"),
        *("weights_entropy_nats_count", "drift_entropy_ratio_count"),
    ],
)
def test_every_series_without_a_label_is_there_from_the_start(name: str) -> None:
    assert value(samples(Telemetry().exposition().decode()), f"ranker_{name}") == 0


def test_every_documented_answer_of_every_route_is_counted_from_the_start() -> None:
    with TestClient(create_app(SETTINGS)) as client:
        paths = client.get("/openapi.json").json()["paths"]
        found = samples(client.get("/metrics").text)
    documented = {
        (path, status)
        for path, methods in paths.items()
        for method in methods.values()
        for status in method["responses"]
    }
    assert len(documented) > 20
    assert {value(found, "ranker_requests_total", route=path, status=status) for path, status in documented} == {0}


def writer(folder: Path, number: int) -> "subprocess.Popen[str]":
    """A process that has written its metrics into the folder and stays."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), str(number)],
        env=os.environ | {SHARED_FOLDER: str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "written\n"
    return process


@pytest.fixture
def two_writers(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[str]", "subprocess.Popen[str]"]]:
    with ExitStack() as stack:
        one, other = (stack.enter_context(ended(writer(tmp_path, number))) for number in (3, 4))
        yield one, other


def over_processes(folder: Path) -> Samples:
    return samples(Telemetry(shared=folder).exposition().decode())


@pytest.mark.usefixtures("two_writers")
def test_metrics_of_two_processes_add_up(tmp_path: Path) -> None:
    found = over_processes(tmp_path)
    assert value(found, "ranker_requests_total", route="/v1/weights", status="200") == 7
    assert value(found, "ranker_batch_rows_sum") == 7
    assert value(found, "ranker_batch_rows_bucket", le="2.0") == 0
    assert value(found, "ranker_batch_rows_bucket", le="4.0") == 2
    assert value(found, "ranker_drift_top_weight_sum", bin="0.6") == pytest.approx(0.7)
    assert value(found, "ranker_drift_top_weight_count", bin="0.6") == 2
    assert value(found, "ranker_queue_rows") == 7
    assert value(found, "ranker_cache_degraded") == 1
    assert value(found, "ranker_rejected_total", reason="overloaded") == 0


def test_what_an_ended_process_counted_stays_and_what_it_showed_goes(
    tmp_path: Path, two_writers: tuple["subprocess.Popen[str]", "subprocess.Popen[str]"]
) -> None:
    two_writers[0].kill()
    two_writers[0].wait(10)
    found = over_processes(tmp_path)
    assert value(found, "ranker_requests_total", route="/v1/weights", status="200") == 7
    assert value(found, "ranker_queue_rows") == 4
    assert value(found, "ranker_cache_degraded") == 0


def test_several_who_ask_while_a_process_is_gone_are_all_answered(tmp_path: Path) -> None:
    with ended(writer(tmp_path, 3)) as process:
        written = (tmp_path / f"gauge_livesum_{process.pid}.db").read_bytes()
    failed: list[BaseException] = []

    def ask() -> None:
        try:
            over_processes(tmp_path)
        except BaseException as error:  # noqa: BLE001 - to be told by the test
            failed.append(error)

    for _ in range(20):
        for gone in range(NO_PID, NO_PID + 40):
            (tmp_path / f"gauge_livesum_{gone}.db").write_bytes(written)
        askers = [threading.Thread(target=ask) for _ in range(4)]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join(30)
    assert not failed


class Lines(logging.Handler):
    """Every line that the service would log at debug."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(JsonLines())
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))

    def of(self, message: str) -> dict[str, Any]:
        """The one line with this message."""
        (line,) = [line for line in self.lines if line["message"] == message]
        return line


@pytest.fixture
def log() -> Iterator[Lines]:
    handler, root = Lines(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.setLevel(level)
    root.removeHandler(handler)


MARK = "quetzal"
"""A word of the request that no line may hold."""
REQUESTS: list[Any] = [
    {"query": f"red {MARK} rug", "attributes": [f"{MARK} color", "size"]},
    {"query": f"{MARK} " * 1000, "attributes": ["color"]},
    {"query": f"{MARK}\x00", "attributes": ["color"]},
    {"query": MARK, "attributes": [MARK, f"{MARK} "]},
    {"query": MARK, "attributes": [f"{MARK}{i}" for i in range(300)]},
    {"query": "\u200b", "attributes": [MARK]},
    {"query": MARK, "attributes": ["\u200b"]},
    {"query": {MARK: MARK}, "attributes": MARK},
    {MARK: MARK},
    [MARK],
    MARK,
]


def test_no_line_holds_a_text_of_a_request_whatever_becomes_of_it(log: Lines) -> None:
    with TestClient(create_app(SETTINGS)) as client:
        statuses = [client.post("/v1/weights", json=request).status_code for request in REQUESTS]
        statuses += [client.post("/v1/weights", content=f'{{"query": "{MARK}'.encode()).status_code]
        statuses += [client.post("/v1/weights/batch", json={"requests": REQUESTS}).status_code]
        statuses += [client.post(f"/v1/weights?q={MARK}", json=REQUESTS[0]).status_code]
    assert statuses == [200] + [422] * 11 + [200, 200]
    assert log.lines
    assert MARK not in json.dumps([line for line in log.lines if not line["logger"].startswith("httpx")])


def test_a_failure_that_nobody_foresaw_is_logged_with_the_requests_id_and_without_its_text(log: Lines) -> None:
    client = TestClient(create_app(SETTINGS), raise_server_exceptions=False)  # nothing was opened
    response = client.post("/v1/weights", json=REQUESTS[0], headers={"x-request-id": "mine"})
    assert (response.status_code, response.json()["error"]["request_id"]) == (500, "mine")
    assert "KeyError" in log.of("a request failed")["exception"]
    assert log.of("a request failed")["request_id"] == "mine"
    assert MARK not in json.dumps([line for line in log.lines if not line["logger"].startswith("httpx")])


def test_a_batch_that_failed_is_logged_with_the_ids_of_its_requests_and_without_their_texts(
    log: Lines, tokenizer: Tokenizer
) -> None:
    async def work() -> None:
        telemetry, model = Telemetry(), FakeModel(lambda rows: RuntimeError(f"{len(rows)} rows are too many"))
        async with Batcher(model, telemetry, threads=1, batch_tokens=10_000, queue_rows=10) as batcher:
            weigher = Weigher(
                tokenizer, batcher, FakeSecondLevel(), InFlight(), Prior({}, 0.0), telemetry,
                temperature=1.0, value_threshold=0.5,
            )  # fmt: skip
            request_id.set("mine")
            with pytest.raises(ModelFailed):
                await weigher.weigh(f"{MARK} rug", [MARK])

    asyncio.run(work())
    assert log.of("a batch of 1 rows failed")["request_ids"] == ["mine"]
    assert MARK not in json.dumps(log.lines)


def test_a_line_is_one_json_object_whatever_is_in_it() -> None:
    record = logging.makeLogRecord({"msg": "two\nlines \ud800 %s", "args": ({"a": 1},), "fields": {"path": Path("/a")}})
    line = JsonLines().format(record)
    assert "\n" not in line
    assert json.loads(line)["path"] == "/a"


def test_a_worker_that_is_forgotten_while_metrics_are_read_fails_no_scrape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "counter_1.db").touch()

    def gone_at_first(path: str) -> list[object]:
        if Path(path).exists():
            forget(tmp_path, 1)
            raise FileNotFoundError(path)
        return []

    monkeypatch.setattr("prometheus_client.mmap_dict.MmapedDict.read_all_values_from_file", gone_at_first)
    assert generate_latest(over_workers(tmp_path)) == b""
    assert not list(tmp_path.iterdir())


def test_what_is_forgotten_is_one_process_alone(tmp_path: Path) -> None:
    for name in ("counter_1.db", "gauge_livemax_1.db", "counter_11.db"):
        (tmp_path / name).touch()
    forget(tmp_path, 1)
    assert [file.name for file in tmp_path.iterdir()] == ["counter_11.db"]
