"""Cohorts made anew from profiles, over and over, and read where they are made or elsewhere, beside requests.

Whoever folds makes them, one process at a time, in a thread that gives way. Cohorts that nobody makes anew are gone
after a while, and with them what is in them of people who were forgotten meanwhile.

Knows: when, who, from whose profiles. Does not know: what a cohort is, where profiles are kept.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from service.background import Repeated
from service.cores import give_way, in_group
from service.errors import LedgerAway
from service.evidence import HalfLives, Shrinkage
from service.feedback.cohorts import Cohorts
from service.feedback.ledger import Ledger
from service.feedback.mixture import Found, Profiles, Stopped

logger = logging.getLogger(__name__)

TASK = "cohorts"
LIVES, CLAIMED = 3.0, 0.9
"""Shares of the pause between two makings: for how long cohorts hold, and for how long making them is claimed."""
SOON_S = 30.0
"""After the start, unless the pause is shorter."""
READ_EVERY_S = 30.0
FIT_S = 300.0
"""A fit takes seconds, but for where everything else wants every core."""


class Alike(Repeated):
    """The cohorts that hold, as they were read lately; while it is open they are read over and over.

    `every_s` is the pause between two makings; they are read at least as often. `clock` gives seconds since 1970.
    """

    def __init__(self, ledger: Ledger, *, every_s: float, clock: Callable[[], float] = time.time) -> None:
        super().__init__(self.read, "reading cohorts", min(READ_EVERY_S, every_s), away=LedgerAway)
        self._ledger, self._clock = ledger, clock
        self._read: tuple[bytes, Cohorts] | None = None

    @property
    def cohorts(self) -> Cohorts | None:
        """None where there are none that hold."""
        return self._read[1] if self._read and self._clock() < self._read[1].until else None

    async def read(self) -> None:
        """Read them now; what cannot be read is none. Raises LedgerAway."""
        content = await self._ledger.cohorts()
        if content is None:
            self._read = None
        elif not self._read or self._read[0] != content:
            try:
                self._read = content, Cohorts.decode(content)
            except ValueError as error:
                self._read = None
                logger.warning("cohorts cannot be read: %s", error)


class Cohorting(Repeated):
    """Makes cohorts of the profiles in a ledger, over and over while it is open.

    `most` is how many there may be, none at 0, `every_s` the pause. `clock` gives seconds since 1970.
    """

    def __init__(
        self,
        ledger: Ledger,
        half_lives: HalfLives,
        shrinkage: Shrinkage,
        *,
        most: int,
        every_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(self.make, "making cohorts", every_s, first_s=min(SOON_S, every_s), away=LedgerAway)
        self._ledger, self._half_lives, self._shrinkage, self._clock = ledger, half_lives, shrinkage, clock
        self._most, self._lives_s, self._claimed_s = most, LIVES * every_s, CLAIMED * every_s

    async def make(self) -> int:
        """Make them now, unless another process did of late; how many there are. Raises LedgerAway."""
        if not self._most or not await self._ledger.claims(TASK, self._claimed_s):
            return 0
        profiles = Profiles(self._clock(), self._half_lives)
        async for fields in self._ledger.profiles():
            profiles.add(fields)
        found = await self._apart(profiles)
        content = Cohorts(found.values, found.lifts, self._clock() + self._lives_s).encode() if found else None
        await self._ledger.keep_cohorts(content, self._lives_s)
        made = len(found.lifts) if found else 0
        logger.debug("%d people make %d cohorts", profiles.people, made)
        return made

    async def _apart(self, profiles: Profiles) -> Found | None:
        """The cohorts, found in a thread of its own that ends with this process, and soon where nobody waits for it.

        Raises TimeoutError where no core is left for it.
        """
        loop, stopped = asyncio.get_running_loop(), threading.Event()
        done: asyncio.Future[Found | None] = loop.create_future()

        def settle(found: Found | None, error: Exception | None) -> None:
            if not done.done():
                done.set_exception(error) if error else done.set_result(found)

        def work() -> None:
            give_way(idle_class=in_group())
            found, failed = None, None
            try:
                found = profiles.mixture(self._shrinkage, stopped.is_set).cohorts(self._most)
            except Stopped:
                return
            except Exception as error:  # noqa: BLE001  # told where it is awaited
                failed = error
            with suppress(RuntimeError):  # the loop may be closed
                loop.call_soon_threadsafe(settle, found, failed)

        threading.Thread(target=work, name="cohorts", daemon=True).start()
        try:
            async with asyncio.timeout(FIT_S):
                return await done
        finally:
            stopped.set()
