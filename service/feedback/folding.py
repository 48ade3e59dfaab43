"""The consumer: takes events that wait, asks what each adds, has it added and takes them out, over and over.

Knows: how often to look, what becomes of an entry that cannot be read, of a ledger that is away, of an end that comes
while a batch is at work. Does not know: what an event says, how evidence adds up, where it is kept.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Literal, NamedTuple, Protocol, Self

from service.errors import LedgerAway
from service.evidence import HalfLives
from service.feedback import choices, positions, shown, ubi
from service.feedback.choices import Chosen
from service.feedback.kept import Kept
from service.feedback.keys import FACET_POSITIONS, POSITIONS, attribute_field
from service.feedback.ledger import Folded, Ledger, Pending
from service.feedback.noting import noted_event, noted_query
from service.feedback.positions import Propensities
from service.feedback.shown import Shown
from service.feedback.ubi import Event
from service.telemetry import Telemetry

logger = logging.getLogger(__name__)

TOGETHER = 100
"""Entries that are taken from the queue at once."""
MOST_SUMS = 500
"""So many are added in one step, and what one entry adds: a step keeps others from the ledger for that long."""
LEAST_PAUSE_S, MOST_PAUSE_S, AWAY_S = 0.05, 0.5, 1.0
"""Between looks while nothing waits, each twice as long as the one before; and after one that failed."""
PROPENSITIES_S = 60.0
"""For so long propensities are taken as they were read."""
MOST_NOTED, NOTED_SIZE = 8_000_000, 400
"""Bytes of queries, and about how many it takes to remember that one is in the log."""
CLOSE_S = 5.0
"""A batch may take so long to finish when the end comes; what it leaves goes to another consumer."""
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What an entry raises that is none of ours, or that nobody thought of."""

_Word = Literal["folded", "unknown_query", "nothing", "unreadable"]


class Calibration(Protocol):
    """What is told of each facet choice that was folded."""

    def saw(self, top_weight: float, *, chosen: bool) -> None:
        """The largest weight shown, and whether its attribute was the one chosen."""
        ...


class _Seen(NamedTuple):
    """What an answer showed, and what tells it from another under the same id."""

    shown: Shown
    digest: int


_Search = tuple[str, bool, int, int]
"""What the log has once: of a query id, attributes or products, an answer, so many of its products."""
_Own = dict[tuple[str, _Search], bytes]
"""What the log is to have of people's own searches, for as long as a batch is folded."""


class _Read(NamedTuple):
    """What an entry adds, and the word for it if it is folded; the search that the log has then and need not get again;
    of a facet choice what `Calibration` is told.
    """

    folded: Folded
    word: _Word
    search: _Search | None = None
    top: tuple[float, bool] | None = None


class Folder:
    """Folds what waits in a ledger; an async context manager, or `run` by its owner. `consumer` is its own name."""

    def __init__(
        self,
        ledger: Ledger,
        telemetry: Telemetry,
        half_lives: HalfLives,
        *,
        consumer: str,
        calibration: Calibration | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger, self._telemetry, self._half_lives = ledger, telemetry, half_lives
        self._consumer, self._calibration, self._clock = consumer, calibration, clock
        self._propensities = Propensities()
        self._propensities_until = 0.0
        self._noted: Kept[_Search, bytes] = Kept(MOST_NOTED)
        self._ending = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.run(), name="fold")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        if self._task:
            await asyncio.wait([self._task], timeout=CLOSE_S)
            self._task.cancel()
            await asyncio.wait([self._task])

    def end(self) -> None:
        """Have `run` return when the batch at work is done."""
        self._ending.set()

    async def run(self) -> None:
        """Fold until told to end."""
        pause = LEAST_PAUSE_S
        while not self._ending.is_set():
            try:
                found = await self.fold()
            except LedgerAway:
                await self._rest(AWAY_S)
                continue
            except Exception:  # whatever it was: what was taken comes again, and other events must not wait for it
                logger.exception("events could not be folded, those that come are folded after a pause")
                await self._rest(AWAY_S)
                continue
            pause = min(2 * pause, MOST_PAUSE_S) if not found else LEAST_PAUSE_S
            if found < TOGETHER:
                await self._rest(pause)

    async def fold(self) -> int:
        """Fold what waits, one batch of it at most; how many entries that was. Raises LedgerAway."""
        entries = await self._ledger.waiting(self._consumer, TOGETHER)
        if not entries:
            return 0
        own: _Own = {}
        read = [await self._read(entry, event, seen, own) for entry, event, seen in await self._with_shown(entries)]
        for step in _steps(read):
            outcomes = await self._ledger.fold(self._consumer, [each.folded for each in step])
            for each, outcome in zip(step, outcomes, strict=True):
                if outcome != "gone":
                    self._telemetry.events_folded.labels("capped" if outcome == "capped" else each.word).inc()
                if outcome == "folded" and each.search:
                    self._noted.put(each.search, b"", NOTED_SIZE)
                if outcome == "folded" and each.top and self._calibration is not None:
                    self._calibration.saw(each.top[0], chosen=each.top[1])
        return len(entries)

    async def _with_shown(self, entries: Sequence[Pending]) -> list[tuple[Pending, Event | None, _Seen | None]]:
        """Each entry with its event, None of one that cannot be read, and with what its answer showed."""
        if (now := self._clock()) >= self._propensities_until:
            products, facets = await self._ledger.evidence([POSITIONS, FACET_POSITIONS])
            self._propensities = Propensities(
                positions.propensity(products, now, self._half_lives),
                positions.facet_propensity(facets, now, self._half_lives),
            )
            self._propensities_until = now + PROPENSITIES_S
        events = [_event(entry) for entry in entries]
        asked = [*{key: None for event in events if event and event.query_id for key in _keys(event)}]
        contents = await self._ledger.shown(asked) if asked else []
        known: dict[str, _Seen | None] = {}
        for key, content in zip(asked, contents, strict=True):
            known[key] = _seen(content) if content else None
            await asyncio.sleep(0)  # requests that the same loop serves go before the next one
        return [
            (entry, event, next(filter(None, map(known.get, _keys(event))), None) if event else None)
            for entry, event in zip(entries, events, strict=True)
        ]

    async def _read(self, entry: Pending, event: Event | None, seen: _Seen | None, own: _Own) -> _Read:
        await asyncio.sleep(0)
        nothing = Folded(entry.id, entry.user, "", {})
        if event is None:
            return _Read(nothing, "unreadable")
        if seen is None:
            return _Read(nothing, "unknown_query" if event.action else "nothing")
        try:
            added = choices.additions(event, seen.shown, self._propensities)
            if not added.chosen:
                return _Read(nothing, "nothing")
            noted = noted_event(entry.content, added.chosen, seen.shown)
            search, query = self._search(event, added.chosen, seen, own)
        except UNREADABLE:
            logger.exception("an event could not be folded")
            return _Read(nothing, "unreadable")
        folded = Folded(
            entry.id, entry.user, added.capped, added.evidence, added.capped_keys, seen.shown.scopes, noted, query
        )
        return _Read(folded, "folded", search, _top(event, seen.shown))

    def _search(self, event: Event, chosen: Chosen, seen: _Seen, own: _Own) -> tuple[_Search | None, bytes]:
        """The search that an event refers to, and what the log is to have of it, nothing where it has that.

        What was asked for a person is logged with a person's events alone, so that it goes when they do. What comes
        with a person's events is logged with each batch of them again: it may have gone, and nothing here must know
        who they are for longer.
        """
        if not seen.shown.query or (seen.shown.named and not event.user):
            return None, b""
        search = event.query_id, event.of_attribute, chosen.compared, seen.digest
        if event.user:
            if (event.user, search) not in own:
                own[event.user, search] = noted_query(event, chosen, seen.shown)
            return None, own[event.user, search]
        query = self._noted.get(search)
        if query is None:
            query = noted_query(event, chosen, seen.shown)
            self._noted.put(search, query, len(query) + NOTED_SIZE)
        return search, query

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._ending.wait()
        except TimeoutError:
            return


def _top(event: Event, seen: Shown) -> tuple[float, bool] | None:
    """Of a facet choice the largest weight that was shown, and whether its attribute was chosen."""
    if not event.of_attribute or not seen.attributes or seen.explored:
        return None
    name, weight = max(seen.attributes.items(), key=lambda item: item[1])
    return weight, attribute_field(name) == attribute_field(event.object_id)


def _steps(read: Iterable[_Read]) -> Iterator[list[_Read]]:
    """What is folded at once."""
    step: list[_Read] = []
    sums = 0
    for each in read:
        step.append(each)
        sums += sum(map(len, each.folded.additions.values()))
        if sums >= MOST_SUMS:
            yield step
            step, sums = [], 0
    if step:
        yield step


def _event(entry: Pending) -> Event | None:
    try:
        return ubi.stored(entry.content)
    except UNREADABLE:
        return None


def _keys(event: Event) -> tuple[str, str]:
    """By which it is known what an event refers to: a facet to attributes alone or else products, a product the other
    way round.
    """
    first = not event.of_attribute
    return shown.key(event.query_id, products=first), shown.key(event.query_id, products=not first)


def _seen(content: bytes) -> _Seen | None:
    try:
        return _Seen(shown.decode(content), hash(content))
    except UNREADABLE:
        return None
