"""The first level: pairs kept in this process.

Knows: which query was used last, how many pairs there are. Does not know: Redis.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from service.scoring import PairScore


class MemoryCache:
    """Scores by query and attribute, at most `pairs` of them; the query that was used longest ago goes first."""

    def __init__(self, pairs: int) -> None:
        self._limit, self._pairs = pairs, 0
        self._queries: OrderedDict[bytes, dict[bytes, PairScore]] = OrderedDict()

    def __len__(self) -> int:
        return self._pairs

    def get(self, query: bytes, attributes: Sequence[bytes]) -> dict[bytes, PairScore]:
        """What is known of these attributes for this query."""
        known = self._queries.get(query)
        if known is None:
            return {}
        self._queries.move_to_end(query)
        return {attribute: known[attribute] for attribute in attributes if attribute in known}

    def put(self, query: bytes, scores: Mapping[bytes, PairScore]) -> None:
        """Keep these scores; oldest queries make room."""
        if not scores or len(scores) > self._limit:
            return
        known = self._queries.setdefault(query, {})
        self._queries.move_to_end(query)
        before = len(known)
        known.update(scores)
        self._pairs += len(known) - before
        while self._pairs > self._limit:
            _, oldest = self._queries.popitem(last=False)
            self._pairs -= len(oldest)
