"""The pair cache of one bundle: in process first, then what all processes share.

Every level keeps a pair as the same bytes.

Knows: the order of the levels, what each hit counts as, the bundle whose pairs these are. Does not know: how a level
keeps its bytes.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from service.cache.memory import MemoryCache
from service.cache.pairs import checked, decode, encode
from service.scoring import PairScore
from service.telemetry import Telemetry


class SecondLevel(Protocol):
    """A slower cache behind the one in process; it never raises."""

    async def get(self, key: bytes, attributes: Sequence[bytes], *, within: float) -> dict[bytes, bytes]:
        """What it knows of these attributes under this key, or what it can say within so many seconds."""
        ...

    def put(self, key: bytes, pairs: Mapping[bytes, bytes]) -> None:
        """Keep these pairs, soon."""
        ...


class PairCache:
    """What is known of a query's attributes, from the nearest level that knows it.

    On the second level, which outlives a bundle, the bundle's version is part of the key: pairs of another are never
    read.
    """

    def __init__(self, memory: MemoryCache, second: SecondLevel | None, telemetry: Telemetry, *, version: str) -> None:
        self._memory, self._second = memory, second
        self._found, self._faults = telemetry.found, telemetry.cache_faults
        self._version = f"{version}:".encode()

    def near(self, query: bytes, attributes: Sequence[bytes]) -> dict[bytes, PairScore]:
        """The scores that are known in process, by attribute; it costs no waiting."""
        known = self._memory.get(query, attributes)
        if known:
            self._found["memory"].inc(len(known))
        return {attribute: decode(pair) for attribute, pair in known.items()}

    async def far(self, query: bytes, attributes: Sequence[bytes], *, within: float) -> dict[bytes, PairScore]:
        """The scores that the second level knows and gives within so many seconds; they are in process from now on."""
        if not self._second:
            return {}
        found = await self._second.get(self._version + query, attributes, within=within)
        known: dict[bytes, PairScore] = {}
        for attribute, pair in found.items():
            try:
                known[attribute] = checked(pair)
            except ValueError:
                self._faults.labels("decode").inc()
        self._memory.put(query, {attribute: found[attribute] for attribute in known})
        self._found["redis"].inc(len(known))
        return known | self.near(query, [attribute for attribute in attributes if attribute not in known])  # meanwhile

    def put(self, query: bytes, scores: Mapping[bytes, PairScore]) -> None:
        """Keep new scores on every level."""
        pairs = {attribute: encode(score) for attribute, score in scores.items()}
        self._memory.put(query, pairs)
        if self._second:
            self._second.put(self._version + query, pairs)
