"""What the log notes of a choice: the event with the place that was chosen, and the search that it refers to, as a
query of User Behavior Insights with what was shown, so that records can be made of both.

    event: {…, "event_attributes": {…, "shown": {"object_id": "b", "ordinal": 2, "propensity": 0.7, "explored": false}}}
    query: {"query_id": …, "user_query": …, "timestamp": …, "query_attributes": {"shown": {"attributes": ["color", …]}}}
    or                                {"shown": {"products": [{"id": "b", "title": …, "values": {"color": "red"}}, …]}}

Knows: the form of both. Does not know: when they are logged, how records are made of them.
"""

from typing import Any

import orjson

from service.feedback.choices import Chosen
from service.feedback.shown import Shown
from service.feedback.ubi import ATTRIBUTES, QUERY_ATTRIBUTES, SHOWN, Event


def noted_event(content: bytes, chosen: Chosen, shown: Shown) -> bytes:
    """An event's JSON with what was chosen, as the answer called it, its place, from 1, and the propensity by which the
    place was corrected.
    """
    event = orjson.loads(content)
    note = {
        "object_id": chosen.name,
        "ordinal": chosen.place,
        "propensity": round(chosen.propensity, 4),
        "explored": shown.explored,
    }
    return orjson.dumps(event | {ATTRIBUTES: (event.get(ATTRIBUTES) or {}) | {SHOWN: note}})


def noted_query(event: Event, chosen: Chosen, shown: Shown) -> bytes:
    """The search that an event refers to, as JSON: of a facet with the attributes that were shown, of a product with
    the products that it was compared with, in their order.
    """
    query: dict[str, Any] = {
        "query_id": event.query_id,
        "user_query": shown.query,
        "timestamp": round(event.at * 1000),
        **({"user_id": event.user} if event.user else {}),
    }
    if event.of_attribute:
        return orjson.dumps(query | {QUERY_ATTRIBUTES: {SHOWN: {"attributes": [*shown.attributes]}}})
    products = [
        {"id": each.id, "title": each.title, "values": {name: text for name, (text, _) in each.values.items()}}
        for each in shown.products[: chosen.compared]
    ]
    hits = [product["id"] for product in products]
    return orjson.dumps(query | {"query_response_hit_ids": hits, QUERY_ATTRIBUTES: {SHOWN: {"products": products}}})
