"""Both ledgers, in process and in Redis, keep the same promises, and by the same events hold the same evidence."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeClock, RedisServer, run, until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis_topologies import FaultProxy, RedisCluster
from test_dynamics import options

from service.cache.connection import connect
from service.cache.ledger import TIDY_EVERY_S, RedisLedger
from service.cache.redis import RedisCache
from service.errors import LedgerAway, Overloaded
from service.evidence import HalfLives, Observed, Shrinkage, merged, observed
from service.feedback.choices import additions
from service.feedback.dynamics import Dynamics, Names
from service.feedback.keys import (
    EVERYTHING,
    attribute_field,
    kind_scope,
    query_scope,
    user_key,
    value_field,
)
from service.feedback.ledger import (
    FIELDS_LEFT,
    MOST_FIELDS,
    MOST_PEOPLE,
    SILENT_S,
    Entry,
    Fields,
    Folded,
    Ledger,
    Limits,
    Pending,
)
from service.feedback.memory import MemoryLedger
from service.feedback.positions import Propensities
from service.feedback.shown import Shown
from service.feedback.snapshots import Snapshots
from service.feedback.ubi import Event
from service.telemetry import Telemetry

LIMITS = Limits(
    HalfLives(100.0, 1000.0), window_s=60, waiting=10, kept=100, cap=2, cap_s=86_400, ttl_s=5000, shown_s=30
)
ONE = {EVERYTHING: {b"a:color": observed(1, 0.5, 900.0, "Color")}}
Work = Callable[[Ledger], Awaitable[None]]


def entry(number: int, user: str = "") -> Entry:
    return Entry(b"%016d" % number, "client", user, b'{"n":%d}' % number)


def folded(entries: list[Pending], additions: dict[str, dict[bytes, Observed]], capped: str = "") -> list[Folded]:
    return [Folded(each.id, each.user, capped, additions) for each in entries]


def memory(limits: Limits = LIMITS) -> tuple[MemoryLedger, FakeClock]:
    clock = FakeClock()
    return MemoryLedger(limits, Telemetry(), clock=clock), clock


def waiting(telemetry: Telemetry) -> tuple[float | None, float | None]:
    """How many events wait, and for how long the oldest has, as it was told last."""
    value = telemetry.registry.get_sample_value
    return value("ranker_events_waiting"), value("ranker_events_oldest_seconds")


@asynccontextmanager
async def on_redis(url: str, limits: Limits = LIMITS, *, silent_s: float = SILENT_S) -> AsyncIterator[RedisLedger]:
    client, telemetry = connect(url), Telemetry()
    async with RedisCache(client, telemetry, prefix="t", timeout=1.0, ttl_s=60) as cache:
        yield RedisLedger(client, cache, limits, telemetry, prefix="t", silent_s=silent_s)


@pytest.fixture(params=["in process", "in Redis"])
def each(request: pytest.FixtureRequest) -> Callable[[Work], None]:
    """Does the work with a ledger, new and empty."""

    def within(work: Work) -> None:
        async def opened() -> None:
            if request.param == "in process":
                await work(memory()[0])
            else:
                async with on_redis(request.getfixturevalue("redis_server").url) as ledger:
                    await work(ledger)

        run(opened)

    return within


Each = Callable[[Work], None]


def test_an_event_is_taken_once(each: Each) -> None:
    async def work(ledger: Ledger) -> None:
        assert await ledger.append([]) == []
        assert await ledger.append([entry(1), entry(2), entry(1)]) == [True, True, False]
        assert await ledger.append([entry(2), entry(3)]) == [False, True]

    each(work)


def test_more_than_may_wait_are_refused_as_a_whole(each: Each) -> None:
    async def work(ledger: Ledger) -> None:
        await ledger.append([entry(number) for number in range(8)])
        with pytest.raises(Overloaded, match="8 events wait"):
            await ledger.append([entry(number) for number in range(8, 11)])
        assert len(await ledger.waiting("a", 20)) == 8

    each(work)


def test_an_entry_comes_back_as_it_was_put_down(each: Each) -> None:
    async def work(ledger: Ledger) -> None:
        assert await ledger.waiting("a", 1) == []
        await ledger.append([Entry(b"\0" * 16, "", "ü", b"\r\n\0\xff"), entry(2)])
        (found,) = await ledger.waiting("a", 1)
        assert (found.client, found.user, found.content) == ("", "ü", b"\r\n\0\xff")

    each(work)


def test_evidence_adds_up_and_what_was_folded_is_in_the_log_alone(each: Each) -> None:
    async def work(ledger: Ledger) -> None:
        await ledger.append([entry(1), entry(2)])
        taken = await ledger.waiting("a", 10)
        assert await ledger.fold("a", folded(taken, ONE)) == ["folded", "folded"]
        (found,) = ONE[EVERYTHING].values()
        both = {b"a:color": merged(found, found, LIMITS.half_lives)}
        assert await ledger.evidence([EVERYTHING, "scope:other"]) == [both, {}]
        assert await ledger.evidence([EVERYTHING], [b"a:size", b"a:color"]) == [both]
        assert await ledger.waiting("a", 10) == []
        log = await ledger.logged("", 10)
        assert [each.content for each in log] == [b'{"n":1}', b'{"n":2}']
        assert await ledger.logged(log[0].id, 10) == log[1:]
        assert await ledger.logged("", 1) == log[:1]

    each(work)


def test_an_entry_is_its_consumers_and_folded_once(each: Each) -> None:
    async def work(ledger: Ledger) -> None:
        await ledger.append([entry(1)])
        taken = await ledger.waiting("a", 10)
        assert await ledger.waiting("b", 10) == []
        assert await ledger.fold("b", folded(taken, ONE)) == ["gone"]
        assert await ledger.fold("a", folded(taken * 2, ONE)) == ["folded", "gone"]
        assert await ledger.fold("a", folded(taken, ONE)) == ["gone"]
        assert await ledger.evidence([EVERYTHING]) == [ONE[EVERYTHING]]

    each(work)


def test_a_client_adds_to_one_thing_so_often(each: Each) -> None:
    async def work(ledger: Ledger) -> None:
        await ledger.append([entry(number) for number in range(4)])
        taken = await ledger.waiting("a", 10)
        assert await ledger.fold("a", folded(taken[:3], ONE, "client and scope")) == ["folded", "folded", "capped"]
        assert await ledger.fold("a", folded(taken[3:], ONE, "client and other scope")) == ["folded"]
        assert len(await ledger.logged("", 10)) == 3

    each(work)


def test_a_client_adds_to_a_key_so_often_and_goes_on_adding_to_others(each: Each) -> None:
    async def work(ledger: Ledger) -> None:
        await ledger.append([entry(number) for number in range(4)])
        taken = await ledger.waiting("a", 10)
        sums = ONE | {"scope:query": ONE[EVERYTHING]}
        capped = [
            Folded(each.id, "", "", sums, {EVERYTHING: "one" if n < 3 else "other"}) for n, each in enumerate(taken)
        ]
        assert await ledger.fold("a", capped) == ["folded"] * 4
        everything, query = await ledger.evidence([EVERYTHING, "scope:query"])
        ((field, once),) = ONE[EVERYTHING].items()
        assert everything[field].chosen_long == pytest.approx(3 * once.chosen_long)
        assert query[field].chosen_long == pytest.approx(4 * once.chosen_long)

    each(work)


def test_a_key_holds_so_many_fields_and_the_least_expected_go(each: Each) -> None:
    async def work(ledger: Ledger) -> None:
        fields = {b"a:%03d" % n: observed(1, 1 + n // 2, 900.0, str(n)) for n in range(MOST_FIELDS + 1)}
        await ledger.append([entry(1)])
        await ledger.fold("a", folded(await ledger.waiting("a", 1), {EVERYTHING: fields}))
        assert await ledger.evidence([EVERYTHING]) == [dict(list(fields.items())[-FIELDS_LEFT:])]

    each(work)


def test_what_was_shown_is_known_by_its_query(each: Each) -> None:
    async def work(ledger: Ledger) -> None:
        ledger.show("q", b"shown")
        found: list[bytes | None] = [None, None]
        while found != [b"shown", None]:
            found = await ledger.shown(["q", "other"])

    each(work)


def test_evidence_can_be_forgotten(each: Each) -> None:
    async def work(ledger: Ledger) -> None:
        await ledger.append([entry(1)])
        await ledger.fold("a", folded(await ledger.waiting("a", 1), ONE))
        assert (await ledger.take_back(EVERYTHING), await ledger.take_back(EVERYTHING)) == ({EVERYTHING}, set())
        assert await ledger.evidence([EVERYTHING]) == [{}]

    each(work)


async def choose(ledger: Ledger, query: str, kind: str = "", times: int = 1, *, at: float = 900.0) -> None:
    """Fold choices of the color for a query, each by a client of its own."""
    scopes = (query_scope(query), *([kind_scope(kind)] if kind else []), EVERYTHING)
    shown = Shown(scopes, {"size": 0.6, "color": 0.3, "brand": 0.1})
    for _ in range(times):
        client = random.randbytes(8).hex()
        event = Event("facet_select", at, client=client, object_id="color", of_attribute=True)
        added = additions(event, shown, Propensities())
        await ledger.append([Entry(random.randbytes(16), client, "", b"{}")])
        (taken,) = await ledger.waiting("a", 1)
        done = Folded(taken.id, "", added.capped, added.evidence, added.capped_keys, scopes)
        assert await ledger.fold("a", [done]) == ["folded"]


async def weights(ledger: Ledger, query: str, kind: str = "") -> list[float]:
    names = Names(tuple(map(attribute_field, ("size", "color", "brand"))))
    given = options(half_lives=LIMITS.half_lives, shrinkage=Shrinkage(20, 0.5, 2))
    async with Snapshots(ledger) as snapshots:
        behaviour = Dynamics(snapshots, given, clock=lambda: 1000.0).begin(query, kind)
        await behaviour.ready(1)
        return behaviour.bend([2.0, 1.0, 0.0], names, [], 1.5, 1.5).weights


async def all_weights(ledger: Ledger) -> list[float]:
    """Of the queries and kinds of the tests below, one after the other."""
    asked = [("wool rug", ""), ("wool rug", "rug"), ("red lamp", ""), ("jute", "rug"), ("anything", "")]
    return [weight for query, kind in asked for weight in await weights(ledger, query, kind)]


def test_a_query_that_is_taken_back_leaves_every_weight_as_it_was(each: Each) -> None:
    async def work(ledger: Ledger) -> None:
        await choose(ledger, "red lamp", "lamp", 3)
        await choose(ledger, "jute", "rug", 2, at=850.0)
        before = await all_weights(ledger)
        await choose(ledger, "wool rug", "", 30)
        await choose(ledger, "wool rug", "rug", 20, at=800.0)
        await choose(ledger, "wool rug", "carpet", 10, at=990.0)
        assert await all_weights(ledger) != pytest.approx(before, abs=0.01)
        changed = await ledger.take_back(query_scope("wool rug"))
        assert changed == {query_scope("wool rug"), kind_scope("rug"), kind_scope("carpet"), EVERYTHING}
        assert await all_weights(ledger) == pytest.approx(before, abs=1e-9)
        assert await ledger.evidence([query_scope("wool rug"), kind_scope("carpet")]) == [{}, {}]
        assert await ledger.take_back(query_scope("wool rug")) == set()

    each(work)


def test_a_kind_that_is_taken_back_is_in_everything_no_more_and_its_queries_keep_their_own(each: Each) -> None:
    async def work(ledger: Ledger) -> None:
        await choose(ledger, "red lamp", "lamp", 3)
        before = await weights(ledger, "anything")
        await choose(ledger, "wool rug", "rug", 20)
        (own,) = await ledger.evidence([query_scope("wool rug")])
        assert await ledger.take_back(kind_scope("rug")) == {kind_scope("rug"), EVERYTHING}
        assert await weights(ledger, "anything") == pytest.approx(before, abs=1e-9)
        assert await weights(ledger, "anything", "rug") == pytest.approx(before, abs=1e-9)
        assert await ledger.evidence([query_scope("wool rug")]) == [own]

    each(work)


@pytest.mark.parametrize("first", [query_scope("wool rug"), kind_scope("rug"), EVERYTHING])
def test_nothing_is_taken_off_a_second_time(each: Each, first: str) -> None:
    async def work(ledger: Ledger) -> None:
        await choose(ledger, "wool rug", "rug", 20)
        await ledger.take_back(first)
        await choose(ledger, "jute", "rug", 3)
        await ledger.take_back(query_scope("wool rug"))
        jute, *wider = await ledger.evidence([query_scope("jute"), kind_scope("rug"), EVERYTHING])
        assert [*map(long_sums, wider)] == [pytest.approx(long_sums(jute))] * 2
        await ledger.take_back(kind_scope("rug"))
        assert await ledger.evidence([kind_scope("rug"), EVERYTHING]) == [{}, {}]

    each(work)


def long_sums(fields: Fields) -> list[float]:
    return [each for _, found in sorted(fields.items()) for each in (found.chosen_long, found.expected_long)]


def test_what_a_client_could_not_add_to_a_wider_scope_is_not_taken_off_it(each: Each) -> None:
    async def work(ledger: Ledger) -> None:
        await ledger.append([entry(number) for number in range(4)])
        ((field, once),) = ONE[EVERYTHING].items()
        sums, scopes = {"scope:q": ONE[EVERYTHING], **ONE}, ("scope:q", EVERYTHING)
        capped = [
            Folded(each.id, "", "", sums, {EVERYTHING: "one" if n < 3 else "other"}, scopes)
            for n, each in enumerate(await ledger.waiting("a", 10))
        ]
        await ledger.fold("a", [*capped[:3], capped[3]._replace(additions=ONE)])
        await ledger.take_back("scope:q")
        (left,) = await ledger.evidence([EVERYTHING])
        assert left[field].chosen_long == pytest.approx(once.chosen_long)

    each(work)


def test_of_a_person_who_is_forgotten_nothing_is_left_and_what_is_under_way_brings_nothing_back(each: Each) -> None:
    async def work(ledger: Ledger) -> None:
        profile = {user_key("u"): ONE[EVERYTHING]}
        await ledger.append([entry(1, "u"), entry(2, "other")])
        await ledger.fold("a", folded(await ledger.waiting("a", 2), profile))
        await ledger.append([entry(3, "u"), entry(4, "u")])
        taken = await ledger.waiting("a", 1)
        assert await ledger.forget_user("u")
        assert await ledger.fold("a", folded(taken, profile)) == ["gone"]
        assert await ledger.evidence([user_key("u")]) == [{}]
        assert [each.user for each in await ledger.logged("", 10)] == ["other"]
        assert await ledger.waiting("a", 10) == []
        assert not await ledger.forget_user("u")

    each(work)


async def people(ledger: Ledger) -> list[Fields]:
    return [fields async for fields in ledger.profiles()]


def profile(name: str, at: float = 900.0) -> dict[str, dict[bytes, Observed]]:
    return {user_key(name): {value_field("color", name): observed(1, 0.5, at, name)}}


async def fold_profiles(ledger: Ledger, *profiles: dict[str, dict[bytes, Observed]]) -> None:
    for first in range(0, len(profiles), 10):
        await ledger.append([entry(random.randrange(10**12)) for _ in profiles[first : first + 10]])
        waiting = await ledger.waiting("a", 10)
        several = zip(waiting, profiles[first : first + 10], strict=True)
        await ledger.fold("a", [Folded(each.id, "", "", one | ONE) for each, one in several])


def test_people_are_known_those_first_who_chose_last_but_who_were_forgotten(each: Each) -> None:
    async def work(ledger: Ledger) -> None:
        assert await people(ledger) == []
        for name, at in (("a", 901.0), ("b", 902.0), ("c", 903.0), ("a", 904.0)):
            await fold_profiles(ledger, profile(name, at))
        names = [found.name for fields in await people(ledger) for found in fields.values()]
        assert names == ["a", "c", "b"]
        await ledger.forget_user("c")
        assert [found.name for fields in await people(ledger) for found in fields.values()] == ["a", "b"]

    each(work)


def test_of_many_people_those_are_known_who_chose_last(each: Each) -> None:
    async def work(ledger: Ledger) -> None:
        many = [profile(f"{number:04}", 1000.0 + number) for number in range(MOST_PEOPLE + 20)]
        await fold_profiles(ledger, *many)
        found = await people(ledger)
        assert len(found) == MOST_PEOPLE
        assert {field for fields in found for field in fields} == {
            field for one in many[20:] for fields in one.values() for field in fields
        }

    each(work)


def test_cohorts_are_kept_until_others_are(each: Each) -> None:
    async def work(ledger: Ledger) -> None:
        assert await ledger.cohorts() is None
        for content in (b"first", b"\x00second", None):
            await ledger.keep_cohorts(content, 60)
            assert await ledger.cohorts() == content

    each(work)


def test_in_process_cohorts_are_gone_after_their_time_and_people_after_theirs() -> None:
    async def work() -> None:
        ledger, clock = memory()
        await ledger.keep_cohorts(b"first", 60)
        await fold_profiles(ledger, profile("a"))
        clock.now += 61
        assert (await ledger.cohorts(), len(await people(ledger))) == (None, 1)
        clock.now += LIMITS.ttl_s
        assert await people(ledger) == []

    run(work)


def test_in_redis_of_people_and_entries_nothing_outlives_the_time_of_evidence(redis_server: RedisServer) -> None:
    async def work() -> None:
        async with on_redis(redis_server.url, LIMITS._replace(ttl_s=1, cap_s=1, waiting=1000, kept=1000)) as ledger:
            await fold_profiles(ledger, *(profile(f"{number:03}") for number in range(300)))
            await asyncio.sleep(1.1)
            await fold_profiles(ledger, profile("b"))
            assert redis_server.client.zrange("{t:feedback}:people", 0, -1) == [b"b"]
            assert len(await ledger.logged("", 1000)) < 150

    run(work)


def test_in_redis_a_task_is_one_processs_alone_for_a_time(redis_server: RedisServer) -> None:
    async def work() -> None:
        async with on_redis(redis_server.url) as ledger, on_redis(redis_server.url) as other:
            assert await ledger.claims("cohorts", 60)
            assert not await other.claims("cohorts", 60)
            assert await other.claims("something else", 60)
            assert 0 < redis_server.client.ttl("{t:feedback}:claim:cohorts") <= 60
            redis_server.client.delete("{t:feedback}:claim:cohorts")
            assert await other.claims("cohorts", 60)

    run(work)


def test_of_a_person_who_is_forgotten_no_id_of_another_kind_is_left(each: Each) -> None:
    async def work(ledger: Ledger) -> None:
        user = "5e0fcafe" * 4
        nested = [each._replace(content=b'{"session_id": "%s"}' % user.encode()) for each in (entry(1), entry(2))]
        await ledger.append([*nested, entry(3)])
        await ledger.fold("a", folded(await ledger.waiting("a", 1), ONE))
        assert await ledger.forget_user(user)
        assert await ledger.logged("", 10) == []
        assert [each.content for each in await ledger.waiting("a", 10)] == [entry(3).content]

    each(work)


def test_the_log_has_what_was_noted_of_an_event_and_once_in_a_step_what_it_refers_to(each: Each) -> None:
    async def work(ledger: Ledger) -> None:
        await ledger.append([entry(number, "u") for number in range(6)])
        ids = [each.id for each in await ledger.waiting("a", 10)]

        def noted(number: int, query: bytes, event: bytes = b"", capped: str = "") -> Folded:
            return Folded(ids[number], "u", capped, {}, event=event, query=query)

        step = [noted(0, b"query"), noted(1, b"query", b"noted"), noted(2, b"other")]
        assert await ledger.fold("a", step) == ["folded"] * 3
        assert await ledger.fold("b", [noted(3, b"query")]) == ["gone"]
        for number, outcome in ((3, "folded"), (4, "folded"), (5, "capped")):
            assert await ledger.fold("a", [noted(number, b"again", capped="client")]) == [outcome]
        log = await ledger.logged("", 20)
        first = [b"query", b'{"n":0}', b"noted", b"other", b'{"n":2}']
        assert [found.content for found in log] == [*first, b"again", b'{"n":3}', b"again", b'{"n":4}']
        assert {(found.user, found.client) for found in log} == {("u", "client")}
        assert await ledger.forget_user("u")
        assert await ledger.logged("", 20) == []

    each(work)


KEYS = ["scope:q", "scope:k", EVERYTHING, user_key("u"), "positions"]
AMOUNTS = st.just(0.0) | st.floats(0.01, 100)
"""None near the least sum that is kept: there the last bit, which is the order of the additions', decides."""
SUMS = st.tuples(
    st.sampled_from(KEYS),
    st.sampled_from([b"a:color", b"v:color\0red", b"p:1"]),
    st.builds(observed, AMOUNTS, AMOUNTS, st.floats(1e9, 1e9 + 1e4), st.sampled_from(["A", "ß"])),
)
CAPPED = st.sampled_from(["", "one", "other"])
CAPPED_KEYS = st.dictionaries(st.sampled_from(["scope:k", EVERYTHING, "positions"]), CAPPED)
EVENTS = st.tuples(st.integers(0, 20), CAPPED, st.lists(SUMS, max_size=4), CAPPED_KEYS)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(EVENTS, max_size=6), max_size=4), taken_back=st.lists(st.sampled_from(KEYS[:3])))
def test_the_same_events_leave_the_same_evidence_in_both(
    redis_server: RedisServer,
    batches: list[list[tuple[int, str, list[tuple[str, bytes, Observed]], dict[str, str]]]],
    taken_back: list[str],
) -> None:
    async def outcome(ledger: Ledger) -> tuple[list[object], list[dict[bytes, Observed]]]:
        told: list[object] = []
        scopes = iter(taken_back)
        for batch in batches:
            told += await ledger.append([entry(each) for each, *_ in batch])
            taken = await ledger.waiting("a", 10)
            pairs = zip(taken, batch, strict=False)
            told += await ledger.fold(
                "a",
                [
                    Folded(one.id, "", capped, {k: {f: found} for k, f, found in sums}, keys, KEYS[:3])
                    for one, (_, capped, sums, keys) in pairs
                ],
            )
            told += [await ledger.take_back(scope) for scope in islice(scopes, 1)]
        return told, [dict(found) for found in await ledger.evidence(KEYS)]

    async def work() -> None:
        expected, sums = await outcome(memory()[0])
        redis_server.client.flushall()
        async with on_redis(redis_server.url) as ledger:
            told, found = await outcome(ledger)
        assert told == expected
        for one, other in zip(found, sums, strict=True):
            assert one.keys() == other.keys()
            for field in one:
                assert one[field][:5] == pytest.approx(other[field][:5], rel=1e-9, abs=1e-9)
                assert one[field].name == other[field].name

    run(work)


def test_in_process_an_event_counts_again_after_its_window() -> None:
    async def work() -> None:
        ledger, clock = memory()
        await ledger.append([entry(1)])
        clock.now += LIMITS.window_s - 1
        assert await ledger.append([entry(1), entry(2)]) == [False, True]
        clock.now += LIMITS.window_s
        assert await ledger.append([entry(2)]) == [False]
        clock.now += LIMITS.window_s
        assert await ledger.append([entry(1), entry(2)]) == [True, True]

    run(work)


def test_in_redis_an_event_counts_again_after_its_window_and_the_one_after_it(redis_server: RedisServer) -> None:
    window_s = 0.5

    async def work() -> None:
        async with on_redis(redis_server.url, LIMITS._replace(window_s=window_s)) as ledger:
            begun = time.monotonic()
            assert await ledger.append([entry(1)]) == [True]
            assert await ledger.append([entry(1), entry(2)]) == [False, True]
            while await ledger.append([entry(1)]) == [False]:
                continue
            assert time.monotonic() - begun > 1.9 * window_s
            assert await ledger.append([entry(1)]) == [False]

    run(work)


def test_in_process_the_entries_of_a_silent_consumer_go_to_another() -> None:
    async def work() -> None:
        ledger, clock = memory()
        await ledger.append([entry(1)])
        taken = await ledger.waiting("a", 10)
        clock.now += SILENT_S
        assert await ledger.waiting("b", 10) == taken
        assert await ledger.fold("a", folded(taken, ONE)) == ["gone"]
        assert await ledger.fold("b", folded(taken, ONE)) == ["folded"]

    run(work)


def test_in_process_all_is_gone_after_its_time() -> None:
    async def work() -> None:
        ledger, clock = memory()
        ledger.show("q", b"shown")
        clock.now += LIMITS.shown_s
        assert await ledger.shown(["q"]) == [None]
        for _ in range(2):
            await ledger.append([entry(1), entry(2), entry(3)])
            taken = await ledger.waiting("a", 3)
            assert await ledger.fold("a", folded(taken, ONE, "capped")) == ["folded", "folded", "capped"]
            clock.now += max(LIMITS.cap_s, LIMITS.ttl_s)
            assert await ledger.evidence([EVERYTHING]) == [{}]

    run(work)


def test_in_process_the_log_keeps_the_last_ones() -> None:
    async def work() -> None:
        ledger, _ = memory(LIMITS._replace(kept=3))
        await ledger.append([entry(number) for number in range(5)])
        await ledger.fold("a", folded(await ledger.waiting("a", 10), {}))
        assert [each.content for each in await ledger.logged("", 10)] == [b'{"n":2}', b'{"n":3}', b'{"n":4}']

    run(work)


def test_in_redis_the_entries_of_a_silent_consumer_go_to_another_and_it_is_forgotten(redis_server: RedisServer) -> None:
    async def work() -> None:
        async with on_redis(redis_server.url) as first, on_redis(redis_server.url, silent_s=0) as second:
            await first.append([entry(number, "u" if number == 1 else "") for number in range(3)])
            taken = await first.waiting("a", 10)
            redis_server.client.xdel("{t:feedback}:queue", taken[2].id)
            assert await second.waiting("b", 10) == taken[:2]
            assert await first.fold("a", folded(taken, ONE)) == ["gone"] * 3
            assert await second.fold("b", folded(taken, ONE)) == ["folded", "folded", "gone"]
        pending = redis_server.client.xpending("{t:feedback}:queue", "fold")
        assert pending["pending"] == 0

    run(work)


def test_in_redis_consumers_that_are_gone_are_removed_when_nothing_waits_for_them(redis_server: RedisServer) -> None:
    async def work() -> None:
        client, telemetry, clock = connect(redis_server.url), Telemetry(), FakeClock()
        async with RedisCache(client, telemetry, prefix="t", timeout=1.0, ttl_s=60) as cache:
            ledger = RedisLedger(client, cache, LIMITS, telemetry, prefix="t", gone_s=0.001, clock=clock)
            await ledger.append([entry(1), entry(2)])
            await ledger.waiting("has one", 1)
            await ledger.fold("has none", folded(await ledger.waiting("has none", 1), {}))

            def names() -> set[bytes]:
                told: Any = redis_server.client.xinfo_consumers("{t:feedback}:queue", "fold")
                return {each["name"] for each in told}

            assert names() == {b"has one", b"has none"}
            while b"has none" in names():
                clock.now += TIDY_EVERY_S
                await ledger.waiting("a", 1)
            assert b"has one" in names()

    run(work)


def test_in_process_it_is_told_since_when_the_oldest_waits() -> None:
    async def work() -> None:
        telemetry, clock = Telemetry(), FakeClock()
        ledger = MemoryLedger(LIMITS, telemetry, clock=clock)
        await ledger.append([entry(1)])
        clock.now += 60
        await ledger.append([entry(2)])
        assert waiting(telemetry) == (2, 60)
        await ledger.fold("a", folded(await ledger.waiting("a", 2), {}))
        assert waiting(telemetry) == (0, 0)

    run(work)


def test_in_redis_it_is_told_what_waits_whoever_appends_and_folds(redis_server: RedisServer) -> None:
    async def work() -> None:
        client, telemetry = connect(redis_server.url), Telemetry()
        async with RedisCache(client, telemetry, prefix="t", timeout=1.0, ttl_s=60) as cache:
            told = RedisLedger(client, cache, LIMITS, telemetry, prefix="t", tell_every_s=0.01)
            async with told, on_redis(redis_server.url) as other:
                now: Any = redis_server.client.time()
                redis_server.client.xadd("{t:feedback}:queue", {"u": "", "c": "", "e": "{}"}, f"{now[0] - 60}000-0")
                await other.append([entry(1)])
                await until(lambda: waiting(telemetry)[0] == 2)
                assert 60 <= waiting(telemetry)[1] < 90
                await other.fold("a", folded(await other.waiting("a", 2), {}))
                await until(lambda: waiting(telemetry) == (0, 0))

    run(work)


def test_in_redis_every_key_expires_and_the_log_is_bounded(redis_server: RedisServer) -> None:
    async def work() -> None:
        async with on_redis(redis_server.url, LIMITS._replace(waiting=1000, kept=10)) as ledger:
            ledger.show("q", b"shown")
            for first in range(0, 800, 200):
                await ledger.append([entry(number) for number in range(first, first + 200)])
                additions = ONE | profile(str(first))
                await ledger.fold("a", folded(await ledger.waiting("a", 200), additions, f"capped{first}"))
            await ledger.keep_cohorts(b"first", 60)
            assert await ledger.claims("cohorts", 60)
            await until(lambda: redis_server.client.exists("t:shown:q"))
            await ledger.append([entry(900)])
        keys = redis_server.client.keys()
        assert len(keys) >= 12
        assert all(redis_server.client.ttl(key) > 0 for key in keys)
        counted = [redis_server.client.ttl(key) for key in keys if b":cap:" in key]
        assert counted and all(LIMITS.cap_s - 60 < left <= LIMITS.cap_s for left in counted)
        assert redis_server.client.xlen("{t:feedback}:log") <= 8

    run(work)


def test_in_redis_a_person_leaves_nothing_that_a_scan_finds(redis_server: RedisServer) -> None:
    async def work() -> None:
        user = "5e0fcafe" * 4
        async with on_redis(redis_server.url, LIMITS._replace(waiting=3000, cap=5000, kept=3000)) as ledger:
            await ledger.append([entry(number, user if number % 3 else "other") for number in range(2000)])
            await ledger.fold("a", folded(await ledger.waiting("a", 900), {user_key(user): ONE[EVERYTHING]}))
            await ledger.waiting("a", 100)
            assert await ledger.forget_user(user)
        client: Any = redis_server.client
        assert not any(user.encode() in key for key in client.scan_iter())
        assert not client.exists("{t:feedback}:people")
        left = client.xrange("{t:feedback}:queue") + client.xrange("{t:feedback}:log")
        assert (len(left), [found for found in left if found[1][b"u"] != b"other"]) == (667, [])

    run(work)


def test_in_redis_rubbish_under_a_key_of_ours_is_no_evidence_and_makes_way(redis_server: RedisServer) -> None:
    async def work() -> None:
        client = redis_server.client
        client.set("{t:feedback}:scope:all", "rubbish")
        client.set("{t:feedback}:people", "rubbish")
        client.set("{t:feedback}:user:b", "rubbish")
        client.hset("{t:feedback}:cohorts", "no", "string")
        client.hset("{t:feedback}:positions", mapping={"p:1": "rubbish", "p:2": b"\xff" * 50})
        async with on_redis(redis_server.url) as ledger:
            assert await ledger.evidence([EVERYTHING, "positions"]) == [{}, {}]
            await ledger.append([entry(1)])
            additions = ONE | {"positions": {b"p:1": observed(1, 1, 900.0, "1")}}
            assert await ledger.fold("a", folded(await ledger.waiting("a", 1), additions)) == ["folded"]
            assert await ledger.evidence([EVERYTHING, "positions"]) == [*additions.values()]
            await fold_profiles(ledger, profile("a"))
            client.zadd("{t:feedback}:people", {"b": 0})
            assert len([fields for fields in await people(ledger) if fields]) == 1
            await ledger.keep_cohorts(b"first", 60)
            assert await ledger.cohorts() == b"first"

    run(work)


def test_a_redis_that_is_away_is_told_of_and_used_again_when_it_is_back(redis_server: RedisServer) -> None:
    async def work() -> None:
        with FaultProxy(redis_server.socket) as proxy:
            async with on_redis(proxy.url) as ledger:
                proxy.mode = "refuse"
                for _ in range(4):
                    with pytest.raises(LedgerAway, match="Redis, where events and profiles are kept"):
                        await ledger.append([entry(1)])
                with pytest.raises(LedgerAway, match="Redis, where evidence is kept"):
                    await ledger.evidence([EVERYTHING])
                ledger.show("q", b"shown")
                proxy.mode = "pass"
                new: list[bool] = []
                while not new:
                    try:
                        new = await ledger.append([entry(1)])
                    except LedgerAway:
                        continue
                assert new == [True]

    run(work)


@pytest.mark.slow  # a cluster holds itself for down in its first two seconds
def test_the_ledger_works_on_a_cluster(tmp_path: Path) -> None:
    async def work(cluster: RedisCluster) -> None:
        async with on_redis(cluster.url) as ledger:
            await ledger.append([entry(1, "u"), entry(2)])
            profile = {user_key("u"): ONE[EVERYTHING]}
            assert (
                await ledger.fold("a", folded(await ledger.waiting("a", 2), ONE | profile, "capped")) == ["folded"] * 2
            )
            assert [one[b"a:color"].chosen_long for one in await ledger.evidence([*ONE, *profile])] == [2, 2]
            ledger.show("q", b"shown")
            while await ledger.shown(["q", "other"]) != [b"shown", None]:
                continue
            assert len(await ledger.logged("", 10)) == 2
            assert len(await people(ledger)) == 1
            await ledger.keep_cohorts(b"first", 60)
            assert await ledger.cohorts() == b"first"
            assert await ledger.claims("cohorts", 60)
            assert await ledger.forget_user("u")
            await choose(ledger, "wool rug", "rug")
            assert len(await ledger.take_back(query_scope("wool rug"))) == 3

    with RedisCluster(tmp_path) as cluster:
        run(lambda: work(cluster))
