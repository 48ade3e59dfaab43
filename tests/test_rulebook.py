"""Rules in force: a file that changes under the service, calls, what other processes are told, what the log says."""

import asyncio
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeClock, RedisServer, run, until
from redis_topologies import RedisCluster

from service.cache.connection import connect
from service.cache.rules import RedisRules
from service.errors import BadInput, LedgerAway, RuleRefused, StartError
from service.rulebook import Rulebook, Store
from service.telemetry import Telemetry
from service.weighting import WeightedAttribute, Weighting

HIDE_PRICE = '[[rule]]\nid = "no-price"\nattribute = "price"\naction = "hide"\n'
PIN_COLOR = '[[rule]]\nid = "color-first"\nquery = "wool rug"\nattribute = "color"\naction = "pin"\nposition = 1\n'
FLOOR: dict[str, Any] = {"id": "some-size", "attribute": "size", "action": "floor", "weight": 0.2, "kind": "rug"}
SECRET = "a query that nobody may read"


class FakeStore:
    """Keeps rules by call for several books, unless it is away."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.away = False

    async def read(self) -> Mapping[str, bytes]:
        self._check()
        return dict(self.kept)

    async def put(self, rule_id: str, content: bytes) -> None:
        self._check()
        self.kept[rule_id] = content

    async def drop(self, rule_id: str) -> None:
        self._check()
        self.kept.pop(rule_id, None)

    def _check(self) -> None:
        if self.away:
            raise LedgerAway("away")


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, "service.rulebook"):
        yield caplog


def written(folder: Path, content: str, *, at: int = 1) -> Path:
    """The file with this content, changed at that time."""
    file = folder / "rules.toml"
    file.write_text(content, encoding="utf-8")
    os.utime(file, (at, at))
    return file


@asynccontextmanager
async def opened(file: Path | None = None, store: Store | None = None, **more: Any) -> Any:
    """A book that looks for changes only when it is asked to, unless it is told how often."""
    async with Rulebook(more.pop("telemetry", Telemetry()), file=file, store=store, **{"every": 3600.0} | more) as book:
        yield book


def weighting(**weights: float) -> Weighting:
    found = sorted(weights.items(), key=lambda item: -item[1])
    return Weighting(
        tuple(WeightedAttribute(place, name, weight, 0.0, ()) for place, (name, weight) in enumerate(found)),
        1.0,
        0,
        0,
        "",
    )


def shown(book: Rulebook, query: str = "wool rug", kind: str = "") -> list[str]:
    """The attributes of an answer under the rules, in their order."""
    return [each.attribute for each in book.apply(weighting(price=0.5, size=0.3, color=0.2), query, kind).attributes]


def ids(book: Rulebook) -> list[str]:
    return [rule.id for rule in book.all()]


def audited(log: pytest.LogCaptureFixture) -> list[tuple[str, str, str]]:
    lines = [record.__dict__["fields"] for record in log.records if record.getMessage() == "rule"]
    return [(line["id"], line["by"], line["happened"]) for line in lines]


def stale(telemetry: Telemetry, source: str) -> float | None:
    return telemetry.registry.get_sample_value("ranker_rules_stale", {"source": source})


def test_rules_of_a_file_are_in_force_from_the_start(tmp_path: Path) -> None:
    async def work() -> None:
        async with opened(written(tmp_path, HIDE_PRICE + PIN_COLOR)) as book:
            assert shown(book) == ["color", "size"]
            assert shown(book, "silk rug") == ["size", "color"]

    run(work)


def test_an_answer_that_no_rule_is_for_is_the_very_same() -> None:
    async def work() -> None:
        async with opened() as book:
            found = weighting(size=0.3, color=0.7)
            assert book.apply(found, "wool rug", "rug") is found
            await book.put(FLOOR)
            assert book.apply(found, "wool rug", "lamp") is found

    run(work)


def test_an_answer_tells_the_rules_the_hidden_and_its_new_entropy(tmp_path: Path) -> None:
    async def work() -> None:
        telemetry = Telemetry()
        async with opened(written(tmp_path, HIDE_PRICE), telemetry=telemetry) as book:
            found = book.apply(weighting(price=0.5, color=0.5), "rug", "")
            assert [each.weight for each in found.attributes] == [1.0]
            assert [(each.attribute, each.weight) for each in found.hidden] == [("price", 0.0)]
            assert found.rules == (("no-price", "price", "hide"),)
            assert found.entropy == 0
        assert telemetry.registry.get_sample_value("ranker_rules_applied_total", {"action": "hide"}) == 1

    run(work)


def test_a_rule_for_a_kind_holds_where_the_request_names_it() -> None:
    async def work() -> None:
        async with opened() as book:
            await book.put({"id": "a", "kind": "Rug", "attribute": "color", "action": "pin", "position": 1})
            assert shown(book, kind="rug") == ["color", "price", "size"]
            assert shown(book) == ["price", "size", "color"]

    run(work)


def test_a_rule_begins_and_ends_by_the_clock() -> None:
    async def work() -> None:
        clock = FakeClock()
        async with opened(clock=clock) as book:
            times = {"start": "1970-01-01T00:20:00Z", "end": "1970-01-01T00:30:00Z"}
            await book.put({"id": "a", "attribute": "price", "action": "hide"} | times)
            found = []
            for clock.now in (1199.0, 1200.0, 1799.0, 1800.0):
                found.append("price" in shown(book))
            assert found == [True, False, False, True]

    run(work)


def test_a_rule_whose_end_has_passed_is_refused_by_call_and_kept_in_a_file(tmp_path: Path) -> None:
    async def work() -> None:
        clock = FakeClock()
        async with opened(written(tmp_path, HIDE_PRICE + "end = 1970-01-01T00:16:40Z\n"), clock=clock) as book:
            for end in ("1970-01-01T00:16:40Z", "1970-01-01T00:00:00+08:00"):
                with pytest.raises(BadInput, match="end has passed") as refused:
                    await book.put(FLOOR | {"end": end})
                assert refused.value.field == "end"
            await book.put(FLOOR | {"end": "1970-01-01T00:16:41Z"})
            assert ids(book) == ["no-price", "some-size"]

    run(work)


def test_a_changed_file_is_read_again(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with opened(written(tmp_path, HIDE_PRICE)) as book:
            written(tmp_path, PIN_COLOR, at=2)
            await book.refresh()
            assert ids(book) == ["color-first"]
            written(tmp_path, PIN_COLOR.replace("1", "2"), at=3)
            await book.refresh()
            assert shown(book) == ["price", "color", "size"]

    run(work)
    assert audited(log) == [
        ("no-price", "file", "added"),
        ("color-first", "file", "added"),
        ("no-price", "file", "removed"),
        ("color-first", "file", "changed"),
    ]


def test_a_change_is_seen_without_being_asked_for(tmp_path: Path) -> None:
    async def work() -> None:
        async with opened(written(tmp_path, HIDE_PRICE), every=0.001) as book:
            written(tmp_path, PIN_COLOR, at=2)
            await until(lambda: ids(book) == ["color-first"])

    run(work)


def test_nothing_looks_for_changes_when_the_book_is_closed(tmp_path: Path) -> None:
    async def work() -> None:
        before = asyncio.all_tasks()
        async with opened(written(tmp_path, HIDE_PRICE), FakeStore()):
            assert asyncio.all_tasks() > before
        assert asyncio.all_tasks() == before

    run(work)


BAD = {
    "[[rule]": "TOML",
    "x = [" + "[" * 5000: "deeply nested",
    "\udcff": "not UTF-8",
    "rule = 1": "no list",
    "[[rule]]\nid = 'a'": "without an attribute",
    HIDE_PRICE + HIDE_PRICE: "one id twice",
    HIDE_PRICE + "[others]\n": "something else",
    "#" * 8_000_001: "too large",
}


@pytest.mark.parametrize("content", BAD, ids=BAD.values())
def test_a_bad_file_leaves_the_rules_before_it_in_force_and_is_told_once(
    content: str, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        telemetry = Telemetry()
        async with opened(written(tmp_path, HIDE_PRICE), telemetry=telemetry) as book:
            (tmp_path / "rules.toml").write_bytes(content.encode(errors="surrogateescape"))
            await book.refresh()
            await book.refresh()
            assert ids(book) == ["no-price"]
            assert stale(telemetry, "file") == 1
            written(tmp_path, PIN_COLOR, at=3)
            await book.refresh()
            assert ids(book) == ["color-first"]
            assert stale(telemetry, "file") == 0

    run(work)
    (told,) = [record.getMessage() for record in log.records if record.levelno == logging.ERROR]
    assert told.startswith("rules by file cannot be read, those read before stay in force: ")
    assert "\n" not in told


def test_a_file_that_goes_and_comes_back_is_in_force_all_the_time(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        telemetry = Telemetry()
        async with opened(written(tmp_path, HIDE_PRICE), telemetry=telemetry) as book:
            (tmp_path / "rules.toml").rename(tmp_path / "away")
            await book.refresh()
            await book.refresh()
            assert (ids(book), stale(telemetry, "file")) == (["no-price"], 1)
            (tmp_path / "away").rename(tmp_path / "rules.toml")
            await book.refresh()
            assert (ids(book), stale(telemetry, "file")) == (["no-price"], 0)

    run(work)
    assert len([record for record in log.records if record.levelno == logging.ERROR]) == 1


def test_a_bad_rule_is_named_by_its_number_and_field(tmp_path: Path) -> None:
    async def work() -> None:
        with pytest.raises(StartError, match=r"RANKER_RULES .*: rule 2: position is a whole number from 1 to 256"):
            async with opened(written(tmp_path, HIDE_PRICE + PIN_COLOR.replace("= 1", "= 0"))):
                pass

    run(work)


def test_a_file_that_is_not_there_ends_the_start(tmp_path: Path) -> None:
    async def work() -> None:
        with pytest.raises(StartError, match="cannot be used: No such file or directory"):
            async with opened(tmp_path / "none.toml"):
                pass

    run(work)


def test_calls_put_change_and_delete_rules_with_a_line_each(log: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with opened() as book:
            await book.put(FLOOR)
            await book.put(FLOOR | {"weight": 0.3})
            assert [rule.amount for rule in book.all()] == [0.3]
            assert await book.delete("some-size")
            assert not await book.delete("some-size")
            assert ids(book) == []

    run(work)
    assert audited(log) == [("some-size", "admin", happened) for happened in ("added", "changed", "removed")]


def test_the_log_holds_no_query(log: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with opened() as book:
            await book.put({"id": "a", "attribute": "price", "action": "hide", "query": SECRET, "note": SECRET})

    run(work)
    assert audited(log)
    assert SECRET not in "".join(str(record.__dict__) for record in log.records)


def test_a_rule_that_cannot_be_changes_nothing() -> None:
    async def work() -> None:
        store = FakeStore()
        async with opened(store=store) as book:
            with pytest.raises(BadInput):
                await book.put(FLOOR | {"weight": 2})
            assert (ids(book), store.kept) == ([], {})

    run(work)


def test_the_files_rules_cannot_be_changed_by_call(tmp_path: Path) -> None:
    async def work() -> None:
        async with opened(written(tmp_path, HIDE_PRICE)) as book:
            with pytest.raises(RuleRefused, match="no-price is the file's"):
                await book.put(FLOOR | {"id": "no-price"})
            with pytest.raises(RuleRefused):
                await book.delete("no-price")
            assert shown(book) == ["size", "color"]

    run(work)


def test_an_id_that_the_file_takes_later_is_the_files(tmp_path: Path) -> None:
    async def work() -> None:
        async with opened(written(tmp_path, PIN_COLOR)) as book:
            await book.put({"id": "no-price", "attribute": "size", "action": "hide"})
            written(tmp_path, HIDE_PRICE, at=2)
            await book.refresh()
            assert [rule.by for rule in book.all()] == ["file"]
            assert shown(book) == ["size", "color"]

    run(work)


def test_what_one_process_is_told_the_others_know() -> None:
    async def work() -> None:
        store = FakeStore()
        async with opened(store=store) as one, opened(store=store) as other:
            await one.put(FLOOR)
            await other.refresh()
            assert ids(other) == ["some-size"]
            await other.delete("some-size")
            await one.refresh()
            assert ids(one) == []

    run(work)


def gone(log: pytest.LogCaptureFixture) -> list[tuple[str, str, str]]:
    lines = [(record.levelname, record.__dict__["fields"]) for record in log.records if record.getMessage() == "rule"]
    return [(level, line["id"], line["by"]) for level, line in lines if line["happened"] == "gone"]


def test_rules_that_the_store_has_lost_are_told_once_each(log: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        store, clock = FakeStore(), FakeClock()
        async with opened(store=store, clock=clock) as book:
            for rule_id in ("b", "a"):
                await book.put(FLOOR | {"id": rule_id})
            await book.put(FLOOR | {"id": "over", "end": "1970-01-01T00:16:41Z"})
            await book.refresh()
            clock.now += 1
            store.kept.clear()
            await book.refresh()
            await book.refresh()
            assert ids(book) == []

    run(work)
    assert gone(log) == [("WARNING", "a", "redis"), ("WARNING", "b", "redis")]


def test_a_rule_that_was_deleted_through_another_process_is_told_without_a_warning(
    log: pytest.LogCaptureFixture,
) -> None:
    async def work() -> None:
        store = FakeStore()
        async with opened(store=store) as one, opened(store=store) as other:
            for rule_id in ("a", "b"):
                await one.put(FLOOR | {"id": rule_id})
            await other.refresh()
            await one.delete("a")
            await one.refresh()
            await other.refresh()

    run(work)
    assert gone(log) == [("INFO", "a", "redis")]


def test_while_the_store_is_away_rules_stay_and_none_can_be_put(log: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        store, telemetry = FakeStore(), Telemetry()
        async with opened(store=store, telemetry=telemetry) as book:
            await book.put(FLOOR)
            store.away = True
            with pytest.raises(LedgerAway):
                await book.put(FLOOR | {"id": "another"})
            with pytest.raises(LedgerAway):
                await book.delete("some-size")
            await book.refresh()
            await book.refresh()
            assert (ids(book), stale(telemetry, "admin")) == (["some-size"], 1)
            store.away = False
            await book.refresh()
            assert (ids(book), stale(telemetry, "admin")) == (["some-size"], 0)

    run(work)
    assert len([record for record in log.records if record.levelno == logging.ERROR]) == 1


def test_a_store_that_is_away_at_the_start_is_read_when_it_is_back() -> None:
    async def work() -> None:
        store = FakeStore()
        async with opened(store=store) as book:
            await book.put(FLOOR)
        store.away = True
        async with opened(store=store) as book:
            store.away = False
            await book.refresh()
            assert ids(book) == ["some-size"]

    run(work)


@pytest.mark.parametrize(
    "rubbish", [b"", b"[]", b"{}", b'{"id": "other", "attribute": "a", "action": "hide"}', b"\xff"]
)
def test_what_is_no_rule_in_the_store_is_told_and_the_others_hold(
    rubbish: bytes, log: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        store, telemetry = FakeStore(), Telemetry()
        async with opened(store=store, telemetry=telemetry) as book:
            await book.put(FLOOR)
            store.kept["rubbish"] = rubbish
            await book.refresh()
            await book.refresh()
            assert (ids(book), stale(telemetry, "admin")) == (["some-size"], 1)

    run(work)
    (told,) = [record.getMessage() for record in log.records if record.levelno == logging.ERROR]
    assert "the first has the id rubbish" in told


def test_redis_keeps_rules_under_one_tagged_key_that_does_not_expire(redis_server: RedisServer) -> None:
    async def work() -> None:
        client = connect(redis_server.url)
        store = RedisRules(client, prefix="t")
        assert await store.read() == {}
        async with opened(store=store) as one, opened(store=RedisRules(client, prefix="t")) as other:
            await one.put(FLOOR)
            await other.refresh()
            assert other.all() == one.all()
            assert await one.delete("some-size")
            await one.put(FLOOR)
        await client.aclose()

    run(work)
    assert redis_server.client.keys() == [b"{t:feedback}:rules"]
    assert redis_server.client.ttl("{t:feedback}:rules") == -1


@pytest.mark.slow  # a cluster holds itself for down in its first two seconds
def test_a_cluster_keeps_rules(tmp_path: Path) -> None:
    async def work() -> None:
        with RedisCluster(tmp_path) as cluster:
            client = connect(cluster.url)
            store = RedisRules(client, prefix="t")
            await store.put("a", b"1")
            await store.put("b", b"2")
            await store.drop("a")
            assert await store.read() == {"b": b"2"}
            await client.aclose()

    run(work)


def test_a_redis_that_is_gone_or_holds_something_else_is_away(redis_server: RedisServer) -> None:
    async def work() -> None:
        client = connect(redis_server.url)
        store = RedisRules(client, prefix="t")
        redis_server.client.set("{t:feedback}:rules", "rubbish")
        for asked in (store.read(), store.put("a", b""), store.drop("a")):
            with pytest.raises(LedgerAway):
                await asked
        redis_server.stop()
        with pytest.raises(LedgerAway):
            await store.read()
        await client.aclose()

    run(work)
