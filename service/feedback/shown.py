"""What an answer showed, as it is known until events refer to it.

Knows: its parts, its bytes. Does not know: who asked, the query's text, where it is kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

MOST_PRODUCTS, MOST_ATTRIBUTES = 50, 32
"""The first so many, in the order in which they were shown."""


@dataclass(frozen=True, slots=True)
class ShownProduct:
    """A product: for each attribute its value as text, and how well it agrees with what the query states, in [-1, 1];
    0 where the query states nothing. Attributes without a value are not there.
    """

    id: str
    values: Mapping[str, tuple[str, float]]


@dataclass(frozen=True, slots=True)
class Shown:
    """An answer: its scopes, the narrowest first, its attributes with the weights that the model alone gave them, in
    the order in which they were shown, and its products, best first (none where only weights were asked for).

    `explored` says that chance had a part in the order.
    """

    scopes: Sequence[str]
    attributes: Mapping[str, float]
    products: Sequence[ShownProduct] = ()
    explored: bool = False


def encode(shown: Shown) -> bytes:
    """As JSON, cut to the first `MOST_PRODUCTS` and `MOST_ATTRIBUTES`."""
    products = [{"i": each.id, "v": dict([*each.values.items()][:MOST_ATTRIBUTES])} for each in shown.products]
    content = {
        "s": [*shown.scopes],
        "a": dict([*shown.attributes.items()][:MOST_ATTRIBUTES]),
        "p": products[:MOST_PRODUCTS],
        "x": shown.explored,
    }
    return orjson.dumps(content)


def decode(content: bytes) -> Shown:
    """What `encode` wrote. Raises ValueError for other bytes."""
    try:
        found = orjson.loads(content)
        return Shown(
            tuple(map(str, found["s"])),
            {str(name): float(weight) for name, weight in found["a"].items()},
            tuple(
                ShownProduct(
                    str(each["i"]), {str(name): (str(text), float(match)) for name, (text, match) in each["v"].items()}
                )
                for each in found["p"]
            ),
            bool(found["x"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("the bytes are nothing that was shown") from error
