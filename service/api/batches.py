"""Many requests in one body, each answered for itself.

Knows: what becomes of one that fails, callers who hang up. Does not know: what is asked.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from fastapi import Request
from pydantic import ValidationError

from service.api import errors
from service.api.direct import WhileConnected, counted
from service.api.schemas import ErrorAnswer
from service.api.state import state
from service.errors import RankerError

_Answer = TypeVar("_Answer")


async def each_for_itself(
    request: Request, items: Sequence[object], answer: Callable[[object], Awaitable[_Answer]]
) -> list[_Answer | ErrorAnswer]:
    """One answer for each item, in order; what `answer` raises for one of them is that one's.

    Raises ClientGone when the caller hangs up.
    """

    async def result(item: object) -> _Answer | ErrorAnswer:
        try:
            return await answer(item)
        except (RankerError, ValidationError) as error:
            return errors.answer(error)

    tasks: list[asyncio.Task[_Answer | ErrorAnswer]] = []
    with counted(state(request)["telemetry"]):
        async with WhileConnected(request), asyncio.TaskGroup() as group:
            for item in items:  # one after another, so that others are heard between them
                tasks.append(group.create_task(result(item)))
                await asyncio.sleep(0)
    return [task.result() for task in tasks]
