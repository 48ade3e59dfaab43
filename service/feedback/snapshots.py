"""Evidence as it was read lately, so that most requests wait for none.

What is older than `FRESH_S` is given once more while it is read again; for what is older than `STALE_S` one waits, and
after `KEPT_S` it is gone. A key is read once at a time, whoever asks, and when it cannot be read, what is known stays.

Knows: ages, bounds, who waits for what. Does not know: what evidence says, where it is kept.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import NamedTuple, Self

from service.errors import LedgerAway
from service.feedback.ledger import Fields, Ledger

logger = logging.getLogger(__name__)

FRESH_S, STALE_S, KEPT_S = 2.0, 4.0, 60.0
READ_S, TOGETHER_S = 1.0, 0.05
"""No read takes longer than the one; what nobody waits for is gathered for the other, and read together."""
MOST_READING = 256
"""So many keys are read at once; who asks for another then is told that there is nothing."""
MOST_KEYS, MOST_FIELDS = 20_000, 100_000
"""So much is kept: about 35 MB where each field is one of an attribute or a value."""


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The evidence under a key as it was read at a time. Two of one number are the same; 0 is that of nothing."""

    fields: Fields
    number: int
    at: float


NOTHING = Snapshot({}, 0, 0.0)
Waiting = asyncio.Future[Snapshot]


class _Kept(NamedTuple):
    snapshot: Snapshot
    at: float


class Snapshots:
    """What was read of a ledger; an async context manager. Belongs to one event loop."""

    def __init__(
        self, ledger: Ledger, clock: Callable[[], float] = time.monotonic, *, most_fields: int = MOST_FIELDS
    ) -> None:
        self._ledger, self._clock, self._most_fields = ledger, clock, most_fields
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._fields = 0
        self._reading: dict[str, Waiting] = {}
        self._due: dict[str, Waiting] = {}
        self._soon: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = count(1)
        self._purge: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for timer in filter(None, (self._purge, self._soon)):
            timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def ask(self, keys: Sequence[str], stale: float = STALE_S) -> list[Snapshot | Waiting]:
        """For each key what is known of it and no older than `stale`, else what will be: see `settled`.

        Reading begins at once, before anything that the caller awaits afterwards.
        """
        now, urgent = self._clock(), False
        found: list[Snapshot | Waiting] = []
        for key in keys:
            kept = self._kept.get(key)
            if kept and now - kept.at <= stale:
                self._kept.move_to_end(key)
                found.append(kept.snapshot)
                if now - kept.at > FRESH_S:
                    self._want(key)
            else:
                found.append(self._want(key) or NOTHING)
                urgent |= key in self._due
        if urgent:
            self._begin()
        return found

    def forget(self, key: str) -> None:
        """Keep nothing of a key, nor what is being read of it now."""
        self._drop(key)
        self._reading.pop(key, None)

    def _want(self, key: str) -> Waiting | None:
        """Have a key read soon; None where too much is being read."""
        waiting = self._reading.get(key)
        if not waiting and len(self._reading) < MOST_READING:
            loop = asyncio.get_running_loop()
            waiting = self._due[key] = self._reading[key] = loop.create_future()
            self._soon = self._soon or loop.call_later(TOGETHER_S, self._begin)
        return waiting

    def _begin(self) -> None:
        if self._soon:
            self._soon.cancel()
        due, self._due, self._soon = self._due, {}, None
        task = asyncio.create_task(self._read(due), name="evidence")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            logger.error("reading evidence failed", exc_info=task.exception())

    async def _read(self, due: Mapping[str, Waiting]) -> None:
        found: Sequence[Fields | None] = [None] * len(due)
        try:
            async with asyncio.timeout(READ_S):
                found = await self._ledger.evidence([*due])
        except (LedgerAway, TimeoutError) as error:
            logger.debug("evidence cannot be read: %s", error)
        finally:
            for (key, waiting), fields in zip(due.items(), found, strict=True):
                snapshot = self._take(key, fields) if self._reading.get(key) is waiting else NOTHING
                if not waiting.done():
                    waiting.set_result(snapshot)

    def _take(self, key: str, fields: Fields | None) -> Snapshot:
        """Keep what was read; what was known where nothing could be, or where it is the same, but for its decay."""
        del self._reading[key]
        known = self._drop(key)
        now, snapshot = self._clock(), known
        if fields is not None and (fields != known.fields or now - known.at > KEPT_S):
            snapshot = Snapshot(fields, next(self._numbers), now) if fields else NOTHING
        self._kept[key] = _Kept(snapshot, now)
        self._fields += len(snapshot.fields)
        self._shrink()
        return snapshot

    def _drop(self, key: str) -> Snapshot:
        kept = self._kept.pop(key, None)
        if not kept:
            return NOTHING
        self._fields -= len(kept.snapshot.fields)
        return kept.snapshot

    def _shrink(self) -> None:
        """Drop what was not asked for lately, until the rest fits. A person's key must not be known for ever."""
        old = self._clock() - KEPT_S
        while self._kept:
            key = next(iter(self._kept))
            if len(self._kept) <= MOST_KEYS and self._fields <= self._most_fields and self._kept[key].at >= old:
                break
            self._drop(key)
        if self._kept and not self._purge:
            self._purge = asyncio.get_running_loop().call_later(KEPT_S, self._purged)

    def _purged(self) -> None:
        self._purge = None
        self._shrink()


async def settled(found: Sequence[Snapshot | Waiting], within: float) -> list[Snapshot]:
    """What was asked for, waiting for it no longer than so many seconds; nothing for what did not come."""
    waiting = [each for each in found if not isinstance(each, Snapshot)]
    if waiting:
        await asyncio.wait(waiting, timeout=max(0.0, min(within, READ_S)))
    return [each if isinstance(each, Snapshot) else each.result() if each.done() else NOTHING for each in found]
