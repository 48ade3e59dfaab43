"""What a product is worth to a query: a score and the terms that it is made of.

    score = cosine + overlap_share · overlap + EXACT · exact − exclusion · excluded
            + Σ_a strength · weight_a · match_a + Σ_a liking_a

- cosine: of the text that the query affirms and the product's text;
- overlap: the share of the affirmed words that the text has;
- exact: the same of those with letters and digits, as model numbers are: embeddings do not tell them apart;
- excluded: of the phrases that the query negates ("without wheels"), the largest share of one's words that the text
  affirms less the share that it denies; likewise for each value, but for words that are not wanted of its attribute by
  name. What is affirmed anywhere counts before what is denied;
- match_a in [-1, 1]: how well the product's value of an attribute agrees with what is wanted of it, a mean over what is
  wanted in which each counts by how sure that is; of alternatives ("red or blue") the best counts, of all that is not
  wanted the worst; 0 where nothing is wanted or the product has no value;
- liking_a: by how much more people choose the product's very value than others, or less; whether the query states
  anything of the attribute or not, and whatever its weight: a value that nobody minds has a liking near 0.

A yes or no of an attribute whose very name the query says is wanted, whatever the model reads: "non-slip" of "non slip
mat", "wheels" of "chair without wheels", where it is a no. What the model reads is settled with what the catalogue has
(`settling`), and a quantity that it does not read ("16gb") is wanted of its owner (`owners`).

Knows: the formula, what of a query is wanted. Does not know: models, where weights, values and vectors come from.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from service.bundle import Formula
from service.matching import measures, owners, settling, wording
from service.matching.agreement import without_cosine
from service.matching.measures import Measure
from service.matching.negation import CUES, denied_words, merged, negated_spans, outside, resisted_spans
from service.matching.parsing import Found, Parser, Value, Wanted
from service.matching.products import UNWANTED, Compared, Cosine, Liked, Product, Read, Wish, plain_text
from service.matching.sentence import Said, Sentence, Stated

SAYING_YES = wording.listed(
    "available can contain doe has have include included is needed required support supported with 是 否 有"
)
"""Of the name of a yes or no, what says nothing of what it asks."""
YES, NO = "yes", "no"
Told = tuple[frozenset[str], frozenset[str]]
"""The words that a text affirms and those that it denies."""
ABSENT = re.compile(r"(?:^|[^a-z])(?:free|without|excluded)(?![a-z])|不含|无添加", re.IGNORECASE)
"""In a name: its values are what a product does not have ("free from", 不含成分)."""
EXACT = 0.15
"""Set by hand: too few judged queries have such words to fit it."""


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

    Terms are of what is wanted and what the product has, also where the two have nothing to do with each other.
    """

    score: float
    text: TextTerm
    terms: tuple[Term, ...]
    liked: tuple[Liked, ...] = ()


class Wishes:
    """What one query wants: of the text, and by attribute."""

    def __init__(self, query: str, parser: Parser, formula: Formula) -> None:
        self._sentence = Sentence(query, parser.units)
        self.affirmed = self._sentence.affirmed
        self._parser, self._formula = parser, formula
        self._words = frozenset(wording.words(self.affirmed))
        self._codes = wording.codes(self._words)
        self._unwanted, self._said = self._sentence.unwanted(), self._sentence.said()
        self._wishes: dict[str, tuple[Wish, ...]] = {}
        self._flags: dict[str, Wish] = {}
        self._stated: dict[str, Sequence[Said]] = {}
        self._preferred: set[str] = set()
        self._parsed: dict[tuple[str, bool], Wanted] = {}
        self._weights: Mapping[str, float] = {}
        self._liking: Callable[[str, Value], float] | None = None

    def weigh(self, weights: Mapping[str, float]) -> None:
        """Take the weight of every attribute."""
        self._weights = weights

    def state(self, attribute: str, values: Sequence[Stated]) -> None:
        """Want what the query states: (text, start, end, confidence) of each value."""
        self._want(attribute, [*self._sentence.values(values)])

    def _want(self, attribute: str, values: Sequence[Said]) -> None:
        self._stated[attribute] = values
        self._wishes[attribute] = tuple(
            Wish(each.text, each.sure, self._wanted(attribute, each), UNWANTED if each.negated else each.choice)
            for each in values
        )

    def _wanted(self, attribute: str, said: Said) -> Wanted:
        """What the text wants; of one with the attribute's own words ("spf 50") the number, if that is left."""
        wanted = self._parse(said.text, said.negated)
        if wanted.quantities or not any(map(str.isdigit, said.text)):
            return wanted
        others = set(wording.words(said.text)) - set(wording.words(attribute))
        alone = " ".join(word for word in said.text.split() if others.issuperset(wording.words(word)))
        bare = self._parse(alone, said.negated)
        return bare if bare.quantities else wanted

    def _parse(self, text: str, negated: bool) -> Wanted:
        """What a text wants, parsed once however many attributes it is stated of."""
        key = text, negated
        if key not in self._parsed:
            self._parsed[key] = self._parser.wanted(text, negated=negated)
        return self._parsed[key]

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

    def measure(self, plain: Mapping[str, str], products: Iterable[Product]) -> Iterator[None]:
        """Want each quantity of the attributes whose own it is, by what the products have; `plain` is how names read.

        A step for each of the products' values, which are read only where that may tell something.
        """
        found = measures.read(self._sentence.text, self._sentence.quantities, self._parser.units.by_spelling)
        names = {name: measures.name_words(text) for name, text in plain.items()}
        loose = set(found) - self._taken(found)
        if not (settling.is_asked(found, self._stated) or owners.is_asked(loose, names)):
            return
        known: dict[str, set[str]] = {}
        worded = set()
        for product in products:
            for name, value in product.attributes.items():
                read = self._parser.found(value)
                known.setdefault(name, set()).update(read.kinds)
                if read.is_known and not read.kinds:
                    worded.add(name)
                yield
        settlement = settling.Settlement(found, dict(self._stated), plain, names, known, worded)
        for name, values in settlement.settled():
            if values != self._stated[name]:
                self._want(name, values)
            yield
        wanted = {*filter(self.wanted, names)}
        for name, own in owners.owners(found, self._taken(found), names, known, wanted).items():
            self._wishes[name] = (Wish(own.text, 1.0, self._parser.wanted(own.text)),)

    def _taken(self, found: Iterable[Measure]) -> set[Measure]:
        """Those of which a part is stated or negated."""
        stated = ((each.start, each.end) for values in self._stated.values() for each in values)
        spans = [*stated, *self._sentence.spans]
        return {each for each in found if any(each.overlaps(*span) for span in spans)}

    def borrow(self, attribute: str, like: str) -> None:
        """Want of an attribute what is wanted of another."""
        self._wishes[attribute] = self._wishes[like]

    def preferring(self, values: Mapping[str, float]) -> Iterator[Wish]:
        """What it is to want these values, each so strongly, or not to want those below 0; one of 0 says nothing."""
        for text, share in values.items():
            if share:
                wanted = self._parser.wanted(text)
                if share < 0 and not wanted.negated:
                    yield Wish(text, -share, replace(wanted, negated=True), UNWANTED)
                else:
                    yield Wish(text, share, wanted, UNWANTED if share < 0 else 0)

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
        """Whether anything is wanted of it but a yes or a no that its name says."""
        return bool(self._wishes.get(attribute))

    def read(self, product: Product, compared: Iterable[Compared] | None = None, told: Iterable[Told] = ()) -> Read:
        """The product, beside what is wanted now; with what `compared` and `told` made of it, where they were asked."""
        if compared is None:
            compared = [*self.compared(product)]
            told = self.told(product, compared)
        liked = tuple(self._liked(product.attributes))
        return Read(product.text, tuple(compared), liked, self._excluded(list(told)))

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
            if attribute in self._flags and _answers(found, self._flags[attribute], wishes):
                wishes = (self._flags[attribute],)
            if wishes and found.is_known:
                settled = tuple([without_cosine(wish.wanted, found) for wish in wishes])
                yield Compared(attribute, value, found, wishes, settled)

    def own_texts(self) -> Iterator[str]:
        """Every text of the query whose embedding the scores need."""
        yield self.affirmed
        for wishes in self._wishes.values():
            yield from (wish.text for wish in wishes)

    def scored(self, read: Read, cosine: Cosine) -> Scored:
        """The product's score; `cosine` is asked about `own_texts` beside the product's texts."""
        text = self._text(read, cosine)
        terms = tuple(self._terms(read, cosine))
        score = text.value + sum(term.value for term in terms) + sum(each.value for each in read.liked)
        return Scored(score, text, terms, read.liked)

    def _text(self, read: Read, cosine: Cosine) -> TextTerm:
        has = frozenset(wording.words(read.text))
        overlap, exact = wording.overlap(self._words, has), wording.overlap(self._codes, has)
        near = cosine(self.affirmed, read.text)
        value = near + self._formula.overlap * overlap + EXACT * exact - self._formula.exclusion * read.excluded
        return TextTerm(near, overlap, exact, read.excluded, value)

    @property
    def negates(self) -> bool:
        """Whether the query is to be without anything."""
        return bool(self._unwanted)

    def told(self, product: Product, compared: Iterable[Compared]) -> Iterator[Told]:
        """What the text and each value say of what the query is to be without, but where a wish of the value does."""
        if not self.negates:
            return
        text = product.text
        named = {each.attribute: _unwanted_words(each.wishes) for each in compared}
        spans = merged([*negated_spans(text), *resisted_spans(text)])
        yield frozenset(wording.words(outside(text, spans))), frozenset(denied_words(text, spans))
        words = frozenset[str]().union(*self._unwanted)
        for name, value in product.attributes.items():
            plain = plain_text(value).casefold() if name not in self._flags else ""
            if any(word in plain for word in words):
                found, judged = self._parser.found(value), named.get(name, frozenset())
                has, denied = found.words - found.resisted - judged, (found.denied | found.resisted) - judged
                yield (denied, has) if ABSENT.search(name) else (has, denied)

    def _excluded(self, told: Sequence[Told]) -> float:
        if not told:
            return 0.0
        return max(
            _most([wording.overlap(thing, has) - wording.overlap(thing, denied) for has, denied in told])
            for thing in self._unwanted
        )

    def _terms(self, read: Read, cosine: Cosine) -> Iterator[Term]:
        for each in read.compared:
            match, wanted = each.match(cosine)
            weight = self._weights.get(each.attribute, 0.0)
            yield Term(each.attribute, weight, wanted, each.value, match, self._formula.strength * weight * match)


def _most(shares: Sequence[float]) -> float:
    """The largest that is above 0, or else the smallest."""
    return max(shares) if max(shares) > 0 else min(shares)


def _answers(found: Found, flag: Wish, wishes: Sequence[Wish]) -> bool:
    """Whether a value is the yes or no that a query wants. A number is one where no other is wanted: any of a no, of a
    yes 0 and 1 alone, for more may be a size.
    """
    if found.flag is not None:
        return True
    if found.number is None or any(wish.wanted.quantities for wish in wishes):
        return False
    return flag.wanted.flag is False or found.number in (0, 1)


def _unwanted_words(wishes: Iterable[Wish]) -> frozenset[str]:
    """The words of what is not wanted of an attribute itself, whose match tells of them."""
    return frozenset(word for wish in wishes if wish.choice == UNWANTED for word in wish.wanted.words)
