"""What users did after a query, as events and queries in the User Behavior Insights format.

Knows: how events become gains. Does not know: who sent them, or whether people did: the public sample is simulated.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model_export import catalogues
from model_export.catalogues import KIND, CatalogueProduct
from model_export.config import Source
from model_export.readers.lines import Keyed, json_lines
from model_export.readers.ranked import with_products
from service.feedback.actions import IMPRESSION, worth
from service.feedback.ubi import facet_name, is_number, part

EVENTS, QUERIES = "ubi_events.json", "ubi_queries.json"
MOST_ATTRIBUTES = 12

LEAST_PROPENSITY = 0.1
"""Lower ones are taken for this, so that no single click far down outweighs all else."""

FACETS = {
    "supplier": "brand",
    "supplier name": "brand",
    "type": KIND,
    "category": KIND,
}
"""What senders call some attributes."""


@dataclass(slots=True)
class _Behaviour:
    """What was done after all searches for one query."""

    products: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    facets: dict[str, float] = field(default_factory=lambda: defaultdict(float))


def ubi(path: Path, source: Source, _seed: int) -> Iterator[Keyed]:
    """One record for each query text that something was done after, the text its key.

    `path` is a folder with `ubi_events.json` and `ubi_queries.json`, an object a line, joined by `query_id`. The gain
    of a product is the sum of its actions (`worth`), each divided by the propensity of its position, over the
    largest; that of an attribute is how often it was filtered by, over the most often one. Products are those that the
    catalogue of the source has, with their values, left out where all gained alike. Raises BadRecord.
    """
    products = {product.id: product for product in catalogues.read(source.catalogue)} if source.catalogue else {}
    for query, behaviour in _behaviours(path).items():
        known = [(gain, products[name]) for name, gain in behaviour.products.items() if name in products]
        ranked = _normalised(known) if len({gain for gain, _ in known}) > 1 else []
        most = max(behaviour.facets.values(), default=0.0)
        gains = {name: count / most for name, count in behaviour.facets.items()}
        if gains or ranked:
            yield query, with_products(query, gains, ranked, most=MOST_ATTRIBUTES)


def _normalised(products: list[tuple[float, CatalogueProduct]]) -> list[tuple[float, CatalogueProduct]]:
    most = max(gain for gain, _ in products)
    return [(round(gain / most, 4), product) for gain, product in products]


def _behaviours(folder: Path) -> dict[str, _Behaviour]:
    queries = {
        str(line["query_id"]): str(line["user_query"])
        for line in json_lines(folder / QUERIES, "query_id", "user_query")
    }
    events = list(json_lines(folder / EVENTS, "action_name"))
    for event in events:
        if text := _asked(event):
            queries.setdefault(str(event.get("query_id")), text)
    found: dict[str, _Behaviour] = defaultdict(_Behaviour)
    for event in events:
        query = queries.get(str(event.get("query_id")), "").strip().lower()
        if not query:
            continue
        action = str(event["action_name"]).lower()
        if facet := facet_name(event, action):
            found[query].facets[FACETS.get(facet, facet)] += 1
        elif (said := _said(action, event)) is not None and (name := _product(event)):
            found[query].products[name] += said
    return found


def _asked(event: Mapping[str, Any]) -> str:
    """The query's text where the event itself has it."""
    own = event.get("user_query")
    if not own and event.get("message_type") == "QUERY":
        own = event.get("message")
    return own if isinstance(own, str) else ""


def _said(action: str, event: Mapping[str, Any]) -> float | None:
    """The action's worth over the propensity of its position, 1 / sqrt(position); an unknown position counts as 1.

    None of an action that says nothing of a product, 0 where it was seen and left. Senders count from 0 or from 1, and
    do not say which: positions are taken to begin at 0. A click that calls itself an impression is one.
    """
    said = worth(action)
    if not said and action != IMPRESSION:
        return None
    if event.get("message_type") == "IMPRESSION":
        return 0.0
    ordinal = part(event, "position").get("ordinal")
    position = ordinal + 1 if is_number(ordinal) and ordinal >= 0 else 1
    return said / max(LEAST_PROPENSITY, 1 / math.sqrt(position))


def _product(event: Mapping[str, Any]) -> str:
    """The id of the object in its catalogue: `internal_id` where there is one, for `object_id` may be an EAN."""
    item = part(event, "object")
    return str(item.get("internal_id") or item.get("object_id") or "")
