"""Cohorts are made over and over of what the ledger knows of people, by one process at a time, and read by all."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator

import numpy as np
import pytest
from fakes import EvidenceLedger, FakeClock, run, until
from test_mixture import SHRINKAGE, field, people

from service.errors import LedgerAway
from service.evidence import HalfLives
from service.feedback import mixture
from service.feedback.cohorting import CLAIMED, LIVES, Alike, Cohorting
from service.feedback.cohorts import Cohorts
from service.feedback.keys import user_key
from service.feedback.ledger import Fields

PAUSE_S = 0.01


class CohortLedger(EvidenceLedger):
    """It counts how often cohorts were kept; its profiles fail as often as they are told to."""

    def __init__(self, *failures: Exception, free: bool = True) -> None:
        super().__init__()
        self.failures, self.free = [*failures], free
        self.kept: list[float] = []

    def profiles(self) -> AsyncIterator[Fields]:
        if self.failures:
            raise self.failures.pop()
        return super().profiles()

    async def keep_cohorts(self, content: bytes | None, ttl_s: float) -> None:
        self.kept.append(ttl_s)
        await super().keep_cohorts(content, 1e9)

    async def claims(self, task: str, for_s: float) -> bool:
        assert (task, for_s) == ("cohorts", CLAIMED * PAUSE_S)
        return self.free


async def known(*failures: Exception, free: bool = True) -> CohortLedger:
    ledger = CohortLedger(*failures, free=free)
    for number, each in enumerate(people(24, 2)):
        await ledger.add(user_key(str(number)), each)
    return ledger


def cohorting(ledger: CohortLedger, most: int = 4) -> Cohorting:
    half_lives = HalfLives(1e9, 1e9)
    return Cohorting(ledger, half_lives, SHRINKAGE, most=most, every_s=PAUSE_S, clock=lambda: 1000.0)


def test_of_peoples_profiles_cohorts_are_made_that_hold_for_a_while() -> None:
    async def work() -> None:
        ledger, clock = await known(), FakeClock()
        assert await cohorting(ledger).make() == 2
        assert ledger.kept == [LIVES * PAUSE_S]
        alike = Alike(ledger, every_s=60, clock=clock)
        assert alike.cohorts is None
        await alike.read()
        assert alike.cohorts and alike.cohorts.lifts.shape == (2, 12)
        clock.now = 1000 + LIVES * PAUSE_S
        assert alike.cohorts is None

    run(work)


def test_where_there_are_none_any_more_none_are_read() -> None:
    async def work() -> None:
        ledger = await known()
        await cohorting(ledger).make()
        alike = Alike(ledger, every_s=PAUSE_S, clock=lambda: 0.0)
        await alike.read()
        before = alike.cohorts
        await alike.read()
        assert before and alike.cohorts is before
        for number in range(24):
            await ledger.forget_user(str(number))
        assert await cohorting(ledger).make() == 0
        await alike.read()
        assert alike.cohorts is None

    run(work)


def test_what_another_process_does_is_left_to_it() -> None:
    async def work() -> None:
        ledger = await known(free=False)
        assert await cohorting(ledger).make() == 0
        assert not ledger.kept

    run(work)


def test_they_are_made_again_whatever_went_wrong(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        ledger = await known(LedgerAway("away"), ValueError("nobody thought of this"))
        async with cohorting(ledger):
            await until(lambda: len(ledger.kept) >= 2)
        (told,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
        assert told.exc_info and isinstance(told.exc_info[1], ValueError)

    run(work)


def test_what_goes_wrong_in_the_thread_is_told_where_it_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        monkeypatch.setattr(mixture.Profiles, "mixture", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await cohorting(await known()).make()

    run(work)


def threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "cohorts"]


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cohorts that are never found."""
    monkeypatch.setattr(mixture, "STEPS", 10**9)
    monkeypatch.setattr(mixture, "CALM", -1.0)


@pytest.mark.usefixtures("endless")
def test_an_end_does_not_wait_for_cohorts_and_their_thread_ends_soon() -> None:
    async def work() -> None:
        begun = time.monotonic()
        async with cohorting(await known()):
            await until(threads)
        await until(lambda: not threads())
        assert time.monotonic() - begun < 10

    run(work)


@pytest.mark.usefixtures("endless")
def test_cohorts_that_take_too_long_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        monkeypatch.setattr("service.feedback.cohorting.FIT_S", 0.05)
        with pytest.raises(TimeoutError):
            await cohorting(await known()).make()
        await until(lambda: not threads())

    run(work)


def test_none_are_made_where_there_may_be_none() -> None:
    async def work() -> None:
        ledger = await known()
        async with cohorting(ledger, most=0):
            await asyncio.sleep(5 * PAUSE_S)
        assert not ledger.kept

    run(work)


def test_cohorts_that_cannot_be_read_are_none(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        ledger = EvidenceLedger()
        alike = Alike(ledger, every_s=PAUSE_S, clock=lambda: 0.0)
        await ledger.keep_cohorts(Cohorts([field("red")], np.ones((1, 1)), 1.0).encode(), 60)
        async with alike:
            await until(lambda: alike.cohorts)
            await ledger.keep_cohorts(b"rubbish", 60)
            await until(lambda: not alike.cohorts)
        assert "cohorts cannot be read" in caplog.text

    run(work)
