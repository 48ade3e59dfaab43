"""Simulated shoppers, made from judged products: nobody real did any of this.

A shopper looks down a list, sees the product at place k with probability k^-0.7, and clicks what is seen by how much
it is wanted; a click may become an order, which ends the session. A liar wants what is judged worst.

Knows: judgements, tastes, what a session does. Does not know: the service.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from model_export import config as configuration
from model_export.__main__ import SHIPPED
from model_export.benchmark import products
from model_export.benchmark.products import JudgedList
from service.matching.products import Product

EXPONENT = 0.7
"""How fast the sight of places falls (as in Joachims et al. 2017, where 1 and less is usual)."""
CLICK, CLICK_ANYWAY = 0.35, 0.02
"""Of a seen product: the probability where it is wanted most, and where it is not wanted at all."""
ORDER = 0.2
"""Of a clicked product that is wanted most."""
COLOURS = ("color", "product colour")
MOST_NAME, MOST_TITLE = 128, 2000
"""Characters that a request may have."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query with its products and how much each is wanted, in [0, 1]."""

    text: str
    products: tuple[Product, ...]
    gains: tuple[float, ...]


def queries(data: Path) -> list[Query]:
    """The judged dev lists of the shipped config below the data folder."""
    config = configuration.load(SHIPPED, data=data)
    return [_query(each) for folder in config.ranking.lists for each in products.lists(config, str(folder))]


def _query(judged: JudgedList) -> Query:
    listed = tuple(
        Product(one.title[:MOST_TITLE], {k[:MOST_NAME]: v[:MOST_TITLE] for k, v in one.attributes.items()})
        for one in judged.products
    )
    most = max(judged.gains)
    return Query(judged.query, listed, tuple(gain / most for gain in judged.gains))


def retasted(query: Query, chance: Random) -> Query:
    """The query's gains dealt anew: the highest to products with a value that is wanted from now on.

    It is a value that some products have and most have not; among those that have it, and among the others, the order
    of the judgements stays.
    """
    half = len(query.products) / 2
    counts = Counter((name, value) for one in query.products for name, value in one.attributes.items())
    could = sorted(pair for pair, count in counts.items() if 2 <= count <= half)
    if not could:
        return query
    name, value = chance.choice(could)
    has = [one.attributes.get(name) == value for one in query.products]
    best_first = sorted(range(len(has)), key=lambda place: (-has[place], -query.gains[place]))
    gains = dict(zip(best_first, sorted(query.gains, reverse=True), strict=True))
    return replace(query, gains=tuple(gains[place] for place in range(len(has))))


def camps(queries: Sequence[Query]) -> Mapping[str, int]:
    """Colours in two camps, 0 and 1, in turn from the most frequent."""
    counts = Counter(value for query in queries for one in query.products for value in _colour(one))
    return {value: place % 2 for place, (value, _) in enumerate(counts.most_common())}


def _colour(product: Product) -> list[str]:
    """Its colour in small letters; none or one."""
    return [str(value).casefold() for name in COLOURS if (value := product.attributes.get(name)) is not None][:1]


def of_camp(query: Query, camp: int, camps: Mapping[str, int], other: float = 0.1) -> Query:
    """The query as somebody wants it for whom products in the other camp's colours are worth a tenth."""
    factors = [other if any(camps[value] != camp for value in _colour(one)) else 1.0 for one in query.products]
    return replace(query, gains=tuple(gain * factor for gain, factor in zip(query.gains, factors, strict=True)))


def lied_about(query: Query) -> Query:
    """The query as a liar wants it."""
    return replace(query, gains=tuple(1 - gain for gain in query.gains))


def session(query: Query, order: Sequence[int], chance: Random) -> list[tuple[str, int, int]]:
    """What a shopper does with products in this order: action, the product's place in the query, and in the order."""
    done: list[tuple[str, int, int]] = []
    for place, product in enumerate(order, 1):
        gain = query.gains[product]
        seen = chance.random() < place**-EXPONENT
        if seen and chance.random() < CLICK_ANYWAY + (CLICK - CLICK_ANYWAY) * gain:
            done.append(("click", product, place))
            if chance.random() < ORDER * gain:
                return [*done, ("purchase", product, place)]
    return done


def event(action: str, product: int, place: int, **of: Any) -> dict[str, Any]:
    """An action as User Behavior Insights has it."""
    attributes = {
        "object": {"object_id": str(product), "object_id_type": "product"},
        "position": {"ordinal": place},
    }
    return {"action_name": action, "event_attributes": attributes} | of
