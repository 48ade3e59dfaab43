"""The pair cache of one bundle: in process first, then what all processes share.

Knows: the order of the levels, what each hit counts as, the bundle whose pairs these are. Does not know: how a level
keeps its pairs.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from service.cache.memory import MemoryCache
from service.scoring import PairScore
from service.telemetry import Telemetry


class SecondLevel(Protocol):
    """A slower cache behind the one in process; it never raises."""

    async def get(self, key: bytes, attributes: Sequence[bytes], *, within: float) -> dict[bytes, PairScore]:
        """What it knows of these attributes under this key, or what it can say within so many seconds."""
        ...

    def put(self, key: bytes, scores: Mapping[bytes, PairScore]) -> None:
        """Keep these scores, soon."""
        ...


class PairCache:
    """What is known of a query's attributes, from the nearest level that knows it.

    On the second level, which outlives a bundle, the bundle's version is part of the key: pairs of another are never
    read.
    """

    def __init__(self, memory: MemoryCache, second: SecondLevel | None, telemetry: Telemetry, *, version: str) -> None:
        self._memory, self._second, self._found = memory, second, telemetry.found
        self._version = f"{version}:".encode()

    def near(self, query: bytes, attributes: Sequence[bytes]) -> dict[bytes, PairScore]:
        """The scores that are known in process, by attribute; it costs no waiting."""
        known = self._memory.get(query, attributes)
        if known:
            self._found["memory"].inc(len(known))
        return known

    async def far(self, query: bytes, attributes: Sequence[bytes], *, within: float) -> dict[bytes, PairScore]:
        """The scores that the second level knows and gives within so many seconds; they are in process from now on."""
        if not self._second:
            return {}
        known = await self._second.get(self._version + query, attributes, within=within)
        self._memory.put(query, known)
        self._found["redis"].inc(len(known))
        return known

    def put(self, query: bytes, scores: Mapping[bytes, PairScore]) -> None:
        """Keep new scores on every level."""
        self._memory.put(query, scores)
        if self._second:
            self._second.put(self._version + query, scores)
