"""The first level: pairs kept in this process.

Knows: which query was used last, how many pairs there are and about how many bytes they take. Does not know: Redis.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from service.scoring import PairScore

QUERY_BYTES, PAIR_BYTES, SPAN_BYTES = 500, 130, 160
"""What CPython takes for a query with its dict, a pair without its attribute's key, a value span."""


class MemoryCache:
    """Scores by query and attribute, at most `pairs` and about `memory` bytes of them.

    The query that was used longest ago goes first.
    """

    def __init__(self, pairs: int, *, memory: int) -> None:
        self._pair_limit, self._byte_limit = pairs, memory
        self._pairs = self._bytes = 0
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
        if not scores or len(scores) > self._pair_limit:
            return
        known = self._queries.get(query)
        if known is None:
            known = self._queries[query] = {}
            self._bytes += QUERY_BYTES
        self._queries.move_to_end(query)
        new = {attribute: score for attribute, score in scores.items() if attribute not in known}
        known |= new
        self._pairs += len(new)
        self._bytes += _bytes(new)
        while self._queries and (self._pairs > self._pair_limit or self._bytes > self._byte_limit):
            _, oldest = self._queries.popitem(last=False)
            self._pairs -= len(oldest)
            self._bytes -= QUERY_BYTES + _bytes(oldest)


def _bytes(scores: Mapping[bytes, PairScore]) -> int:
    return (
        PAIR_BYTES * len(scores)
        + sum(map(len, scores))
        + SPAN_BYTES * sum([len(score.spans) for score in scores.values()])
    )
