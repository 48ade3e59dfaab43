"""Tasks that go on beside requests until they are ended.

Knows: how one begins and ends, that nobody waits for its failure. Does not know: what it does.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

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


def _told_if_failed(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and task.exception():
        logger.error("%s has ended", task.get_name(), exc_info=task.exception())
