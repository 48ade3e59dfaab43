"""A pair that is wanted twice at once is computed once.

Knows: which pairs are being computed and how many wait for each piece of work. Does not know: how, or for whom.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from service.scoring import PairScore

Compute = Callable[[Sequence[bytes]], Awaitable[dict[bytes, PairScore]]]


class _Work:
    """Some attributes of one query that are being scored together."""

    def __init__(self, query: bytes, attributes: Sequence[bytes], scores: Awaitable[dict[bytes, PairScore]]) -> None:
        self.query, self.attributes = query, attributes
        self.waiting = 0
        self.scores = asyncio.ensure_future(scores)


class InFlight:
    """What is being computed now, by query and attribute."""

    def __init__(self) -> None:
        self._works: dict[bytes, dict[bytes, _Work]] = {}

    def __len__(self) -> int:
        """How many pairs are being computed."""
        return sum(map(len, self._works.values()))

    async def scores(
        self, query: bytes, attributes: Sequence[bytes], compute: Compute
    ) -> tuple[dict[bytes, PairScore], int]:
        """The attributes' scores, and how many of them were being computed already.

        `compute` is asked for the others. It is cancelled when nobody waits for it any more, and no sooner: a caller
        that is cancelled takes nothing from the rest. Raises what the computation raises, to all who wait for it.
        """
        under_way = self._works.get(query, {})
        joined = [attribute for attribute in attributes if attribute in under_way]
        works = {under_way[attribute] for attribute in joined}
        new = [attribute for attribute in attributes if attribute not in under_way]
        if new:
            works.add(self._begin(query, new, compute))
        for work in works:
            work.waiting += 1
        try:
            if len(works) == 1:
                await asyncio.shield(next(iter(works)).scores)
            else:
                await asyncio.wait([work.scores for work in works], return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for work in works:
                work.waiting -= 1
                if not work.waiting and not work.scores.done():
                    self._forget(work)
                    work.scores.cancel()
        found: dict[bytes, PairScore] = {}
        for work in sorted(works, key=_failed, reverse=True):
            found |= work.scores.result()
        return {attribute: found[attribute] for attribute in attributes}, len(joined)

    def _begin(self, query: bytes, attributes: Sequence[bytes], compute: Compute) -> _Work:
        work = _Work(query, attributes, compute(attributes))
        self._works.setdefault(query, {}).update(dict.fromkeys(attributes, work))

        def done(scores: asyncio.Future[dict[bytes, PairScore]]) -> None:
            self._forget(work)
            if not scores.cancelled():
                scores.exception()  # it may be that nobody is left to ask

        work.scores.add_done_callback(done)
        return work

    def _forget(self, work: _Work) -> None:
        """Let nobody join this work any more: it is over, or being cancelled."""
        works = self._works.get(work.query, {})
        for attribute in work.attributes:
            if works.get(attribute) is work:
                del works[attribute]
        if not works:
            self._works.pop(work.query, None)


def _failed(work: _Work) -> bool:
    """Whether it failed by itself: another's failure has those cancelled for which nobody waits any more."""
    return work.scores.done() and not work.scores.cancelled() and work.scores.exception() is not None
