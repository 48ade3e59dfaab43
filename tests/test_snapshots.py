"""Evidence as it was read lately: who waits, who does not, and what is known when nothing can be read."""

import asyncio
from math import inf

import pytest
from fakes import EvidenceLedger, FakeClock, run, until

from service.errors import LedgerAway
from service.feedback.keys import attribute_field, user_key
from service.feedback.snapshots import FRESH_S, KEPT_S, MOST_READING, NOTHING, STALE_S, Snapshot, Snapshots, settled

COLOR = attribute_field("color")


async def known(it: Snapshots, *keys: str, stale: float = STALE_S) -> list[Snapshot]:
    return await settled(it.ask(keys, stale), 10)


def test_what_was_read_is_known_without_waiting() -> None:
    async def work() -> None:
        ledger, clock = EvidenceLedger(), FakeClock()
        await ledger.say("a", color=2)
        async with Snapshots(ledger, clock) as it:
            first, nothing = await known(it, "a", "b")
            assert it.ask(["a", "b"]) == [first, nothing]
            assert (first.fields[COLOR].chosen_long, nothing) == (2000, NOTHING)
            assert ledger.read == [["a", "b"]]

    run(work)


def test_what_is_no_longer_fresh_is_given_while_it_is_read_again_once() -> None:
    async def work() -> None:
        ledger, clock = EvidenceLedger(), FakeClock()
        async with Snapshots(ledger, clock) as it:
            await known(it, "a")
            await ledger.say("a", color=2)
            clock.now += FRESH_S + 0.1
            assert [it.ask(["a"]) for _ in range(3)] == [[NOTHING]] * 3
            await until(lambda: it.ask(["a"]) != [NOTHING])
            assert ledger.read == [["a"], ["a"]]

    run(work)


@pytest.mark.parametrize(("age", "stale"), [(STALE_S + 1, STALE_S), (FRESH_S + 0.1, FRESH_S)])
def test_what_is_too_old_is_waited_for(age: float, stale: float) -> None:
    async def work() -> None:
        ledger, clock = EvidenceLedger(), FakeClock()
        async with Snapshots(ledger, clock) as it:
            await known(it, "a")
            await ledger.say("a", color=2)
            clock.now += age
            (found,) = await known(it, "a", stale=stale)
            assert found.fields[COLOR].chosen_long == 2000

    run(work)


def test_a_key_that_many_want_at_once_is_read_once() -> None:
    async def work() -> None:
        ledger = EvidenceLedger()
        async with Snapshots(ledger) as it:
            await asyncio.gather(*[known(it, "a") for _ in range(9)])
            assert ledger.read == [["a"]]

    run(work)


def test_evidence_that_is_the_same_has_the_same_number() -> None:
    async def work() -> None:
        ledger, clock = EvidenceLedger(), FakeClock()
        await ledger.say("a", color=2)
        async with Snapshots(ledger, clock) as it:
            (first,) = await known(it, "a")
            clock.now += FRESH_S + 0.1
            (second,) = await known(it, "a", stale=FRESH_S)
            await ledger.say("a", color=2)
            clock.now += FRESH_S + 0.1
            (third,) = await known(it, "a", stale=FRESH_S)
            assert second is first
            assert third.number != first.number

    run(work)


def test_when_nothing_can_be_read_what_is_known_stays() -> None:
    async def work() -> None:
        ledger, clock = EvidenceLedger(), FakeClock()
        await ledger.say("a", color=2)
        async with Snapshots(ledger, clock) as it:
            (first,) = await known(it, "a")
            ledger.failure = LedgerAway("away")
            clock.now += STALE_S + 1
            assert await known(it, "a", "b") == [first, NOTHING]

    run(work)


def test_what_was_read_of_a_person_goes_after_its_time_though_nobody_asks() -> None:
    async def work() -> None:
        ledger, clock = EvidenceLedger(), FakeClock()
        loop, person = asyncio.get_running_loop(), user_key("u")
        await ledger.say(person, color=2)
        async with Snapshots(ledger, clock) as it:
            await known(it, person)
            clock.now += KEPT_S + 0.1
            now = loop.time()
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(loop, "time", lambda: now + KEPT_S + 0.1)
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            (left,) = it.ask([person], inf)
            assert not isinstance(left, Snapshot)

    asyncio.run(work())  # the loop's time goes past the bound of `run`


def test_who_cannot_wait_is_told_that_there_is_nothing() -> None:
    async def work() -> None:
        ledger = EvidenceLedger()
        ledger.gate.clear()
        async with Snapshots(ledger) as it:
            assert await settled(it.ask(["a"]), 0) == [NOTHING]

    run(work)


def test_what_is_forgotten_does_not_come_back_from_a_read_that_was_under_way() -> None:
    async def work() -> None:
        ledger, clock = EvidenceLedger(), FakeClock()
        await ledger.say("a", color=2)
        ledger.gate.clear()
        async with Snapshots(ledger, clock) as it:
            asked = it.ask(["a"])
            await until(lambda: ledger.read)
            await ledger.take_back("a")
            it.forget("a")
            ledger.gate.set()
            assert await settled(asked, 10) == [NOTHING]
            assert await known(it, "a") == [NOTHING]
            assert len(ledger.read) == 2

    run(work)


def test_so_many_keys_are_read_at_once_and_no_more() -> None:
    async def work() -> None:
        ledger = EvidenceLedger()
        ledger.gate.clear()
        async with Snapshots(ledger) as it:
            it.ask([f"key {number}" for number in range(MOST_READING)])
            assert it.ask(["another"]) == [NOTHING]

    run(work)


def test_what_was_asked_for_longest_ago_makes_room() -> None:
    async def work() -> None:
        ledger = EvidenceLedger()
        await ledger.say("a", color=2, size=1)
        await ledger.say("b", color=2, size=1)
        async with Snapshots(ledger, most_fields=3) as it:
            await known(it, "a")
            await known(it, "b")
            await known(it, "b")
            await known(it, "a")
            assert ledger.read == [["a"], ["b"], ["a"]]

    run(work)


def test_a_failure_of_another_kind_is_logged_and_nobody_hangs(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with Snapshots(EvidenceLedger(failure=ZeroDivisionError())) as it:
            assert await known(it, "a") == [NOTHING]
            await until(lambda: "reading evidence failed" in caplog.text)

    run(work)
