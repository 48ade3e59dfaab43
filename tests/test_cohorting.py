"""Cohorts are made over and over of what the ledger knows of people, by one process at a time."""

import logging
import random
from collections.abc import AsyncIterator, Sequence

import pytest
from fakes import EvidenceLedger, run, until
from test_cohorts import COLOURS, person

from service.errors import LedgerAway
from service.evidence import HalfLives
from service.feedback.cohorting import LIVES, Cohorting
from service.feedback.keys import cohort_key, user_key
from service.feedback.ledger import Fields


class CohortLedger(EvidenceLedger):
    """It remembers which cohorts it was given and for how long; its profiles fail as often as they are told to."""

    def __init__(self, *failures: Exception, free: bool = True) -> None:
        super().__init__()
        self.failures, self.free = [*failures], free
        self.kept: list[tuple[int, float]] = []

    def profiles(self) -> AsyncIterator[Fields]:
        if self.failures:
            raise self.failures.pop()
        return super().profiles()

    async def keep_cohorts(self, cohorts: Sequence[Fields], ttl_s: float) -> None:
        self.kept.append((len(cohorts), ttl_s))
        await super().keep_cohorts(cohorts, ttl_s)

    async def claims(self, task: str, for_s: float) -> bool:
        assert (task, for_s) == ("cohorts", pytest.approx(0.005, abs=0.006))
        return self.free


async def known(*failures: Exception, free: bool = True) -> CohortLedger:
    ledger, chance = CohortLedger(*failures, free=free), random.Random(7)
    for number in range(12):
        await ledger.add(user_key(str(number)), person(chance, COLOURS[number % 2 :: 2]))
    return ledger


def cohorting(ledger: CohortLedger, most: int = 4) -> Cohorting:
    return Cohorting(ledger, HalfLives(1e9, 1e9), most=most, every_s=0.01, clock=lambda: 1000.0)


def test_of_peoples_profiles_cohorts_are_made_that_answers_can_read() -> None:
    async def work() -> None:
        ledger = await known()
        assert await cohorting(ledger).make() == 2
        assert ledger.kept == [(2, LIVES * 0.01)]
        await ledger.keep_cohorts([{}], 60)
        first, second = await ledger.evidence([cohort_key(0), cohort_key(1)])
        assert (first, second) == ({}, {})

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
        made = len(ledger.kept)
        (told,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
        assert told.exc_info and isinstance(told.exc_info[1], ValueError)
        assert len(ledger.kept) == made

    run(work)


def test_none_are_made_where_there_may_be_none() -> None:
    async def work() -> None:
        ledger = await known()
        async with cohorting(ledger, most=0) as found:
            assert found._task is None

    run(work)
