"""Pseudo-queries of what a catalogue's products are, told from products that only mention it; for English titles.

A projector's lamp says "projector" as a projector does, and an embedding puts both beside that query. Which words of a
title a finished run reads as the product type tells them apart:

    "projectors"    1  NEC NP610 data projector 3500 ANSI lumens    0  HP L1621A projector lamp    0  Canon battery pack

Knows: which words a query is made of, which products are of a kind, which only mention it. Does not know: the network
that reads titles, files.
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from model_export.catalogues import CatalogueProduct
from model_export.names import PRODUCT_TYPE
from model_export.records import Product, Record, Span
from service.matching.wording import WORD, listed, normalised

KIND = PRODUCT_TYPE["en"]
MOST_OF_ONE = 20
"""At most so many queries are of kinds that end in one word: of "cable" there are thousands."""
PRODUCTS, MOST_ALIKE, MOST_MENTIONING = 10, 2, 5
"""So many products to a query: its own, others of the same kind, those that mention it, the rest drawn from all."""
LENGTHS = (1, 1, 2, 2, 3)
"""Of a kind so many of its last words are taken."""
WITH_BRAND, WITH_VALUE, PLURAL = 0.25, 0.2, 0.3
SHORTEST_VALUE, LONGEST_VALUE = 3, 16
NO_VALUE = listed("yes no none other")
OF_ANOTHER = re.compile(r"\b(?:for|with|compatible|fits?)\b", re.IGNORECASE)
"""A kind that is stated behind one of these is not the product's own."""
BARE = listed("accessory box device kit machine pack pc piece roll set sheet system unit")
"""At the end of a kind these say little: a "notebook PC" is a notebook."""
ENDING = re.compile(r"(?:e?s)*e?$")
"""All that may be of a plural at the end of a word, and an e that may have been there before it."""


@dataclass(frozen=True, slots=True, eq=False)
class Titled:
    """A product and its title: the stems of all its words, the words of the product's kind, where it is stated, and the
    stem in which each kind that is stated there ends.
    """

    product: CatalogueProduct
    words: frozenset[str]
    kind: tuple[str, ...]
    ends: frozenset[str]

    @classmethod
    def of(cls, product: CatalogueProduct, stated: Sequence[Span]) -> "Titled":
        """`stated`: where the title states a kind."""
        title = product.title
        kinds = [(start, kind) for start, end in stated if (kind := _kind(title[start:end]))]
        own = next((kind for start, kind in kinds if not OF_ANOTHER.search(title[:start])), ())
        return cls(product, stems(title), own, frozenset(stem(kind[-1]) for _, kind in kinds))

    @property
    def end(self) -> str:
        """The stem in which its kind ends; empty where that is unknown."""
        return stem(self.kind[-1]) if self.kind else ""

    @property
    def brand(self) -> str:
        """In lower case; empty where it is unknown."""
        return self.product.attributes.get("brand", "").lower()

    def mentions(self, word: str) -> bool:
        """Whether it says the word and is of another kind."""
        return word in self.words and word not in self.ends and self.end not in BARE | {""}


def _kind(text: str) -> tuple[str, ...]:
    """The words of a kind as they are written, in lower case, without bare ones at the end."""
    words = _words(text)
    while len(words) > 1 and stem(words[-1]) in BARE:
        words.pop()
    return tuple(words)


def stems(text: str) -> frozenset[str]:
    """Those of its words."""
    return frozenset(map(stem, _words(text)))


def stem(word: str) -> str:
    """A noun without what makes it a plural, as far as that can be told from its letters."""
    for plural, singular in (("ies", "y"), ("ches", "ch"), ("shes", "sh"), ("sses", "ss"), ("xes", "x"), ("s", "")):
        if len(word) > 3 and word.endswith(plural) and not word.endswith("ss"):
            return word.removesuffix(plural) + singular
    return word


def _words(text: str) -> list[str]:
    return WORD.findall(normalised(text))


def without_number(query: str) -> frozenset[str]:
    """What is alike in queries that ask for the same, be it one or many, whatever the order of their words.

    Words of one stem are alike, and so are "hoodie" and "hoodies", "lens" and "lenses", whose stems differ.
    """
    return frozenset(re.sub("y$", "i", ENDING.sub("", word)) for word in _words(query))


def kind_queries(titled: Sequence[Titled], seed: int, *, barred: Iterable[str] = ()) -> Iterator[Record]:
    """A record for each product whose kind ends in a word of letters, `MOST_OF_ONE` for each such word: one to three
    words of the kind, now and then with the brand or another value before them. Titles should be there once. No query
    asks for one or many of what a `barred` one asks for.

    The product, and others that fit the query, have gain 1, those that only mention its last word and some drawn from
    all have 0. The one attribute has no gain, and its values are not told: only the text says which is which.
    """
    by_end: dict[str, list[Titled]] = defaultdict(list)
    by_word: dict[str, list[Titled]] = defaultdict(list)
    for each in titled:
        by_end[each.end].append(each)
        for word in each.words:
            by_word[word].append(each)
    not_asked = set(map(without_number, barred))
    draw = random.Random(f"{seed}/kinds")
    used: Counter[str] = Counter()
    for own in draw.sample(titled, len(titled)):
        end = own.end
        if len(end) < 2 or not end.isalpha() or end in BARE or used[end] == MOST_OF_ONE:
            continue
        query, alike = _asked(own, by_end[end], draw)
        mentioning = [each for each in by_word[end] if each.mentions(end)]
        right = [own, *draw.sample(alike, min(MOST_ALIKE, len(alike)))]
        wrong = draw.sample(mentioning, min(MOST_MENTIONING, len(mentioning)))
        drawn = draw.sample(titled, min(2 * PRODUCTS, len(titled)))
        wrong += [each for each in drawn if end not in each.words | each.ends and each not in wrong]
        wrong = wrong[: PRODUCTS - len(right)]
        if wrong and without_number(query) not in not_asked:
            used[end] += 1
            ranked = [*((1.0, each) for each in right), *((0.0, each) for each in wrong)]
            products = tuple(Product(gain, each.product.title, (None,)) for gain, each in ranked)
            yield Record(query, (KIND,), (0.0,), (None,), products=products)


def _asked(own: Titled, same: Sequence[Titled], draw: random.Random) -> tuple[str, list[Titled]]:
    """A query that the product answers, and which others of a kind that ends alike do so, too."""
    kind = own.kind[-draw.choice(LENGTHS) :]
    asked = [stem(word) for word in kind]
    alike = [each for each in same if each is not own and [*map(stem, each.kind[-len(kind) :])] == asked]
    chance, before = draw.random(), ""
    if own.brand and chance < WITH_BRAND and not stems(own.brand) & set(asked):
        before, alike = own.brand, [each for each in alike if each.brand == own.brand]
    elif WITH_BRAND <= chance < WITH_BRAND + WITH_VALUE and (values := _values(own)):
        before = draw.choice(values)
        alike = [each for each in alike if stems(before) <= each.words]
    query = f"{before} {' '.join(kind)}".strip()
    plural = query[-1] not in "sxzhy" and draw.random() < PLURAL
    return query + "s" * plural, alike


def _values(own: Titled) -> list[str]:
    """What its title says of other attributes but of its kind, in lower case."""
    values = (value.lower() for name, value in own.product.attributes.items() if name != "brand")
    rest = own.words - set(map(stem, own.kind))
    short = (value for value in values if SHORTEST_VALUE <= len(value) <= LONGEST_VALUE and value[0].isalpha())
    return [value for value in short if value not in NO_VALUE and stems(value) <= rest]
