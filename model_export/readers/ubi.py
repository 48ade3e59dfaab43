"""What users did after a query, as events and queries in the User Behavior Insights format.

Knows: how events become gains. Does not know: who sent them, or whether people did: the public sample is simulated.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model_export import catalogues
from model_export.catalogues import KIND, CatalogueProduct
from model_export.config import Source
from model_export.readers.lines import Keyed, json_lines
from model_export.readers.ranked import with_products
from model_export.records import Record
from service.feedback.actions import IMPRESSION, ORDERS, UNDOING_WORDS, facet_worth, words_of, worth
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


FILTERED = facet_worth("filter")
"""What any use of a filter is worth that does not say of which attribute it is."""


@dataclass(slots=True)
class Behaviour:
    """What was done after all searches for one query: worth over propensity by product and by attribute, 0 for what was
    only shown; how many choices that were, and how many of them orders.
    """

    products: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    facets: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    choices: int = 0
    orders: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """What senders do not say: whether positions count from 0 or 1; and how many choices of one client count for one
    query, where events name clients.
    """

    first_position: int = 1
    most_of_client: float = math.inf


def ubi(path: Path, source: Source, _seed: int) -> Iterator[Keyed]:
    """One record for each query text that something was done after, the text its key.

    `path` is a folder with `ubi_events.json` and `ubi_queries.json`, an object a line, joined by `query_id`. The gain
    of a product is the sum of its actions (`worth`), each divided by the propensity of its position, over the
    largest; that of an attribute is how often it was filtered by, likewise, 0 where it was only shown. Products
    are those that the catalogue of the source has, with their values, left out where all gained alike.

    Raises BadRecord.
    """
    products = {product.id: product for product in catalogues.read(source.catalogue)} if source.catalogue else {}
    for query, behaviour in behaviours(path, Reading(source.first_position)).items():
        if record := record_of(query, behaviour, products):
            yield query, record


def record_of(query: str, behaviour: Behaviour, products: Mapping[str, CatalogueProduct]) -> Record | None:
    """The record of a query, as `ubi` says; None where nothing was chosen that is known."""
    known = [(gain, products[name]) for name, gain in behaviour.products.items() if name in products]
    ranked = _normalised(known) if len({gain for gain, _ in known}) > 1 else []
    most = max(behaviour.facets.values(), default=0.0)
    gains = {name: round(mass / most, 4) if most else 0.0 for name, mass in behaviour.facets.items()}
    return with_products(query, gains, ranked, most=MOST_ATTRIBUTES) if most or ranked else None


def _normalised(products: list[tuple[float, CatalogueProduct]]) -> list[tuple[float, CatalogueProduct]]:
    most = max(gain for gain, _ in products)
    return [(round(gain / most, 4), product) for gain, product in products]


def behaviours(folder: Path, reading: Reading = Reading()) -> dict[str, Behaviour]:
    """By query text what was done after it, from a folder's events and queries. Events that name no query are left out.

    Raises BadRecord.
    """
    queries = {
        str(line["query_id"]): str(line["user_query"])
        for line in json_lines(folder / QUERIES, "query_id", "user_query")
    }
    events = [event for event in json_lines(folder / EVENTS, "action_name") if event.get("query_id")]
    for event in events:
        if text := _asked(event):
            queries.setdefault(str(event.get("query_id")), text)
    found: dict[str, Behaviour] = defaultdict(Behaviour)
    of_client: Counter[tuple[str, str]] = Counter()
    for event in events:
        query = queries.get(str(event.get("query_id")), "").strip().lower()
        if query:
            client = str(event.get("client_id") or "")
            capped = bool(client) and of_client[client, query] >= reading.most_of_client
            of_client[client, query] += _add(found[query], event, reading, capped=capped)
    return found


def _add(behaviour: Behaviour, event: Mapping[str, Any], reading: Reading, *, capped: bool) -> bool:
    """Add what an event says; whether it was a choice. One that is capped tells only what was there to be chosen."""
    action = str(event["action_name"]).lower()
    said: float | None
    if facet := facet_name(event, action).strip().lower():
        thing, said, of = FACETS.get(facet, facet), _facet_said(action, event, reading), behaviour.facets
    else:
        thing, said, of = _product(event), _said(action, event, reading), behaviour.products
    if said is None or not thing:
        return False
    chosen = said > 0 and not capped
    of[thing] += said if chosen else 0.0
    behaviour.choices += chosen
    behaviour.orders += chosen and action in ORDERS
    return chosen


def _asked(event: Mapping[str, Any]) -> str:
    """The query's text where the event itself has it."""
    own = event.get("user_query")
    if not own and event.get("message_type") == "QUERY":
        own = event.get("message")
    return own if isinstance(own, str) else ""


def _said(action: str, event: Mapping[str, Any], reading: Reading) -> float | None:
    """The action's worth over the propensity of its position. None of an action that says nothing of a product, 0 where
    it was seen and left. A click that calls itself an impression is one.
    """
    said = worth(action)
    if not said and action != IMPRESSION:
        return None
    return 0.0 if event.get("message_type") == "IMPRESSION" else said / _propensity(event, reading)


def _facet_said(action: str, event: Mapping[str, Any], reading: Reading) -> float:
    """What a facet's use is worth, over the propensity of its position where the object is said to be an attribute, for
    then that is its place among the attributes. What is only shown, or taken back, is worth nothing.
    """
    if event.get("message_type") == "IMPRESSION" or UNDOING_WORDS & set(words_of(action)):
        return 0.0
    if part(event, "object").get("object_id_type") == "attribute":
        return facet_worth(action) / _propensity(event, reading)
    return FILTERED


def _propensity(event: Mapping[str, Any], reading: Reading) -> float:
    """1 / sqrt(position); an unknown position counts as 1."""
    ordinal = part(event, "position").get("ordinal")
    position = max(1.0, ordinal - reading.first_position + 1) if is_number(ordinal) else 1.0
    return max(LEAST_PROPENSITY, 1 / math.sqrt(position))


def _product(event: Mapping[str, Any]) -> str:
    """The id of the object in its catalogue: `internal_id` where there is one, for `object_id` may be an EAN."""
    item = part(event, "object")
    return str(item.get("internal_id") or item.get("object_id") or "")
