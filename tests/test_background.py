"""Tasks beside requests: one that fails is told of once, one that is ended is over and says nothing."""

import asyncio
import logging

import pytest

from service import background


async def fails() -> None:
    raise ValueError("nobody thought of this")


def test_a_task_that_fails_is_told_of_by_what_it_does(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        await asyncio.wait([background.begin(fails(), "looking for something")])

    asyncio.run(run())
    (told,) = caplog.records
    assert (told.levelno, told.getMessage()) == (logging.ERROR, "looking for something has ended")
    assert told.exc_info and isinstance(told.exc_info[1], ValueError)


def test_tasks_that_are_ended_are_over_and_say_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        tasks = [background.begin(asyncio.sleep(3600), "sleeping") for _ in range(2)]
        await background.end(*tasks)
        assert all(task.cancelled() for task in tasks)

    asyncio.run(run())
    assert not caplog.records
