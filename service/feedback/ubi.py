"""Events and queries in the form of User Behavior Insights 1.3.0, as senders really write them.

An event must have `action_name` and `timestamp`, a query `user_query`; whatever else they carry is kept. Times are
ISO 8601 (UTC where no zone is named) or milliseconds since 1970, as a number or as text. Coordinates stand in
`position.xy.x`, as the specification has it, or in `position.x`, as the OpenSearch plugin has it. Use of a facet, for
which the specification has no event, is `object_id_type: "attribute"` with the attribute's name as `object_id`.

Knows: names, shapes and limits of what is sent; what an action is worth. Does not know: what follows from it, HTTP.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ORDERS = frozenset({"purchase", "order", "checkout"})
CARTS = frozenset({"add_to_cart"})
CLICKS = frozenset({"click", "item_click", "click_through"})
REST = frozenset({"view", "item_view", "watch", "add_to_wishlist", "save", "share"})
LONG_DWELL_S = 30.0
"""Who stays so long has not come by mistake (the usual bound of a satisfied click, Fox et al. 2005)."""

IMPRESSION = "impression"
FACET_WORDS, UNDOING_WORDS = frozenset({"facet", "filter"}), frozenset({"clear", "deselect", "remove", "reset"})


@dataclass(frozen=True, slots=True)
class Event:
    """What somebody did. `at` is in seconds since 1970; `client` and `user` are keyed hashes, "" where unknown, and a
    client that does not say who it is goes by its session or else its user. `of_attribute` says that `object_id` is an
    attribute's name. `internal_id` is another name of the object. `position` counts from 1.

    A query has no action; `query` is its text ("" where unknown).
    """

    action: str
    at: float
    query_id: str = ""
    client: str = ""
    user: str = ""
    object_id: str = ""
    internal_id: str = ""
    of_attribute: bool = False
    position: int | None = None
    dwell_s: float | None = None
    query: str = ""


def worth(action: str, dwell_s: float | None = None) -> float:
    """What an action on a product says of it, in orders: an order most, then what is put into the cart, a click that
    was followed by a long stay, a click, and the rest of what speaks for a product. Other actions say nothing.
    """
    if action in ORDERS:
        return 1.0
    if action in CARTS:
        return 0.5
    if action in CLICKS | REST and dwell_s is not None and dwell_s >= LONG_DWELL_S:
        return 0.3
    if action in CLICKS:
        return 0.2
    return 0.1 if action in REST else 0.0


def facet_worth(action: str) -> float:
    """What an action on an attribute says of it, in orders: as much as a cart, where a facet was chosen."""
    words = set(words_of(action))
    chosen = words & (FACET_WORDS | {"click", "select", "apply"}) and not words & (UNDOING_WORDS | {IMPRESSION})
    return 0.5 if chosen else 0.0


def words_of(action: str) -> list[str]:
    """The words of an action's name."""
    return action.replace("-", "_").split("_")


def part(event: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A part of `event_attributes`, empty where there is none."""
    attributes = event.get("event_attributes")
    found = attributes.get(name) if isinstance(attributes, dict) else None
    return found if isinstance(found, dict) else {}


def is_number(value: object) -> bool:
    """Whether it is a finite number; a yes or no is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
