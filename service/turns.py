"""Long work on the event loop takes turns with all else that waits there.

Knows: how long a turn is, deadlines. Does not know: the work.
"""

import asyncio
import math
import time
from collections.abc import Iterable
from typing import TypeVar

from service.errors import DeadlineExceeded

TURN_S = 0.005
"""After so long others are heard; a new connection takes three or four turns to be answered."""

_Made = TypeVar("_Made")


class Turns:
    """The turns of one piece of work, which ends with its deadline (by `time.monotonic`)."""

    def __init__(self, deadline: float = math.inf) -> None:
        self._deadline = deadline
        self._until = time.monotonic() + TURN_S

    async def rest(self) -> None:
        """Let others be heard, if it is time. Raises DeadlineExceeded."""
        now = time.monotonic()
        if now < self._until:
            return
        if now > self._deadline:
            raise DeadlineExceeded("the work was not done within the request's time")
        await asyncio.sleep(0)
        self._until = time.monotonic() + TURN_S

    async def collect(self, made: Iterable[_Made]) -> list[_Made]:
        """What is made one after another, with a rest after each where it is time. Raises DeadlineExceeded."""
        collected = []
        for each in made:
            collected.append(each)
            await self.rest()
        return collected
