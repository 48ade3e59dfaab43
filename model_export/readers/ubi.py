"""What users did after a query, as events and queries in the User Behavior Insights format.

Knows: the shapes of events that senders of UBI 1.x use, what an action is worth. Does not know: who sent them, or
whether people did: the public sample is simulated.
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

EVENTS, QUERIES = "ubi_events.json", "ubi_queries.json"
MOST_ATTRIBUTES = 12

ACTIONS = {
    "purchase": 1.0,
    "order": 1.0,
    "checkout": 1.0,
    "add_to_cart": 0.5,
    "click": 0.2,
    "item_click": 0.2,
    "click_through": 0.2,
    "impression": 0.0,
}
"""What an action on a product says of it. Other actions say nothing."""

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
    of a product is the sum of its actions (`ACTIONS`), each divided by the propensity of its position, over the
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
        if facet := _facet(action, event):
            found[query].facets[facet] += 1
        elif action in ACTIONS and (name := _product(event)):
            found[query].products[name] += _worth(action, event)
    return found


def _asked(event: Mapping[str, Any]) -> str:
    """The query's text where the event itself has it."""
    own = event.get("user_query")
    if not own and event.get("message_type") == "QUERY":
        own = event.get("message")
    return own if isinstance(own, str) else ""


def _part(event: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    attributes = event.get("event_attributes")
    part = attributes.get(name) if isinstance(attributes, dict) else None
    return part if isinstance(part, dict) else {}


def _worth(action: str, event: Mapping[str, Any]) -> float:
    """The action's worth over the propensity of its position, 1 / sqrt(position); an unknown position counts as 1.

    Senders count from 0 or from 1, and do not say which: positions are taken to begin at 0. A click that calls itself
    an impression is one.
    """
    if event.get("message_type") == "IMPRESSION":
        return 0.0
    ordinal = _part(event, "position").get("ordinal")
    position: float = ordinal + 1 if isinstance(ordinal, int | float) and ordinal >= 0 else 1
    return ACTIONS[action] / max(LEAST_PROPENSITY, 1 / math.sqrt(position))


def _product(event: Mapping[str, Any]) -> str:
    """The id of the object in its catalogue: `internal_id` where there is one, for `object_id` may be an EAN."""
    item = _part(event, "object")
    return str(item.get("internal_id") or item.get("object_id") or "")


def _facet(action: str, event: Mapping[str, Any]) -> str:
    """The attribute that an event filtered by, or "" for another event.

    It is told by the object's description where that is a field's name ("supplier_name"), or else by the action
    ("brand_filter").
    """
    words = action.replace("-", "_").split("_")
    if not {"filter", "facet"} & set(words) and event.get("message_type") != "FILTER":
        return ""
    field_name = _part(event, "object").get("description")
    told = field_name.split("_") if isinstance(field_name, str) and " " not in field_name.strip() else words
    name = " ".join(word for word in told if word not in {"filter", "facet", "on", "select", ""}).lower()
    return FACETS.get(name, name)
