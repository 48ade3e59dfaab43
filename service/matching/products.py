"""A product beside what a query wants of it: its text, and of its values those of which something is wanted.

Knows: products, wishes and how well the two agree. Does not know: queries, weights, the score.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from service.matching.agreement import with_cosine
from service.matching.parsing import MOST_ELEMENTS, Found, Value, Wanted

MOST_TEXT = 20_000
"""Characters of a product's text."""
UNWANTED = -1
"""The choice of all that is not wanted."""

Cosine = Callable[[str, str], float]
"""The cosine of two texts' embeddings."""


class Product(NamedTuple):
    """A title, if it has one, and its values by the attributes' names."""

    title: str
    attributes: Mapping[str, Value]

    @property
    def text(self) -> str:
        """What is read of it as a text, `MOST_TEXT` characters at most: the title, or else its values."""
        return (self.title.strip() or _written(self.attributes.values()))[:MOST_TEXT]


def _written(values: Iterable[Value]) -> str:
    """The values as one text; of many the first."""
    texts: list[str] = []
    room = MOST_TEXT
    for value in values:
        texts.append(plain_text(value)[:room])
        room -= len(texts[-1]) + 1
        if room <= 0:
            break
    return " ".join(texts)


def plain_text(value: Value) -> str:
    """As people write it: the elements of a list with commas between them."""
    return ", ".join(map(str, value[:MOST_ELEMENTS])) if isinstance(value, list) else str(value)


class Wish(NamedTuple):
    """Something wanted of an attribute, and how much it counts, in [-1, 1]: below 0 its contrary is wanted.

    Those of one `choice` are alternatives, those of `UNWANTED` must all be missing.
    """

    text: str
    share: float
    wanted: Wanted
    choice: int = 0


class Compared(NamedTuple):
    """A product's value of an attribute of which something is wanted.

    `settled` says how well it agrees with each wish, None where that hangs on a cosine.
    """

    attribute: str
    value: Value
    found: Found
    wishes: tuple[Wish, ...]
    settled: tuple[float | None, ...]

    @property
    def text(self) -> str:
        """What is embedded of it: a text, or the elements of a list as one; "" for another value."""
        return plain_text(self.value) if isinstance(self.value, str | list) else ""

    def match(self, cosine: Cosine) -> tuple[float, tuple[str, ...]]:
        """In [-1, 1], and the wish of each choice that decided it. Of no text the cosine is 0."""
        decided: dict[int, tuple[float, str]] = {}
        for wish, settled in zip(self.wishes, self.settled, strict=True):
            if settled is None:
                settled = with_cosine(wish.wanted, self.found, cosine(wish.text, self.text) if self.text else 0.0)
            agreed, before = wish.share * settled, decided.get(wish.choice)
            if not before or (agreed < before[0] if wish.choice == UNWANTED else agreed > before[0]):
                decided[wish.choice] = agreed, wish.text
        agrees, texts = zip(*decided.values(), strict=True)
        return sum(agrees) / len(agrees), texts


class Liked(NamedTuple):
    """A product's value that people choose more often than others, or less; `value` is what it adds to the score."""

    attribute: str
    found: Value
    value: float


class Read(NamedTuple):
    """A product, its text and what of it is wanted, as far as that can be told without an embedding."""

    text: str
    compared: tuple[Compared, ...]
    liked: tuple[Liked, ...] = ()
    excluded: float = 0.0

    def texts(self) -> Iterator[str]:
        """Every text whose embedding the score needs."""
        yield self.text
        yield from (each.text for each in self.compared if None in each.settled and each.text)
