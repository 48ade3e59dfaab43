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


def test_what_is_repeated_goes_on_whatever_went_wrong_and_tells_what_nobody_thought_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def run() -> None:
        outcomes: list[Exception | None] = [TimeoutError(), ValueError("nobody thought of this"), None, None]
        done = asyncio.Event()

        async def work() -> None:
            failure = outcomes.pop(0)
            if not outcomes:
                done.set()
            if failure:
                raise failure

        async with background.Repeated(work, "looking for something", 0.001, away=TimeoutError):
            await asyncio.wait_for(done.wait(), 10)

    asyncio.run(run())
    (told,) = caplog.records
    assert told.getMessage() == "looking for something failed, and is tried again"
    assert told.exc_info and isinstance(told.exc_info[1], ValueError)


def test_what_never_began_can_be_ended() -> None:
    asyncio.run(background.Repeated(fails, "looking for something", 0.001).end())
