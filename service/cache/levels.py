"""The pair cache: in process first, then Redis.

Knows: the order of the levels and what each hit counts as. Does not know: how a level keeps its pairs.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from service.cache.memory import MemoryCache
from service.scoring import PairScore
from service.telemetry import Telemetry


class SecondLevel(Protocol):
    """A slower cache behind the one in process; it never raises."""

    async def get(self, query: bytes, attributes: Sequence[bytes]) -> dict[bytes, PairScore]:
        """What it knows of these attributes."""
        ...

    def put(self, query: bytes, scores: Mapping[bytes, PairScore]) -> None:
        """Keep these scores, soon."""
        ...


class PairCache:
    """What is known of a query's attributes, from the nearest level that knows it."""

    def __init__(self, memory: MemoryCache, second: SecondLevel | None, telemetry: Telemetry) -> None:
        self._memory, self._second, self._telemetry = memory, second, telemetry

    async def get(self, query: bytes, attributes: Sequence[bytes]) -> dict[bytes, PairScore]:
        """The known scores by attribute; what the second level knew is in process from now on."""
        known = self._memory.get(query, attributes)
        self._telemetry.pairs.labels("memory").inc(len(known))
        wanted = [attribute for attribute in dict.fromkeys(attributes) if attribute not in known]
        if wanted and self._second:
            found = await self._second.get(query, wanted)
            self._memory.put(query, found)
            self._telemetry.pairs.labels("redis").inc(len(found))
            known |= found
            wanted = [attribute for attribute in wanted if attribute not in found]
        self._telemetry.pairs.labels("miss").inc(len(wanted))
        return known

    def put(self, query: bytes, scores: Mapping[bytes, PairScore]) -> None:
        """Keep new scores on every level."""
        self._memory.put(query, scores)
        if self._second:
            self._second.put(query, scores)
