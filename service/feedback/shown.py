"""What an answer showed, as it is known until events refer to it.

A search page has one id, with attributes of one answer and products of another: each is known by itself.

Knows: its parts, its bytes, by which key. Does not know: who asked, where it is kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

MOST_PRODUCTS, MOST_ATTRIBUTES = 50, 32
"""The first so many, in the order in which they were shown."""
MOST_TITLE = 128
"""Characters."""


@dataclass(frozen=True, slots=True)
class ShownProduct:
    """A product: for each attribute its value as text, and how well it agrees with what the query states, in [-1, 1];
    0 where the query states nothing. Attributes without a value are not there. `title` is "" where it is not known.
    """

    id: str
    values: Mapping[str, tuple[str, float]]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """An answer: its scopes, the narrowest first, its attributes with the weights that the model alone gave them, in
    the order in which they were shown, and its products, best first (none where only weights were asked for).

    `explored` says that chance had a part in the order. `query` is the text that was asked, "" where another answered;
    `named` says that a person was named, with whose events alone the text may be logged.
    """

    scopes: Sequence[str]
    attributes: Mapping[str, float]
    products: Sequence[ShownProduct] = ()
    explored: bool = False
    query: str = ""
    named: bool = False


def key(query_id: str, *, products: bool) -> str:
    """By which it is known what an answer with products showed under an id, or one with attributes alone."""
    return ("p:" if products else "a:") + query_id


def encode(shown: Shown) -> bytes:
    """As JSON, cut to the first `MOST_PRODUCTS` and `MOST_ATTRIBUTES`, titles to `MOST_TITLE`."""
    products = [
        {"i": each.id, "v": dict([*each.values.items()][:MOST_ATTRIBUTES]), "t": each.title[:MOST_TITLE]}
        for each in shown.products[:MOST_PRODUCTS]
    ]
    content = {
        "s": [*shown.scopes],
        "a": dict([*shown.attributes.items()][:MOST_ATTRIBUTES]),
        "p": products,
        "x": shown.explored,
        "q": shown.query,
        "n": shown.named,
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
                    str(each["i"]),
                    {str(name): (str(text), float(match)) for name, (text, match) in each["v"].items()},
                    str(each["t"]),
                )
                for each in found["p"]
            ),
            bool(found["x"]),
            str(found["q"]),
            bool(found["n"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("the bytes are nothing that was shown") from error
