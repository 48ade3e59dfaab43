"""What an action says of the thing that it was done to.

Knows: the names of actions. Does not know: events, positions.
"""

ORDERS = frozenset({"purchase", "order", "checkout"})
CARTS = frozenset({"add_to_cart"})
CLICKS = frozenset({"click", "item_click", "click_through"})
REST = frozenset({"view", "item_view", "watch", "add_to_wishlist", "save", "share"})
LONG_DWELL_S = 30.0
"""Who stays so long has not come by mistake (Fox et al. 2005)."""

IMPRESSION = "impression"
FACET_WORDS = frozenset({"facet", "filter"})
CHOOSING_WORDS = FACET_WORDS | {"apply", "click", "select"}
UNDOING_WORDS = frozenset({"clear", "deselect", "impression", "remove", "reset"})


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
    """What an action on an attribute says of it, in orders: where a facet was chosen, as much as a cart."""
    words = set(words_of(action))
    return 0.5 if words & CHOOSING_WORDS and not words & UNDOING_WORDS else 0.0


def words_of(action: str) -> list[str]:
    """The words of an action's name."""
    return action.replace("-", "_").split("_")
