"""What a product is worth to a query: a score and the terms that it is made of.

    score = cosine + overlap_share · overlap − exclusion · excluded + Σ_a strength · weight_a · match_a
            + Σ_a liking_a

- cosine: of the text that the query affirms and the product's text;
- overlap: the share of the affirmed words that the text has;
- excluded: of the phrases that the query negates, the largest share of one's words that the text affirms less the share
  that it denies ("without wheels");
- match_a in [-1, 1]: how well the product's value of an attribute agrees with what is wanted of it, a mean over what is
  wanted in which each counts by how sure that is; 0 where nothing is wanted or the product has no value;
- liking_a: by how much more people choose the product's very value than others, or less; whether the query states
  anything of the attribute or not, and whatever its weight: a value that nobody minds has a liking near 0.

Knows: the formula, what of a query is wanted. Does not know: models, where weights, values and vectors come from.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from service.bundle import Formula
from service.matching import wording
from service.matching.agreement import with_cosine, without_cosine
from service.matching.negation import affirmed, is_negated, negated_spans, outside
from service.matching.parsing import Found, Parser, Value, Wanted

Cosine = Callable[[str, str], float]
"""The cosine of two texts' embeddings."""


class Product(NamedTuple):
    """A title, if it has one, and its values by the attributes' names."""

    title: str
    attributes: Mapping[str, Value]

    @property
    def text(self) -> str:
        """What is read of it as a text: the title, or else its values."""
        return self.title or " ".join(str(value) for value in self.attributes.values())


class Wish(NamedTuple):
    """Something wanted of an attribute, and how much it counts, in [-1, 1]: below 0 it is not wanted."""

    text: str
    share: float
    wanted: Wanted


class Compared(NamedTuple):
    """A product's value of an attribute of which something is wanted.

    `settled` says how well it agrees with each wish, None where that hangs on a cosine.
    """

    attribute: str
    value: Value
    found: Found
    wishes: tuple[Wish, ...]
    settled: tuple[float | None, ...]

    def match(self, cosine: Cosine) -> float:
        """In [-1, 1]; of texts alone the cosine is known, and elsewhere counts 0."""
        total = 0.0
        for wish, agreed in zip(self.wishes, self.settled, strict=True):
            if agreed is None:
                near = cosine(wish.text, self.value) if isinstance(self.value, str) else 0.0
                agreed = with_cosine(wish.wanted, self.found, near)
            total += wish.share * agreed
        return total / len(self.wishes)


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

    def texts(self) -> Iterator[str]:
        """Every text whose embedding the score needs."""
        yield self.text
        yield from (each.value for each in self.compared if isinstance(each.value, str) and None in each.settled)


class Term(NamedTuple):
    """What an attribute adds to a score: `value` is the formula's strength times `weight` times `match`."""

    attribute: str
    weight: float
    wanted: tuple[str, ...]
    found: Value
    match: float
    value: float


class TextTerm(NamedTuple):
    """What the text adds to a score, and of what."""

    cosine: float
    overlap: float
    excluded: float
    value: float


class Scored(NamedTuple):
    """A product's score: the values of the text, of all terms and of what is liked, added up.

    What has no effect is left out.
    """

    score: float
    text: TextTerm
    terms: tuple[Term, ...]
    liked: tuple[Liked, ...] = ()


class Wishes:
    """What one query wants: of the text, and by attribute."""

    def __init__(self, query: str, parser: Parser, formula: Formula) -> None:
        spans = negated_spans(query)
        self.affirmed = affirmed(query, spans) or query
        self._spans, self._parser, self._formula = spans, parser, formula
        self._words = frozenset(wording.words(self.affirmed))
        self._excluded = [frozenset(wording.words(query[start:end])) for start, end in spans]
        self._wishes: dict[str, tuple[Wish, ...]] = {}
        self._preferred: set[str] = set()
        self._weights: Mapping[str, float] = {}
        self._liking: Callable[[str, Value], float] | None = None

    def weigh(self, weights: Mapping[str, float]) -> None:
        """Take the weight of every attribute."""
        self._weights = weights

    def state(self, attribute: str, values: Sequence[tuple[str, int, int, float]]) -> None:
        """Want what the query states: (text, start, end, confidence) of each value."""
        self._wishes[attribute] = tuple(
            Wish(text, sure, self._parser.wanted(text, negated=is_negated(self._spans, start, end)))
            for text, start, end, sure in values
        )

    def borrow(self, attribute: str, like: str) -> None:
        """Want of an attribute what is wanted of another."""
        self._wishes[attribute] = self._wishes[like]

    def prefer(self, attribute: str, values: Mapping[str, float]) -> None:
        """Want these values, each so strongly."""
        self._preferred.add(attribute)
        self._wishes[attribute] = tuple(Wish(text, share, self._parser.wanted(text)) for text, share in values.items())

    def like(self, liking: Callable[[str, Value], float]) -> None:
        """Add so much to a product's score as this tells for each of its attributes and values."""
        self._liking = liking

    def preferred(self, attribute: str) -> bool:
        """Whether anything is preferred of it."""
        return attribute in self._preferred

    def wanted(self, attribute: str) -> bool:
        """Whether anything is wanted of it."""
        return bool(self._wishes.get(attribute))

    def read(self, product: Product) -> Read:
        """The product, beside what is wanted now."""
        return Read(product.text, tuple(self._compared(product.attributes)), tuple(self._liked(product.attributes)))

    def _liked(self, attributes: Mapping[str, Value]) -> Iterator[Liked]:
        for attribute, value in attributes.items() if self._liking else ():
            if self._liking and (found := self._liking(attribute, value)):
                yield Liked(attribute, value, found)

    def _compared(self, attributes: Mapping[str, Value]) -> Iterator[Compared]:
        for attribute, wishes in self._wishes.items():
            value = attributes.get(attribute)
            if value is not None and wishes:
                found = self._parser.found(value)
                settled = tuple([without_cosine(wish.wanted, found) for wish in wishes])
                yield Compared(attribute, value, found, wishes, settled)

    def own_texts(self) -> Iterator[str]:
        """Every text of the query whose embedding the scores need."""
        yield self.affirmed
        for wishes in self._wishes.values():
            yield from (wish.text for wish in wishes)

    def scored(self, read: Read, cosine: Cosine) -> Scored:
        """The product's score; `cosine` is asked about `own_texts` beside the product's texts."""
        text = self._text(read.text, cosine)
        terms = tuple(self._terms(read, cosine))
        score = text.value + sum(term.value for term in terms) + sum(each.value for each in read.liked)
        return Scored(score, text, terms, read.liked)

    def _text(self, text: str, cosine: Cosine) -> TextTerm:
        overlap = wording.overlap(self._words, frozenset(wording.words(text)))
        excluded = self._excluded_from(text) if self._excluded else 0.0
        near = cosine(self.affirmed, text)
        value = near + self._formula.overlap * overlap - self._formula.exclusion * excluded
        return TextTerm(near, overlap, excluded, value)

    def _excluded_from(self, text: str) -> float:
        spans = negated_spans(text)
        denied = frozenset(word for start, end in spans for word in wording.words(text[start:end]))
        has = frozenset(wording.words(outside(text, spans)))
        return max(wording.overlap(phrase, has) - wording.overlap(phrase, denied) for phrase in self._excluded)

    def _terms(self, read: Read, cosine: Cosine) -> Iterator[Term]:
        for each in read.compared:
            if match := each.match(cosine):
                weight = self._weights.get(each.attribute, 0.0)
                wanted = tuple(wish.text for wish in each.wishes)
                yield Term(each.attribute, weight, wanted, each.value, match, self._formula.strength * weight * match)
