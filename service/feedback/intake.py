"""Events come in: each is read, refused by name or put down; queries have it known what they showed.

Knows: what becomes of each event. Does not know: HTTP, where events are kept, what follows from them.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.errors import EventRefused
from service.feedback import shown, ubi
from service.feedback.keys import scopes
from service.feedback.ledger import Entry
from service.feedback.shown import Shown, ShownProduct
from service.feedback.ubi import Accepted, Rules
from service.telemetry import Telemetry
from service.turns import Turns


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of events: how many are new, how many were known, and the others by their place."""

    accepted: int
    duplicate: int
    refused: Sequence[tuple[int, EventRefused]]


class Ledger(Protocol):
    """What is needed of the place where feedback is kept, see `service.feedback.ledger`."""

    async def append(self, entries: Sequence[Entry]) -> list[bool]:
        """Put entries down; for each whether it is new."""
        ...

    def show(self, key: str, content: bytes) -> None:
        """Have it known what was shown."""
        ...

    async def shown(self, keys: Sequence[str]) -> list[bytes | None]:
        """What was shown, where it is known."""
        ...


class Intake:
    """Where events come in. `rules` say what is refused and how ids are hashed; `clock` is in seconds since 1970."""

    def __init__(
        self, ledger: Ledger, telemetry: Telemetry, rules: Rules, clock: Callable[[], float] = time.time
    ) -> None:
        self._ledger, self._telemetry, self._rules, self._clock = ledger, telemetry, rules, clock

    async def take(self, items: Sequence[object]) -> Taken:
        """Take events and queries as `orjson` reads them; an item that could not be read is given as its EventRefused.

        What can be taken is put down as a whole or not at all: it raises Overloaded where too many wait and LedgerAway
        where nothing can be put down; to send the same again is safe.
        """
        accepted: list[Accepted] = []
        refused: list[tuple[int, EventRefused]] = []
        turns = Turns()
        for index, item in enumerate(items):
            await turns.rest()
            try:
                accepted.append(self._read(item))
            except EventRefused as error:
                refused.append((index, error))
        await self._register(accepted, turns)
        news = (
            await self._ledger.append(
                [Entry(each.once, each.event.client, each.event.user, each.content) for each in accepted]
            )
            if accepted
            else []
        )
        taken = Taken(sum(news), len(news) - sum(news), refused)
        self._count(taken)
        return taken

    def _read(self, item: object) -> Accepted:
        if isinstance(item, EventRefused):
            raise item
        return ubi.read(item, self._clock(), self._rules)

    async def _register(self, accepted: Sequence[Accepted], turns: Turns) -> None:
        """Have it known which products queries showed, where no answer of ours did: that tells more of them."""
        found = [each for each in accepted if each.hits and each.event.query_id]
        queries = {shown.key(each.event.query_id, products=True): each for each in found}
        known = await self._ledger.shown([*queries]) if queries else []
        for (key, query), before in zip(queries.items(), known, strict=True):
            if before is None:
                products = [ShownProduct(hit, {}) for hit in query.hits]
                self._ledger.show(key, shown.encode(Shown(scopes(query.event.query, None), {}, products)))
                await turns.rest()

    def _count(self, taken: Taken) -> None:
        reasons = Counter(error.reason for _, error in taken.refused)
        for outcome, count in {"accepted": taken.accepted, "duplicate": taken.duplicate, **reasons}.items():
            self._telemetry.events.labels(outcome).inc(count)
