"""The consumer: what waits is folded once, whatever an entry holds and whenever the ledger is away."""

import json
import subprocess
import sys
import time
from pathlib import Path

import httpx
from fakes import FakeClock, RedisServer, ended, free_port, run, until, wait_until
from starlette.testclient import TestClient
from test_ledgers import LIMITS, memory, on_redis
from test_start import environment
from test_start import run as service

from service.app import create_app
from service.errors import LedgerAway
from service.feedback.folding import Folder
from service.feedback.keys import EVERYTHING, attribute_field, query_scope
from service.feedback.ledger import Entry, Pending
from service.feedback.memory import MemoryLedger
from service.feedback.shown import Shown, encode
from service.settings import Settings
from service.telemetry import FOLDED, Telemetry

SHOWN = encode(Shown((query_scope("red rug"), EVERYTHING), {"color": 0.5, "size": 0.5}))


def facet(number: int, query_id: str = "q", name: str = "color") -> Entry:
    what = {"object": {"object_id": name, "object_id_type": "attribute"}}
    event = {"action_name": "facet_select", "query_id": query_id, "client_id": f"c{number}", "timestamp": 900_000}
    return Entry(b"%016d" % number, f"c{number}", "", json.dumps(event | {"event_attributes": what}).encode())


class AwayAtFirst(MemoryLedger):
    """One that is away for the first look."""

    looked = 0

    async def waiting(self, consumer: str, most: int) -> list[Pending]:
        self.looked += 1
        if self.looked == 1:
            raise LedgerAway("away")
        return await super().waiting(consumer, most)


def folder(ledger: MemoryLedger, telemetry: Telemetry) -> Folder:
    return Folder(ledger, telemetry, LIMITS.half_lives, consumer="a", clock=FakeClock())


def counted(telemetry: Telemetry) -> dict[str, float]:
    found = {
        each: telemetry.registry.get_sample_value("ranker_events_folded_total", {"outcome": each}) for each in FOLDED
    }
    return {outcome: count for outcome, count in found.items() if count}


class Choices(list[tuple[float, bool]]):
    """Facet choices as they are told."""

    def saw(self, top_weight: float, *, chosen: bool) -> None:
        self.append((top_weight, chosen))


def test_facet_choices_are_told_with_the_largest_weight_shown() -> None:
    async def work() -> None:
        ledger, _ = memory()
        told = Choices()
        ledger.show("q", encode(Shown((EVERYTHING,), {"Color": 0.7, "size": 0.3})))
        ledger.show("by chance", encode(Shown((EVERYTHING,), {"Color": 0.7, "size": 0.3}, explored=True)))
        await ledger.append([facet(1), facet(2, name="size"), facet(3, "by chance"), facet(4, "never shown")])
        telling = Folder(ledger, Telemetry(), LIMITS.half_lives, consumer="a", calibration=told, clock=FakeClock())
        await telling.fold()
        assert told == [(0.7, True), (0.7, False)]

    run(work)


async def chosen(ledger: MemoryLedger, name: str = "color") -> float:
    (found,) = await ledger.evidence([EVERYTHING])
    field = attribute_field(name)
    return found[field].chosen_long if field in found else 0.0


def test_events_become_evidence_and_each_is_counted_by_what_became_of_it() -> None:
    async def work() -> None:
        ledger, _ = memory()
        telemetry = Telemetry()
        ledger.show("q", SHOWN)
        ledger.show("broken", b"rubbish")
        unreadable = [
            Entry(b"%016d" % number, "", "", content) for number, content in enumerate([b"\xff", b"[]", b"{}"])
        ]
        others = [facet(11, "never shown"), facet(12, "broken"), facet(13, name="pile")]
        await ledger.append([facet(10), *unreadable, *others])
        assert await folder(ledger, telemetry).fold() == 7
        assert await chosen(ledger) > 0
        assert counted(telemetry) == {"folded": 1, "unknown_query": 2, "nothing": 1, "unreadable": 3}
        assert await ledger.waiting("b", 10) == []

    run(work)


def test_a_client_beyond_its_cap_is_counted_as_such() -> None:
    async def work() -> None:
        ledger, _ = memory()
        telemetry = Telemetry()
        ledger.show("q", SHOWN)
        same = [facet(0)._replace(once=b"%016d" % number) for number in range(LIMITS.cap + 1)]
        await ledger.append(same)
        await folder(ledger, telemetry).fold()
        assert counted(telemetry) == {"folded": LIMITS.cap, "capped": 1}

    run(work)


def test_it_goes_on_when_the_ledger_is_back_and_ends_after_its_batch() -> None:
    async def work() -> None:
        telemetry = Telemetry()
        ledger = AwayAtFirst(LIMITS, telemetry, clock=FakeClock())
        ledger.show("q", SHOWN)
        await ledger.append([facet(0)])
        async with folder(ledger, telemetry):
            await until(lambda: counted(telemetry))
        assert counted(telemetry) == {"folded": 1}

    run(work)


def test_the_service_folds_what_it_is_sent() -> None:
    with TestClient(create_app(Settings.model_validate({"device": "cpu", "feedback": True}))) as client:
        event = {"action_name": "click", "timestamp": round(time.time() * 1000), "client_id": "c", "query_id": "q"}
        assert client.post("/v1/events", json=event).status_code == 202
        folded = 'ranker_events_folded_total{outcome="unknown_query"} 1.0'
        wait_until(lambda: folded in client.get("/metrics").text)
        assert "ranker_events_waiting 0.0" in client.get("/metrics").text


def test_a_process_of_its_own_folds_tells_of_choices_and_ends_when_told(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    async def put_down() -> None:
        async with on_redis(redis_server.url) as ledger:
            ledger.show("q", SHOWN)
            while await ledger.shown(["q"]) == [None]:
                continue
            await ledger.append([facet(number) for number in range(3)])

    run(put_down)
    port = free_port()
    command, environ = (
        [sys.executable, "-m", "service", "fold"],
        environment(redis_url=redis_server.url, redis_prefix="t", metrics_port=str(port)),
    )
    with (
        (tmp_path / "log").open("w") as log,
        ended(subprocess.Popen(command, env=environ, stderr=log, text=True)) as fold,
    ):
        wait_until(lambda: redis_server.client.xlen("{t:feedback}:log") == 3, 60)
        chosen = 'ranker_drift_top_chosen_total{bin="0.5"} 3.0'
        wait_until(lambda: chosen in httpx.get(f"http://127.0.0.1:{port}/metrics").text)
        assert httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200  # what the image's health check asks
        fold.terminate()
        assert fold.wait(20) == 0
    assert redis_server.client.hlen("{t:feedback}:scope:all") == 2


def test_folding_alone_needs_redis() -> None:
    assert "folding alone needs RANKER_REDIS_URL" in service("fold").stderr
