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
from model_export.records import BadRecord, Record
from service.feedback.actions import IMPRESSION, ORDERS, UNDOING_WORDS, facet_worth, words_of, worth
from service.feedback.ubi import QUERY_ATTRIBUTES, SHOWN, facet_name, is_number, part

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
    only shown; how many choices that were, and how many of them orders. `shown` are products as the log has them.
    """

    products: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    facets: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    choices: int = 0
    orders: int = 0
    shown: dict[str, CatalogueProduct] = field(default_factory=dict)


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
    largest; that of an attribute is how often it was filtered by, likewise, 0 where it was only shown. Propensity is
    what the service noted (see `service.feedback.noting`), else 1 / sqrt(position). Products are those that the
    catalogue of the source has, or else the log, with their values, left out where all gained alike.

    Raises BadRecord.
    """
    products = {product.id: product for product in catalogues.read(source.catalogue)} if source.catalogue else {}
    for query, behaviour in behaviours(path, Reading(source.first_position)).items():
        if record := record_of(query, behaviour, products):
            yield query, record


def record_of(query: str, behaviour: Behaviour, products: Mapping[str, CatalogueProduct]) -> Record | None:
    """The record of a query, as `ubi` says; None where nothing was chosen that is known."""
    found = ((gain, products.get(name) or behaviour.shown.get(name)) for name, gain in behaviour.products.items())
    known = [(gain, product) for gain, product in found if product]
    ranked = _normalised(known) if len({gain for gain, _ in known}) > 1 else []
    most = max(behaviour.facets.values(), default=0.0)
    gains = {name: round(mass / most, 4) if most else 0.0 for name, mass in behaviour.facets.items()}
    return with_products(query, gains, ranked, most=MOST_ATTRIBUTES) if most or ranked else None


def _normalised(products: list[tuple[float, CatalogueProduct]]) -> list[tuple[float, CatalogueProduct]]:
    most = max(gain for gain, _ in products)
    return [(round(gain / most, 4), product) for gain, product in products]


def behaviours(folder: Path, reading: Reading = Reading()) -> dict[str, Behaviour]:
    """By query text what was done after it, from a folder's events and queries. Events of no known query are left out.

    Raises BadRecord.
    """
    queries: dict[str, str] = {}
    found: dict[str, Behaviour] = defaultdict(Behaviour)
    for line in json_lines(folder / QUERIES, "user_query"):
        query, query_id = _plain(line["user_query"]), _query_id(line)
        if query and query_id:
            queries[query_id] = query
            _add_shown(found[query], part(line, SHOWN, QUERY_ATTRIBUTES))
    events = list(json_lines(folder / EVENTS, "action_name"))
    for event in events:
        if (text := _asked(event)) and (query_id := _query_id(event)):
            queries.setdefault(query_id, text)
    of_client: Counter[tuple[str, str]] = Counter()
    for event in events:
        if query := queries.get(_query_id(event)) or _asked(event):
            client = str(event.get("client_id") or "")
            capped = bool(client) and of_client[client, query] >= reading.most_of_client
            of_client[client, query] += _add(found[query], event, reading, capped=capped)
    return found


def _add_shown(behaviour: Behaviour, shown: Mapping[str, Any]) -> None:
    """Add what the service noted that an answer showed, see `service.feedback.noting`. Raises BadRecord."""
    try:
        for name in shown.get("attributes", ()):
            behaviour.facets[_attribute(name)] += 0.0
        for product in shown.get("products", ()):
            values = {_attribute(name): text for name, text in product["values"].items() if text.strip()}
            if title := product["title"].strip():
                behaviour.products[product["id"]] += 0.0
                behaviour.shown[product["id"]] = CatalogueProduct(product["id"], title, None, values)
    except (KeyError, TypeError, AttributeError) as error:
        raise BadRecord(f"{QUERIES}: what a query has shown is not as the service writes it: {error!r}") from error


def _add(behaviour: Behaviour, event: Mapping[str, Any], reading: Reading, *, capped: bool) -> bool:
    """Add what an event says; whether it was a choice. One that is capped tells only what was there to be chosen."""
    action = str(event["action_name"]).lower()
    said: float | None
    noted = str(part(event, SHOWN).get("object_id") or "")
    if facet := facet_name(event, action).strip():
        thing, said, of = _attribute(noted or facet), _facet_said(action, event, reading), behaviour.facets
    else:
        thing, said, of = noted or _product(event), _said(action, event, reading), behaviour.products
    if said is None or not thing:
        return False
    chosen = said > 0 and not capped
    of[thing] += said if chosen else 0.0
    behaviour.choices += chosen
    behaviour.orders += chosen and action in ORDERS
    return chosen


def _attribute(name: str) -> str:
    """An attribute as records name it."""
    plain = name.strip().lower()
    return FACETS.get(plain, plain)


def _query_id(item: Mapping[str, Any]) -> str:
    return str(item.get("query_id") or "")


def _asked(event: Mapping[str, Any]) -> str:
    """The query's text, plain, where the event itself has it."""
    own = event.get("user_query")
    if not own and event.get("message_type") == "QUERY":
        own = event.get("message")
    return _plain(own)


def _plain(text: Any) -> str:
    """The text of a query as records are keyed by it; none where it is no text."""
    return text.strip().lower() if isinstance(text, str) else ""


def _said(action: str, event: Mapping[str, Any], reading: Reading) -> float | None:
    """The action's worth over the propensity of its position. None of an action that says nothing of a product, 0 where
    it was seen and left. A click that calls itself an impression is one.
    """
    said = worth(action)
    if not said and action != IMPRESSION:
        return None
    return 0.0 if event.get("message_type") == "IMPRESSION" else said / _propensity(event, reading)


def _facet_said(action: str, event: Mapping[str, Any], reading: Reading) -> float:
    """What a facet's use is worth, over the propensity of its position where the service noted that, or the object is
    said to be an attribute, for then it is the place among these. What is only shown, or taken back, is worth nothing.
    """
    if event.get("message_type") == "IMPRESSION" or UNDOING_WORDS & set(words_of(action)):
        return 0.0
    if part(event, SHOWN) or part(event, "object").get("object_id_type") == "attribute":
        return facet_worth(action) / _propensity(event, reading)
    return FILTERED


def _propensity(event: Mapping[str, Any], reading: Reading) -> float:
    """What the service noted, else 1 / sqrt(position); an unknown position counts as 1."""
    noted = part(event, SHOWN).get("propensity")
    if is_number(noted):
        return max(LEAST_PROPENSITY, min(1.0, noted))
    ordinal = part(event, "position").get("ordinal")
    position = max(1.0, ordinal - reading.first_position + 1) if is_number(ordinal) else 1.0
    return max(LEAST_PROPENSITY, 1 / math.sqrt(position))


def _product(event: Mapping[str, Any]) -> str:
    """The id of the object in its catalogue: `internal_id` where there is one, for `object_id` may be an EAN."""
    item = part(event, "object")
    return str(item.get("internal_id") or item.get("object_id") or "")
