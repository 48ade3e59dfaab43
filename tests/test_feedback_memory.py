"""The ledger in process keeps what every ledger promises: once, in bounds, for a while, nothing of who is forgotten."""

import pytest
from fakes import FakeClock, run

from service.errors import Overloaded
from service.evidence import HalfLives, Observed, merged, observed
from service.feedback.keys import EVERYTHING, user_key
from service.feedback.ledger import CAP_S, FIELDS_LEFT, MOST_FIELDS, SILENT_S, Entry, Folded, Limits, Pending
from service.feedback.memory import MemoryLedger
from service.telemetry import Telemetry

LIMITS = Limits(HalfLives(100.0, 1000.0), window_s=60, waiting=10, kept=3, cap=2, ttl_s=5000, shown_s=30)
ONE = {EVERYTHING: {b"a:color": observed(1, 0.5, 900.0, "Color")}}


def entry(number: int, user: str = "") -> Entry:
    return Entry(b"%016d" % number, "client", user, b'{"n":%d}' % number)


def folded(entries: list[Pending], additions: dict[str, dict[bytes, Observed]], capped: str = "") -> list[Folded]:
    return [Folded(each.id, each.user, capped, additions) for each in entries]


def ledger(limits: Limits = LIMITS) -> tuple[MemoryLedger, FakeClock]:
    clock = FakeClock()
    return MemoryLedger(limits, Telemetry(), clock=clock), clock


def test_an_event_is_taken_once_in_its_window() -> None:
    async def work() -> None:
        kept, clock = ledger()
        assert await kept.append([entry(1), entry(2), entry(1)]) == [True, True, False]
        clock.now += LIMITS.window_s - 1
        assert await kept.append([entry(2)]) == [False]
        clock.now += 2 * LIMITS.window_s
        assert await kept.append([entry(2)]) == [True]

    run(work)


def test_more_than_may_wait_are_refused_as_a_whole() -> None:
    async def work() -> None:
        kept, _ = ledger()
        await kept.append([entry(number) for number in range(8)])
        with pytest.raises(Overloaded, match="8 events wait"):
            await kept.append([entry(number) for number in range(8, 11)])
        assert len(await kept.waiting("a", 20)) == 8

    run(work)


def test_evidence_adds_up_and_what_was_folded_is_in_the_log_alone() -> None:
    async def work() -> None:
        kept, _ = ledger()
        await kept.append([entry(1), entry(2)])
        taken = await kept.waiting("a", 10)
        assert await kept.fold("a", folded(taken, ONE)) == ["folded", "folded"]
        (found,) = ONE[EVERYTHING].values()
        assert await kept.evidence([EVERYTHING, "scope:other"]) == [
            {b"a:color": merged(found, found, LIMITS.half_lives)},
            {},
        ]
        assert await kept.evidence([EVERYTHING], [b"a:size"]) == [{}]
        assert await kept.waiting("a", 10) == []
        log = await kept.logged("", 10)
        assert [each.content for each in log] == [b'{"n":1}', b'{"n":2}']
        assert await kept.logged(log[0].id, 10) == log[1:]

    run(work)


def test_the_log_keeps_the_last_ones() -> None:
    async def work() -> None:
        kept, _ = ledger()
        await kept.append([entry(number) for number in range(5)])
        await kept.fold("a", folded(await kept.waiting("a", 10), {}))
        assert [each.content for each in await kept.logged("", 10)] == [b'{"n":2}', b'{"n":3}', b'{"n":4}']

    run(work)


def test_an_entry_of_a_silent_consumer_goes_to_another_and_counts_once() -> None:
    async def work() -> None:
        kept, clock = ledger()
        await kept.append([entry(1)])
        taken = await kept.waiting("a", 10)
        assert await kept.waiting("b", 10) == []
        clock.now += SILENT_S
        assert await kept.waiting("b", 10) == taken
        assert await kept.fold("a", folded(taken, ONE)) == ["gone"]
        assert await kept.evidence([EVERYTHING]) == [{}]
        assert await kept.fold("b", folded(taken, ONE)) == ["folded"]
        assert await kept.fold("b", folded(taken, ONE)) == ["gone"]
        assert await kept.evidence([EVERYTHING]) == [ONE[EVERYTHING]]

    run(work)


def test_a_client_adds_to_one_thing_so_often_a_day() -> None:
    async def work() -> None:
        kept, clock = ledger()
        await kept.append([entry(number) for number in range(3)])
        taken = await kept.waiting("a", 10)
        assert await kept.fold("a", folded(taken, ONE, "client and scope")) == ["folded", "folded", "capped"]
        assert len(await kept.logged("", 10)) == 2
        clock.now += CAP_S
        await kept.append([entry(9)])
        assert await kept.fold("a", folded(await kept.waiting("a", 10), ONE, "client and scope")) == ["folded"]

    run(work)


def test_a_key_holds_so_many_fields_and_the_least_expected_go() -> None:
    async def work() -> None:
        kept, _ = ledger()
        fields = {b"a:%d" % n: observed(1, 1 + n, 900.0, str(n)) for n in range(MOST_FIELDS + 1)}
        await kept.append([entry(1)])
        await kept.fold("a", folded(await kept.waiting("a", 1), {EVERYTHING: fields}))
        (left,) = await kept.evidence([EVERYTHING])
        assert left == dict(list(fields.items())[-FIELDS_LEFT:])

    run(work)


def test_evidence_and_what_was_shown_are_gone_after_their_time() -> None:
    async def work() -> None:
        kept, clock = ledger()
        kept.show("q", b"shown")
        assert await kept.shown(["q", "other"]) == [b"shown", None]
        clock.now += LIMITS.shown_s
        assert await kept.shown(["q"]) == [None]
        await kept.append([entry(1)])
        await kept.fold("a", folded(await kept.waiting("a", 1), ONE))
        clock.now += LIMITS.ttl_s
        assert await kept.evidence([EVERYTHING]) == [{}]

    run(work)


def test_evidence_can_be_forgotten() -> None:
    async def work() -> None:
        kept, _ = ledger()
        await kept.append([entry(1)])
        await kept.fold("a", folded(await kept.waiting("a", 1), ONE))
        assert (await kept.forget(EVERYTHING), await kept.forget(EVERYTHING)) == (True, False)
        assert await kept.evidence([EVERYTHING]) == [{}]

    run(work)


def test_of_a_person_who_is_forgotten_nothing_is_left_and_what_is_under_way_brings_nothing_back() -> None:
    async def work() -> None:
        kept, _ = ledger()
        profile = {user_key("u"): ONE[EVERYTHING]}
        await kept.append([entry(1, "u"), entry(2, "other")])
        await kept.fold("a", folded(await kept.waiting("a", 2), profile))
        await kept.append([entry(3, "u"), entry(4, "u")])
        taken = await kept.waiting("a", 1)
        assert await kept.forget_user("u")
        assert await kept.fold("a", folded(taken, profile)) == ["gone"]
        assert await kept.evidence([user_key("u")]) == [{}]
        assert [each.user for each in await kept.logged("", 10)] == ["other"]
        assert await kept.waiting("a", 10) == []
        assert not await kept.forget_user("u")

    run(work)
