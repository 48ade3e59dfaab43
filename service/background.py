"""Tasks that go on beside requests until they are ended.

Knows: how one begins and ends, that nobody waits for its failure. Does not know: what it does.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Self

logger = logging.getLogger(__name__)


def begin(work: Coroutine[Any, Any, None], what: str) -> "asyncio.Task[None]":
    """A task that does the work; of one that fails the log says that `what` has ended."""
    task = asyncio.create_task(work, name=what)
    task.add_done_callback(_told_if_failed)
    return task


async def end(*tasks: "asyncio.Task[None]") -> None:
    """Cancel tasks, one or more, and wait until they are over."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


class Repeated:
    """Work that is done over and over, whatever goes wrong, with so many seconds between; an async context manager, or
    begun and ended by its owner.

    `away` is what may be raised at any time and is not worth a line of the log; `first_s` is waited before it is done
    first.
    """

    def __init__(
        self,
        work: Callable[[], Awaitable[object]],
        what: str,
        every_s: float,
        *,
        first_s: float = 0.0,
        away: type[Exception] | tuple[()] = (),
    ) -> None:
        self._work, self._what, self._away = work, what, away
        self._every_s, self._first_s = every_s, first_s
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.end()

    def begin(self) -> None:
        """Do it from now on."""
        self._task = begin(self._repeat(), self._what)

    async def end(self) -> None:
        """Do it no more."""
        if self._task:
            await end(self._task)

    async def _repeat(self) -> None:
        await asyncio.sleep(self._first_s)
        while True:
            try:
                await self._work()
            except self._away as error:
                logger.debug("%s: %s", self._what, error)
            except Exception:  # whatever it was: the next time may do
                logger.exception("%s failed, and is tried again", self._what)
            await asyncio.sleep(self._every_s)


def _told_if_failed(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and task.exception():
        logger.error("%s has ended", task.get_name(), exc_info=task.exception())
