"""The ledger in one process: nothing outlives it, everything in it is bounded and expires.

Knows: the promises of `ledger` kept with dicts. Does not know: Redis, what an event says.
"""

import asyncio
import itertools
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from service.errors import Overloaded
from service.evidence import HalfLives, Observed, at_time, merged, without
from service.feedback.keys import user_key
from service.feedback.ledger import (
    FIELDS_LEFT,
    LEAST_SUM,
    MOST_FIELDS,
    MOST_PEOPLE,
    MOST_SEEN,
    SILENT_S,
    Entry,
    Fields,
    Folded,
    Limits,
    Outcome,
    Pending,
)
from service.telemetry import Telemetry

MOST_KEYS, MOST_SHOWN, MOST_CAPS = 20_000, 10_000, 200_000
"""Of evidence, of answers and of clients' counts; what was written longest ago goes first."""

_Value = TypeVar("_Value")
_Part = tuple[tuple[tuple[str, int], ...], bytes]
"""The wider scopes that were added to, each with how often it had been taken back, and the field."""
_Field = TypeVar("_Field", bytes, _Part)


class MemoryLedger:
    """A `Ledger` in this process. `clock` gives seconds since 1970."""

    def __init__(self, limits: Limits, telemetry: Telemetry, *, clock: Callable[[], float] = time.time) -> None:
        self._limits, self._telemetry, self._clock = limits, telemetry, clock
        self._ids = itertools.count(1)
        self._seen = _Seen(limits.window_s, clock)
        self._queue: dict[str, _Queued] = {}
        self._log: deque[Pending] = deque(maxlen=limits.kept)
        self._evidence: _Expiring[dict[bytes, Observed]] = _Expiring(MOST_KEYS, limits.ttl_s, clock)
        self._parts: _Expiring[dict[_Part, Observed]] = _Expiring(MOST_KEYS, limits.ttl_s, clock)
        self._taken: Counter[str] = Counter()
        self._shown: _Expiring[bytes] = _Expiring(MOST_SHOWN, limits.shown_s, clock)
        self._caps: _Expiring[int] = _Expiring(MOST_CAPS, limits.cap_s, clock)
        self._cohorts: tuple[bytes, float] | None = None

    async def append(self, entries: Sequence[Entry]) -> list[bool]:
        """As `Ledger`."""
        if len(self._queue) + len(entries) > self._limits.waiting:
            raise Overloaded(f"{len(self._queue)} events wait to be folded already")
        new = []
        for entry in entries:
            new.append(self._seen.add(entry.once))
            if new[-1]:
                number = str(next(self._ids))
                self._queue[number] = _Queued(Pending(number, entry.user, entry.client, entry.content), self._clock())
        self._tell()
        return new

    async def waiting(self, consumer: str, most: int) -> list[Pending]:
        """As `Ledger`."""
        now = self._clock()
        free = (each for each in self._queue.values() if not each.consumer or each.since <= now - SILENT_S)
        taken = list(itertools.islice(free, most))
        for each in taken:
            each.consumer, each.since = consumer, now
        self._tell()
        return [each.entry for each in taken]

    async def fold(self, consumer: str, folded: Sequence[Folded]) -> list[Outcome]:
        """As `Ledger`."""
        outcomes: list[Outcome] = []
        noted = {b""}
        for each in folded:
            outcomes.append(self._fold(consumer, each, noted))
            await asyncio.sleep(0)  # requests go before the next one
        self._tell()
        return outcomes

    def _fold(self, consumer: str, folded: Folded, noted: set[bytes]) -> Outcome:
        queued = self._queue.get(folded.id)
        if queued is None or queued.consumer != consumer:
            return "gone"
        del self._queue[folded.id]
        if folded.capped and not self._counts(folded.capped):
            return "capped"
        reached: list[str] = []
        for key, fields in folded.additions.items():
            capped = folded.capped_keys.get(key)
            if not capped or self._counts(capped):
                self._add(self._evidence, key, fields)
                reached += [key] * (key in folded.scopes)
        for place, scope in enumerate(reached[:-1], 1):
            wider = tuple((each, self._taken[each]) for each in reached[place:])
            widest = folded.additions[reached[-1]]
            self._add(self._parts, scope, {(wider, field): found for field, found in widest.items()})
        if folded.query not in noted:
            self._put_into_log(queued.entry, folded.query)
            noted.add(folded.query)
        self._put_into_log(queued.entry, folded.event or queued.entry.content)
        return "folded"

    def _put_into_log(self, entry: Pending, content: bytes) -> None:
        self._log.append(entry._replace(id=str(next(self._ids)), content=content))

    def _counts(self, capped: str) -> bool:
        before = self._caps.get(capped) or 0
        if before < self._limits.cap:
            self._caps.put(capped, before + 1, anew=not before)
        return before < self._limits.cap

    def _add(self, kept: "_Expiring[dict[_Field, Observed]]", key: str, fields: Mapping[_Field, Observed]) -> None:
        known = kept.get(key) or {}
        half_lives = self._limits.half_lives
        for field, found in fields.items():
            known[field] = merged(known[field], found, half_lives) if field in known else found
        if len(known) > MOST_FIELDS:
            latest = max(found.at for found in known.values())
            known = dict(sorted(known.items(), key=lambda item: _standing(item, latest, half_lives))[-FIELDS_LEFT:])
        kept.put(key, known)

    async def logged(self, after: str, most: int) -> list[Pending]:
        """As `Ledger`."""
        return list(itertools.islice((entry for entry in self._log if int(entry.id) > int(after or 0)), most))

    def show(self, key: str, content: bytes) -> None:
        """As `Ledger`."""
        self._shown.put(key, content)

    async def shown(self, keys: Sequence[str]) -> list[bytes | None]:
        """As `Ledger`."""
        return [self._shown.get(key) for key in keys]

    async def evidence(self, keys: Sequence[str], fields: Sequence[bytes] = ()) -> list[Fields]:
        """As `Ledger`."""
        found = [self._evidence.get(key) or {} for key in keys]
        return [{f: known[f] for f in fields or known if f in known} for known in found]

    async def take_back(self, scope: str) -> set[str]:
        """As `Ledger`."""
        changed = {scope}
        for (path, field), part in (self._parts.get(scope) or {}).items():
            changed |= {wider for wider, _ in path}
            for place, (wider, before) in enumerate(path, 1):
                if before != self._taken[wider]:
                    break  # what that scope had was taken off the wider ones with it
                self._less(self._evidence, wider, field, part)
                self._less(self._parts, wider, (path[place:], field), part)
        self._taken[scope] += 1
        there = [self._evidence.remove(scope), self._parts.remove(scope)]
        return changed if any(there) else set()

    def _less(self, kept: "_Expiring[dict[_Field, Observed]]", key: str, field: _Field, part: Observed) -> None:
        known = kept.get(key) or {}
        if field in known:
            known[field] = without(known[field], part, self._limits.half_lives)
            if max(known[field][:4]) < LEAST_SUM:
                del known[field]
            if not known:
                kept.remove(key)

    async def profiles(self) -> AsyncIterator[Fields]:
        """As `Ledger`."""
        people = (key for key in self._evidence.latest() if key.startswith(user_key("")))
        for key in itertools.islice(people, MOST_PEOPLE):
            yield self._evidence.get(key) or {}
            await asyncio.sleep(0)  # requests go before the next one

    async def keep_cohorts(self, content: bytes | None, ttl_s: float) -> None:
        """As `Ledger`."""
        self._cohorts = (content, self._clock() + ttl_s) if content else None

    async def cohorts(self) -> bytes | None:
        """As `Ledger`."""
        return self._cohorts[0] if self._cohorts and self._clock() < self._cohorts[1] else None

    async def claims(self, task: str, for_s: float) -> bool:  # noqa: ARG002  # there is no other
        """As `Ledger`: nobody else is there."""
        return True

    async def forget_user(self, user: str) -> bool:
        """As `Ledger`."""
        waiting = [number for number, each in self._queue.items() if _names(each.entry, user)]
        for number in waiting:
            del self._queue[number]
        kept = [entry for entry in self._log if not _names(entry, user)]
        logged = len(kept) < len(self._log)
        self._log = deque(kept, maxlen=self._log.maxlen)
        self._tell()
        return self._evidence.remove(user_key(user)) or logged or bool(waiting)

    def _tell(self) -> None:
        self._telemetry.events_waiting.set(len(self._queue))
        oldest = next(iter(self._queue.values()), None)
        self._telemetry.events_oldest.set(max(0.0, self._clock() - oldest.at) if oldest else 0)


def _names(entry: Pending, user: str) -> bool:
    """Whether a person's hash is anywhere in an entry: ids of other kinds may be the same."""
    return user in (entry.user, entry.client) or user.encode() in entry.content


def _standing(item: tuple[_Field, Observed], at: float, half_lives: HalfLives) -> tuple[float, _Field]:
    """By what a field is worth keeping: its expectation at a time, then its bytes, so that there is an order."""
    field, found = item
    return at_time(found, at, half_lives).expected_long, field


@dataclass(slots=True)
class _Queued:
    """An entry of the queue, when it was put there, and who has it since when."""

    entry: Pending
    at: float
    consumer: str = ""
    since: float = 0.0


class _Seen:
    """What was seen in the last window, and some of the one before."""

    def __init__(self, window_s: float, clock: Callable[[], float]) -> None:
        self._window_s, self._clock = window_s, clock
        self._begun = self._old_begun = clock()
        self._new: set[bytes] = set()
        self._old: set[bytes] = set()

    def add(self, once: bytes) -> bool:
        """Whether it is new."""
        now = self._clock()
        if now >= self._begun + self._window_s or len(self._new) >= MOST_SEEN:
            self._old, self._old_begun = self._new, self._begun
            self._new, self._begun = set(), now
        if now >= self._old_begun + 2 * self._window_s:
            self._old = set()
        if once in self._new or once in self._old:
            return False
        self._new.add(once)
        return True


class _Expiring(Generic[_Value]):
    """Values by key for so many seconds after they were put, at most so many of them."""

    def __init__(self, most: int, ttl_s: float, clock: Callable[[], float]) -> None:
        self._most, self._ttl_s, self._clock = most, ttl_s, clock
        self._kept: OrderedDict[str, tuple[float, _Value]] = OrderedDict()

    def get(self, key: str) -> _Value | None:
        """What is kept under it, if it is still."""
        until, value = self._kept.get(key, (0.0, None))
        return value if until > self._clock() else None

    def latest(self) -> list[str]:
        """The keys of what is kept still, what was put last first."""
        return [key for key in reversed(self._kept) if self.get(key) is not None]

    def put(self, key: str, value: _Value, *, anew: bool = True) -> None:
        """Keep it; `anew` as if it were new, else for as long as what it replaces."""
        now = self._clock()
        if anew:
            self._kept.pop(key, None)
        self._kept[key] = (now + self._ttl_s if anew else self._kept[key][0], value)
        while len(self._kept) > self._most or next(iter(self._kept.values()))[0] <= now:
            self._kept.popitem(last=False)

    def remove(self, key: str) -> bool:
        """Keep it no more; whether it was."""
        there = self.get(key) is not None
        self._kept.pop(key, None)
        return there
