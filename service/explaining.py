"""How much each word of a query moves an attribute's logit, by leaving words out.

The words are taken away from the first to the last, and from the last to the first. Along either way, what the logit
loses with each word adds up to the logit of the query less that of the empty one; so does the mean of both. It is an
estimate of the words' Shapley values from one antithetic pair of permutations (Mitchell, Cooper, Frank and Holmes 2022,
"Sampling permutations for Shapley value estimation", JMLR 23). Attention has no part in it.

Knows: which sub-queries are asked, what their logits say. Does not know: who scores them, requests, deadlines.
"""

from collections.abc import Sequence
from itertools import chain, pairwise
from typing import NamedTuple

from service.scoring import RowScores
from service.text import QueryTokens

MOST_ENTRIES = 24
"""Of a longer query neighbours are taken together: an entry costs two passes over the candidates."""


class WordEffect(NamedTuple):
    """A word of the query as sent (or neighbours), `query[start:end]`, and how much the logit changes by it."""

    text: str
    start: int
    end: int
    effect: float


class Explanation(NamedTuple):
    """An attribute's logit for the empty query, and what each word adds to it: together the logit for the query."""

    base: float
    words: tuple[WordEffect, ...]


def sub_queries(query: QueryTokens) -> list[QueryTokens]:
    """What is left of a query of m entries on the two ways: its m - 1 ends, its m - 1 beginnings, the empty one."""
    bounds = _bounds(len(query.starts))
    inner = bounds[1:-1]
    endings = [query.part(bound, bounds[-1]) for bound in inner]
    beginnings = [query.part(0, bound) for bound in inner]
    return [*endings, *beginnings, query.part(0, 0)]


def explanations(
    text: str, query: QueryTokens, logits: Sequence[float], scores: Sequence[RowScores]
) -> list[Explanation]:
    """One for each attribute; `logits` are theirs for the whole query.

    `scores` are those of the rows that `sub_queries` and the attributes make, in their order.
    """
    bounds = _bounds(len(query.starts))
    spans = [(query.starts[first], query.ends[end - 1]) for first, end in pairwise(bounds)]
    found = list(chain.from_iterable(row.logits.tolist() for row in scores))
    explained = []
    for place, logit in enumerate(logits):
        less = found[place :: len(logits)]
        words = [WordEffect(text[a:b], a, b, each) for (a, b), each in zip(spans, effects(logit, less), strict=True)]
        explained.append(Explanation(less[-1], tuple(words)))
    return explained


def effects(logit: float, less: Sequence[float]) -> list[float]:
    """Each entry's effect; they add up to `logit` less that of the empty query. `less` are those of `sub_queries`."""
    half, base = len(less) // 2, less[-1]
    falling = pairwise([logit, *less[:half], base])
    rising = pairwise([base, *less[half:-1], logit])
    return [(before - after + more - fewer) / 2 for (before, after), (fewer, more) in zip(falling, rising, strict=True)]


def _bounds(words: int) -> list[int]:
    """Where the entries begin, counted in words, and where the last one ends."""
    entries = min(words, MOST_ENTRIES)
    return [entry * words // entries for entry in range(entries + 1)]
