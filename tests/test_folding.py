"""The consumer: what waits is folded once, whatever an entry holds and whenever the ledger is away."""

import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes import FakeClock, RedisServer, ended, fold_in, free_port, run, until, wait_until
from starlette.testclient import TestClient
from test_ledgers import LIMITS, memory, on_redis
from test_start import environment
from test_start import run as service

from service.app import create_app
from service.errors import LedgerAway
from service.evidence import observed
from service.feedback.folding import Folder
from service.feedback.intake import Intake
from service.feedback.keys import EVERYTHING, FACET_POSITIONS, POSITIONS, attribute_field, query_scope
from service.feedback.ledger import SILENT_S, Entry, Folded, Ledger, Outcome, Pending
from service.feedback.memory import MemoryLedger
from service.feedback.shown import Shown, ShownProduct, encode, key
from service.feedback.ubi import Rules
from service.settings import Settings
from service.telemetry import FOLDED, Telemetry

SHOWN = encode(Shown((query_scope("red rug"), EVERYTHING), {"color": 0.5, "size": 0.5}))
RUGS = encode(
    Shown(
        (query_scope("red rug"), EVERYTHING),
        {"color": 1.0},
        [ShownProduct("a", {"color": ("blue", 0.0)}, "Rug"), ShownProduct("b", {"color": ("red", 1.0)}, "Red rug")],
        query="red rug",
    )
)


def facet(number: int, query_id: str = "q", name: str = "color") -> Entry:
    what = {"object": {"object_id": name, "object_id_type": "attribute"}}
    event = {"action_name": "facet_select", "query_id": query_id, "client_id": f"c{number}", "timestamp": 900_000}
    return Entry(b"%016d" % number, f"c{number}", "", json.dumps(event | {"event_attributes": what}).encode())


def bought(number: int, product: str = "b") -> Entry:
    event = {"action_name": "purchase", "query_id": "q", "client_id": f"c{number}", "timestamp": 900_000}
    what = {"object": {"object_id": product}}
    return Entry(b"%016d" % number, f"c{number}", "", json.dumps(event | {"event_attributes": what}).encode())


def of_person(entry: Entry, user: str) -> Entry:
    event = json.loads(entry.content) | {"user_id": user}
    return entry._replace(user=user, content=json.dumps(event).encode())


class AwayOnce(MemoryLedger):
    """One that is away when it is to fold for the first time."""

    asked = 0

    async def fold(self, consumer: str, folded: Sequence[Folded]) -> list[Outcome]:
        self.asked += 1
        if self.asked == 1:
            raise LedgerAway("away")
        return await super().fold(consumer, folded)


class FailsAtFirst(MemoryLedger):
    """One whose first look fails."""

    failure: Exception | None = None

    async def waiting(self, consumer: str, most: int) -> list[Pending]:
        failure, self.failure = self.failure, None
        if failure:
            raise failure
        return await super().waiting(consumer, most)


def folder(ledger: Ledger, telemetry: Telemetry) -> Folder:
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
        ledger.show(key("q", products=False), encode(Shown((EVERYTHING,), {"Color": 0.7, "size": 0.3})))
        ledger.show(
            key("by chance", products=False), encode(Shown((EVERYTHING,), {"Color": 0.7, "size": 0.3}, explored=True))
        )
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
        ledger.show(key("q", products=False), SHOWN)
        ledger.show(key("broken", products=False), b"rubbish")
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


def test_a_query_that_shows_nothing_counts_as_nothing() -> None:
    async def work() -> None:
        (ledger, clock), telemetry = memory(), Telemetry()
        asked = {"user_query": "red rug", "query_id": "q"}
        showed = {"user_query": "red rug", "query_id": "p", "query_response_hit_ids": ["a", "b"]}
        await Intake(ledger, telemetry, Rules(b"secret", 60, 60), clock).take([asked, {"user_query": "rug"}, showed])
        await folder(ledger, telemetry).fold()
        assert counted(telemetry) == {"nothing": 3}

    run(work)


def test_of_one_page_a_facet_refers_to_the_attributes_and_a_product_to_the_products() -> None:
    async def work() -> None:
        ledger, _ = memory()
        telemetry = Telemetry()
        ledger.show(key("q", products=False), SHOWN)
        ledger.show(key("q", products=True), RUGS)
        await ledger.append([facet(1), bought(2)])
        await folder(ledger, telemetry).fold()
        assert counted(telemetry) == {"folded": 2}

    run(work)


def test_facets_are_corrected_by_places_of_facets_alone() -> None:
    async def work() -> None:
        ledger, _ = memory()
        ledger.show(key("q", products=False), SHOWN)
        ledger.show(key("q", products=True), RUGS)
        often = {b"p:1": observed(1, 2500, 900.0, "1"), b"p:2": observed(5000, 2500, 900.0, "2")}
        await fold_in(ledger, FACET_POSITIONS, often)
        await ledger.append([facet(1, name="size"), bought(2)])
        await folder(ledger, Telemetry()).fold()
        log = [json.loads(each.content) for each in await ledger.logged("", 50) if each.content]
        notes = [each["event_attributes"]["shown"] for each in log if "action_name" in each]
        assert [note["propensity"] for note in notes] == [1.0, 0.7071]
        assert [len(found) for found in await ledger.evidence([FACET_POSITIONS, POSITIONS])] == [2, 1]

    run(work)


async def searches(ledger: MemoryLedger, *entries: Entry, by: Folder | None = None) -> list[dict[str, Any]]:
    """The queries of the log after these were folded."""
    await ledger.append(entries)
    await (by or folder(ledger, Telemetry())).fold()
    log = [json.loads(each.content) for each in await ledger.logged("", 50)]
    return [each for each in log if "user_query" in each]


def test_the_log_has_a_search_once_and_its_events_with_their_places() -> None:
    async def work() -> None:
        ledger, _ = memory()
        ledger.show(key("q", products=True), RUGS)
        ours = folder(ledger, Telemetry())
        (search,) = await searches(ledger, bought(1), bought(2, "a"), by=ours)
        assert (search["user_query"], search["query_response_hit_ids"]) == ("red rug", ["a", "b"])
        assert await searches(ledger, bought(3), by=ours) == [search]
        notes = [json.loads(each.content)["event_attributes"]["shown"] for each in (await ledger.logged("", 50))[1:]]
        assert [(note["object_id"], note["ordinal"]) for note in notes] == [("b", 2), ("a", 1), ("b", 2)]
        assert [note["propensity"] for note in notes] == [pytest.approx(each, abs=0.01) for each in (0.71, 1, 0.71)]

    run(work)


def test_the_log_has_a_search_again_that_showed_something_else() -> None:
    async def work() -> None:
        ledger, _ = memory()
        ours = folder(ledger, Telemetry())
        for number, names in enumerate((("color", "size"), ("size", "color"), ("size", "color"))):
            shown = Shown((EVERYTHING,), dict.fromkeys(names, 0.5), query="red rug")
            ledger.show(key("q", products=False), encode(shown))
            found = await searches(ledger, facet(number), by=ours)
        orders = [each["query_attributes"]["shown"]["attributes"] for each in found]
        assert orders == [["color", "size"], ["size", "color"]]

    run(work)


def test_a_search_is_logged_again_where_the_ledger_was_away_before() -> None:
    async def work() -> None:
        clock = FakeClock()
        ledger = AwayOnce(LIMITS, Telemetry(), clock=clock)
        ledger.show(key("q", products=True), RUGS)
        ours = folder(ledger, Telemetry())
        with pytest.raises(LedgerAway):
            await searches(ledger, bought(1), by=ours)
        clock.now += SILENT_S
        ledger.show(key("q", products=True), RUGS)
        assert len(await searches(ledger, bought(1), by=ours)) == 1

    run(work)


@pytest.mark.parametrize(("user", "logged"), [("", 0), ("hash", 1)])
def test_what_was_asked_for_a_person_is_logged_with_a_persons_events_alone(user: str, logged: int) -> None:
    async def work() -> None:
        ledger, _ = memory()
        shown = Shown((EVERYTHING,), {"color": 0.5, "size": 0.5}, query="red rug", named=True)
        ledger.show(key("q", products=False), encode(shown))
        found = await searches(ledger, of_person(facet(1), user) if user else facet(1))
        assert [each["user_id"] for each in found] == [user] * logged
        assert len(await ledger.logged("", 50)) == 1 + logged
        assert await ledger.forget_user("hash") == bool(logged)
        assert len(await ledger.logged("", 50)) == 1 - logged

    run(work)


def test_a_search_of_a_person_who_was_forgotten_is_logged_with_what_they_do_next() -> None:
    async def work() -> None:
        ledger, _ = memory()
        ledger.show(key("q", products=True), RUGS)
        ours = folder(ledger, Telemetry())
        first, second, third = (of_person(bought(number), "hash") for number in range(3))
        assert len(await searches(ledger, first, second, by=ours)) == 1
        await ledger.forget_user("hash")
        (search,) = await searches(ledger, third, by=ours)
        assert (search["user_query"], search["user_id"]) == ("red rug", "hash")

    run(work)


def test_what_was_folded_for_a_query_can_be_taken_back_from_everything() -> None:
    async def work() -> None:
        ledger, _ = memory()
        ledger.show(key("q", products=False), SHOWN)
        await ledger.append([facet(1), facet(2)])
        await folder(ledger, Telemetry()).fold()
        await ledger.take_back(query_scope("red rug"))
        assert await ledger.evidence([query_scope("red rug"), EVERYTHING]) == [{}, {}]

    run(work)


def test_a_client_beyond_its_cap_is_counted_as_such() -> None:
    async def work() -> None:
        ledger, _ = memory()
        telemetry = Telemetry()
        ledger.show(key("q", products=False), SHOWN)
        same = [facet(0)._replace(once=b"%016d" % number) for number in range(LIMITS.cap + 1)]
        await ledger.append(same)
        await folder(ledger, telemetry).fold()
        assert counted(telemetry) == {"folded": LIMITS.cap, "capped": 1}

    run(work)


@pytest.mark.parametrize(("failure", "told"), [(LedgerAway("away"), False), (KeyError("u"), True)])
def test_it_goes_on_after_a_fault_and_ends_after_its_batch(
    caplog: pytest.LogCaptureFixture, failure: Exception, told: bool
) -> None:
    async def work() -> None:
        telemetry = Telemetry()
        ledger = FailsAtFirst(LIMITS, telemetry, clock=FakeClock())
        ledger.failure = failure
        ledger.show(key("q", products=False), SHOWN)
        await ledger.append([facet(0)])
        async with folder(ledger, telemetry):
            await until(lambda: counted(telemetry))
        assert counted(telemetry) == {"folded": 1}
        assert ("events could not be folded" in caplog.text) == told

    run(work)


@pytest.mark.parametrize("foreign", [{"foo": "bar"}, {"c": "", "u": b"\xff", "e": "{}"}])
def test_an_entry_of_somebody_elses_is_unreadable_and_out_of_the_way(
    redis_server: RedisServer, foreign: dict[str, str | bytes]
) -> None:
    async def work() -> None:
        redis: Any = redis_server.client
        telemetry = Telemetry()
        redis.execute_command("XADD", "{t:feedback}:queue", "*", *itertools.chain(*foreign.items()))
        async with on_redis(redis_server.url) as ledger:
            await ledger.append([facet(1)])
            assert await folder(ledger, telemetry).fold() == 2
            assert counted(telemetry) == {"unreadable": 1, "unknown_query": 1}
            assert redis.xlen("{t:feedback}:queue") == 0
            assert facet(1).content in [each.content for each in await ledger.logged("", 10)]

    run(work)


def test_the_service_folds_what_it_is_sent() -> None:
    with TestClient(create_app(Settings.model_validate({"device": "cpu", "feedback": True}))) as client:
        event = {"action_name": "click", "timestamp": round(time.time() * 1000), "client_id": "c", "query_id": "q"}
        assert client.post("/v1/events", json=event).status_code == 202
        folded = 'ranker_events_folded_total{outcome="unknown_query"} 1.0'
        wait_until(lambda: folded in client.get("/metrics").text)
        assert "ranker_events_waiting 0.0" in client.get("/metrics").text


def test_a_service_that_does_not_fold_knows_when_another_has(redis_server: RedisServer) -> None:
    given = {"device": "cpu", "feedback": True, "feedback_key": "key", "fold": False, "redis_prefix": "t"}
    with TestClient(create_app(Settings.model_validate(given | {"redis_url": redis_server.url}))) as client:
        event = {"action_name": "click", "timestamp": round(time.time() * 1000), "client_id": "c", "query_id": "q"}
        assert client.post("/v1/events", json=event).status_code == 202
        assert "ranker_events_waiting 1.0" in client.get("/metrics").text

        async def fold() -> None:
            async with on_redis(redis_server.url) as ledger:
                assert await folder(ledger, Telemetry()).fold() == 1

        run(fold)
        wait_until(lambda: "ranker_events_waiting 0.0" in client.get("/metrics").text)


def test_a_process_of_its_own_folds_tells_of_choices_and_ends_when_told_and_by_no_hangup(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    async def put_down() -> None:
        async with on_redis(redis_server.url) as ledger:
            ledger.show(key("q", products=False), SHOWN)
            while await ledger.shown([key("q", products=False)]) == [None]:
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
        fold.send_signal(signal.SIGHUP)
        chosen = 'ranker_drift_top_chosen_total{bin="0.5"} 3.0'
        wait_until(lambda: chosen in httpx.get(f"http://127.0.0.1:{port}/metrics").text)
        assert httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200  # what the image's health check asks
        fold.terminate()
        assert fold.wait(20) == 0
    assert redis_server.client.hlen("{t:feedback}:scope:all") == 2


def test_folding_alone_needs_redis() -> None:
    assert "folding alone needs RANKER_REDIS_URL" in service("fold").stderr
