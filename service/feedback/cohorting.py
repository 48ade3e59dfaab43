"""Cohorts made anew from profiles, over and over, beside requests.

Whoever folds does it, one process at a time. Cohorts that nobody makes anew are gone after a while, and with them what
is in them of people who were forgotten meanwhile.

Knows: when, who, from whose profiles. Does not know: what a cohort is, where profiles are kept.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from service import background
from service.errors import LedgerAway
from service.evidence import HalfLives
from service.feedback.cohorts import Profiles
from service.feedback.ledger import Ledger

logger = logging.getLogger(__name__)

TASK = "cohorts"
LIVES = 3.0
"""Times the pause between two makings that cohorts are kept."""
ROUGHLY = 0.5
"""Of the pause a task is claimed for: processes that begin at different moments make cohorts in turns."""


class Cohorting:
    """Makes cohorts of the profiles in a ledger; an async context manager.

    `most` is how many there may be, `every_s` the pause. `clock` gives seconds since 1970.
    """

    def __init__(
        self,
        ledger: Ledger,
        half_lives: HalfLives,
        *,
        most: int,
        every_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger, self._half_lives, self._clock = ledger, half_lives, clock
        self._most, self._every_s = most, every_s
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._most:
            self._task = background.begin(self._run(), "making cohorts")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task:
            await background.end(self._task)

    async def make(self) -> int:
        """Make them now, unless another process did of late; how many there are. Raises LedgerAway."""
        if not await self._ledger.claims(TASK, ROUGHLY * self._every_s):
            return 0
        profiles = Profiles(self._clock(), self._half_lives)
        async for fields in self._ledger.profiles():
            profiles.add(fields)
        found = await asyncio.to_thread(lambda: profiles.shared().cohorts(self._most))
        await self._ledger.keep_cohorts(found, LIVES * self._every_s)
        logger.debug("%d people make %d cohorts", profiles.people, len(found))
        return len(found)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self.make()
            except LedgerAway:
                logger.debug("no cohorts were made: what they are made of cannot be read")
            except Exception:  # whatever it was: people's own choices count without them, and the next time may do
                logger.exception("no cohorts were made, the next are tried for after a pause")
