"""What a product is worth to a query: a score and the terms that it is made of.

    score = cosine + overlap_share · overlap + EXACT · exact − exclusion · excluded
            + Σ_a strength · weight_a · match_a + Σ_a liking_a

- cosine: of the text that the query affirms and the product's text;
- overlap: the share of the affirmed words that the text has;
- exact: the same of those with letters and digits, as model numbers are: embeddings do not tell them apart;
- excluded: of the phrases that the query negates, the largest share of one's words that the text affirms less the share
  that it denies ("without wheels");
- match_a in [-1, 1]: how well the product's value of an attribute agrees with what is wanted of it, a mean over what is
  wanted in which each counts by how sure that is; of alternatives ("red or blue") the best counts, of all that is not
  wanted the worst; 0 where nothing is wanted or the product has no value;
- liking_a: by how much more people choose the product's very value than others, or less; whether the query states
  anything of the attribute or not, and whatever its weight: a value that nobody minds has a liking near 0.

A yes or no of an attribute whose very name the query says is wanted, whatever the model reads: "non-slip" of "non slip
mat", "wheels" of "chair without wheels", where it is a no. Likewise a quantity with a unit that the model does not read
("16gb") is wanted of the one attribute that has such quantities, or of the one of these that the query names; of this
alone where its unit may as well be none ("5g phone").

Knows: the formula, what of a query is wanted. Does not know: models, where weights, values and vectors come from.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import NamedTuple

from service.bundle import Formula
from service.matching import wording
from service.matching.agreement import with_cosine, without_cosine
from service.matching.negation import (
    CUES,
    affirmed,
    asked_without,
    denied_words,
    is_negated,
    merged,
    negated_spans,
    outside,
    resisted_spans,
    without_cue,
)
from service.matching.parsing import Found, Parser, Value, Wanted
from service.matching.quantities import DIGIT, Quantity, kinds, read_quantities

OR_WITHIN = re.compile(r"\bn?or\b|或者?|还是", re.IGNORECASE)
"""Within one value, where "/" may be of a number."""
OR = re.compile(f"{OR_WITHIN.pattern}|/", re.IGNORECASE)
SAYING_YES = wording.listed("available can doe has have include included is support supported with 是 否 有")
"""Of the name of a yes or no, what says nothing of what it asks."""
YES, NO = "yes", "no"
EXACT = 0.15
"""Set by hand: too few judged queries have such words to fit it."""
AMBIGUOUS = re.compile(r"[0-9]\s?g$", re.IGNORECASE)
"""Grams, a generation of networks, gigahertz or gigabytes."""
MOST_TEXT = 20_000
"""Characters of a product's text."""
UNWANTED = -1
"""The choice of all that is not wanted."""

Stated = tuple[str, int, int, float]
"""A text, its start and its end in the query, and how sure it is."""

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
        texts.append(str(value[:room] if isinstance(value, str | list) else value))
        room -= len(texts[-1]) + 1
        if room <= 0:
            break
    return " ".join(texts)


class Wish(NamedTuple):
    """Something wanted of an attribute, and how much it counts, in [-1, 1]: below 0 it is not wanted.

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

    def match(self, cosine: Cosine) -> tuple[float, tuple[str, ...]]:
        """In [-1, 1], and the wish of each choice that decided it. Of texts alone the cosine is known; else it is 0."""
        decided: dict[int, tuple[float, str]] = {}
        for wish, settled in zip(self.wishes, self.settled, strict=True):
            if settled is None:
                near = cosine(wish.text, self.value) if isinstance(self.value, str) else 0.0
                settled = with_cosine(wish.wanted, self.found, near)
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

    def texts(self) -> Iterator[str]:
        """Every text whose embedding the score needs."""
        yield self.text
        yield from (each.value for each in self.compared if isinstance(each.value, str) and None in each.settled)


class Term(NamedTuple):
    """What an attribute adds to a score: `value` is the formula's strength times `weight` times `match`.

    `wanted` is what decided the match: of alternatives the best, of all that is not wanted the worst.
    """

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
    exact: float
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
        self._quantities = read_quantities(query, parser.units.by_spelling)
        spans = [span for span in asked_without(query) if not self._compares(*span)]
        self.affirmed = affirmed(query, spans) or query
        self._query, self._spans, self._parser, self._formula = query, spans, parser, formula
        self._words = frozenset(wording.words(self.affirmed))
        self._codes = wording.codes(self._words)
        self._excluded = [frozenset(wording.words(query[start:end])) for start, end in spans]
        self._said = frozenset(wording.words(outside(query, spans))), frozenset(denied_words(query, spans))
        self._wishes: dict[str, tuple[Wish, ...]] = {}
        self._flags: dict[str, Wish] = {}
        self._stated: list[tuple[int, int]] = []
        self._preferred: set[str] = set()
        self._weights: Mapping[str, float] = {}
        self._liking: Callable[[str, Value], float] | None = None

    def weigh(self, weights: Mapping[str, float]) -> None:
        """Take the weight of every attribute."""
        self._weights = weights

    def state(self, attribute: str, values: Sequence[Stated]) -> None:
        """Want what the query states: (text, start, end, confidence) of each value.

        A value that is a part of one of the query's quantities ("$50" of "$50 to $100") is the whole of it.
        """
        wishes: list[Wish] = []
        choice = last = 0
        self._stated += [(start, end) for _, start, end, _ in values]
        for text, start, end, sure in self._without_cues(self._whole(values)):
            negated = is_negated(self._spans, start, end)
            if not wishes or not OR.search(self._query, last, start):
                choice += 1
            wishes += [
                Wish(each, sure, self._parser.wanted(each, negated=negated), UNWANTED if negated else choice)
                for each in self._alternatives(text, start, end)
            ]
            last = end
        self._wishes[attribute] = tuple(wishes)

    def _alternatives(self, text: str, start: int, end: int) -> Iterator[str]:
        """The value, and of one that is several ("size 8 or 9", but not "27 inch or larger") each of them besides."""
        yield text
        cuts = [match.span() for match in OR_WITHIN.finditer(self._query, start, end)]
        apart = [(a, b) for a, b in cuts if not any(a < each.end and each.start < b for each in self._quantities)]
        if apart:
            bounds = [start, *(bound for cut in apart for bound in cut), end]
            parts = (self._query[a:b].strip() for a, b in zip(bounds[::2], bounds[1::2], strict=True))
            yield from filter(None, parts)

    def _without_cues(self, values: Iterable[Stated]) -> Iterator[Stated]:
        """Values less the words that only negate them, and not those of nothing else."""
        for text, start, end, sure in values:
            first, last = without_cue(self._query, self._spans, start, end)
            if (first, last) == (start, end):
                yield text, start, end, sure
            elif first < last:
                yield self._query[first:last], first, last, sure

    def _whole(self, values: Iterable[Stated]) -> Iterator[Stated]:
        """The values, each widened by the quantities that it cuts; those that overlap then are one."""
        last: Stated | None = None
        for text, start, end, sure in values:
            cut = [each for each in self._quantities if self._is_cut(each, start, end)]
            if cut:
                start, end = min(start, cut[0].start), max(end, cut[-1].end)
                text = self._query[start:end]
            if last is not None and start < last[2] and last[1] < end:
                start, end, sure = min(start, last[1]), max(end, last[2]), max(sure, last[3])
                text = self._query[start:end]
            elif last is not None:
                yield last
            last = text, start, end, sure
        if last is not None:
            yield last

    def _is_cut(self, quantity: Quantity, start: int, end: int) -> bool:
        """Whether a part of it stands there, with a digit, and not just one side of several ("8 ft" of "8x10 ft")."""
        inside = max(start, quantity.start), min(end, quantity.end)
        if inside == (quantity.start, quantity.end) or not DIGIT.search(self._query, *inside):
            return False
        parts = read_quantities(self._query[start:end], self._parser.units.by_spelling)
        return len(quantity.sides) == 1 or any(len(part.sides) > 1 for part in parts)

    def _compares(self, start: int, end: int) -> bool:
        """Whether it is the comparison of a quantity, as "larger than" of "not larger than 10 inch"."""
        return any(each.start < start and end <= each.end for each in self._quantities)

    def name(self, attribute: str, plain: str) -> None:
        """Want a yes or a no of an attribute that reads `plain`, where the query says just this or its contrary."""
        spans = negated_spans(plain)
        no = frozenset(denied_words(plain, spans))
        yes = frozenset(wording.words(outside(plain, spans))) - CUES - SAYING_YES
        affirms, denies = self._said
        if yes or no:
            if yes <= affirms and no <= denies:
                self._flags[attribute] = Wish(YES, 1.0, self._parser.wanted(YES))
            elif yes <= denies and no <= affirms:
                self._flags[attribute] = Wish(NO, 1.0, self._parser.wanted(NO))

    def unread(self) -> dict[str, str]:
        """By kind of unit, the query's one quantity of it, where no stated value holds a part of it."""
        found: dict[str, list[str]] = {}
        for each in read_quantities(self._query, self._parser.units.by_spelling):
            taken = any(start < each.end and each.start < end for start, end in (*self._stated, *self._spans))
            for kind in kinds([each]):
                found.setdefault(kind, []).append("" if taken else self._query[each.start : each.end])
        return {kind: texts[0] for kind, texts in found.items() if len(texts) == 1 and texts[0]}

    def measure(self, plain: Mapping[str, str], measured: Iterable[tuple[str, Set[str]]]) -> None:
        """Want what is `unread` of an attribute; `plain` is how each reads, `measured` what all products gave."""
        known: dict[str, set[str]] = {}
        for name, found in measured:
            known.setdefault(name, set()).update(found)
        for kind, text in self.unread().items():
            could = [name for name in plain if kind in known.get(name, ()) and not self.wanted(name)]
            named = [name for name in could if self._words & frozenset(wording.words(plain[name]))]
            meant = named or ([] if AMBIGUOUS.search(text) else could)
            if len(meant) == 1:
                self._wishes[meant[0]] = (Wish(text, 1.0, self._parser.wanted(text)),)

    def measured(self, product: Product) -> Iterator[tuple[str, frozenset[str]]]:
        """(attribute, kinds of unit) of each value, read when it is asked for."""
        for name, value in product.attributes.items():
            yield name, kinds(self._parser.found(value).quantities)

    def borrow(self, attribute: str, like: str) -> None:
        """Want of an attribute what is wanted of another."""
        self._wishes[attribute] = self._wishes[like]

    def preferring(self, values: Mapping[str, float]) -> Iterator[Wish]:
        """What it is to want these values, each so strongly; one of strength 0 says nothing."""
        for text, share in values.items():
            if share:
                yield Wish(text, share, self._parser.wanted(text), UNWANTED if share < 0 else 0)

    def prefer(self, attribute: str, wishes: Iterable[Wish]) -> None:
        """Want this of an attribute: of what is wanted the best counts."""
        self._preferred.add(attribute)
        self._wishes[attribute] = tuple(wishes)

    def like(self, liking: Callable[[str, Value], float]) -> None:
        """Add so much to a product's score as this tells for each of its attributes and values."""
        self._liking = liking

    def preferred(self, attribute: str) -> bool:
        """Whether anything is preferred of it."""
        return attribute in self._preferred

    def wanted(self, attribute: str) -> bool:
        """Whether anything is wanted of it."""
        return bool(self._wishes.get(attribute))

    def read(self, product: Product, compared: Iterable[Compared] | None = None) -> Read:
        """The product, beside what is wanted now; with what `compared` told of it, where that was asked before."""
        if compared is None:
            compared = self.compared(product)
        return Read(product.text, tuple(compared), tuple(self._liked(product.attributes)))

    def _liked(self, attributes: Mapping[str, Value]) -> Iterator[Liked]:
        for attribute, value in attributes.items() if self._liking else ():
            if self._liking and (found := self._liking(attribute, value)):
                yield Liked(attribute, value, found)

    def compared(self, product: Product) -> Iterator[Compared]:
        """The product's value of each attribute of which something is wanted, read when it is asked for."""
        attributes = product.attributes
        for attribute in (*self._flags, *(name for name in self._wishes if name not in self._flags)):
            value, wishes = attributes.get(attribute), self._wishes.get(attribute, ())
            if value is None or not (wishes or attribute in self._flags):
                continue
            found = self._parser.found(value)
            if attribute in self._flags and (found.flag is not None or found.number in (0, 1)):
                wishes = (self._flags[attribute],)
            if wishes:
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
        has = frozenset(wording.words(text))
        overlap, exact = wording.overlap(self._words, has), wording.overlap(self._codes, has)
        excluded = self._excluded_from(text) if self._excluded else 0.0
        near = cosine(self.affirmed, text)
        value = near + self._formula.overlap * overlap + EXACT * exact - self._formula.exclusion * excluded
        return TextTerm(near, overlap, exact, excluded, value)

    def _excluded_from(self, text: str) -> float:
        spans = merged([*negated_spans(text), *resisted_spans(text)])
        denied = frozenset(denied_words(text, spans))
        has = frozenset(wording.words(outside(text, spans)))
        return max(wording.overlap(phrase, has) - wording.overlap(phrase, denied) for phrase in self._excluded)

    def _terms(self, read: Read, cosine: Cosine) -> Iterator[Term]:
        for each in read.compared:
            match, wanted = each.match(cosine)
            if match:
                weight = self._weights.get(each.attribute, 0.0)
                yield Term(each.attribute, weight, wanted, each.value, match, self._formula.strength * weight * match)
