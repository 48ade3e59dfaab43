"""Texts like queries, made of labelled queries and of product titles.

Knows: which words may change places. Does not know: what a text's labels will be, networks, files.
"""

import random
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set

from model_export.catalogues import CatalogueProduct
from model_export.records import Record

SWAPPED = 0.5
"""With this probability a mention gives way to another of the same attribute."""
BEGUN_ANEW = 0.15
"""With this probability a query begins at another of its words, those before it coming last."""
LENGTHS = (2, 3, 3, 4, 4, 5, 6, 7)
"""Of a title so many words are taken."""
TITLE_WORDS = 14
"""Only so many of a title's first words are drawn from."""
SHUFFLED, WITH_BRAND, WITH_KIND = 0.15, 0.15, 0.1
LEAST_CHARACTERS, MOST_CHARACTERS, MOST_OF_VALUE, TRIES = 3, 90, 25, 1_000
NO_WORD = ' -.;:!"'


def texts(
    train: Sequence[Record], products: Sequence[CatalogueProduct], seed: int, *, barred: Set[str]
) -> Iterator[str]:
    """Different texts in lower case, one blank between words, half of them of titles where there are products; none of
    `barred`, which are written so, too.

    They end when a thousand tries in turn bring nothing new.
    """
    draw = random.Random(f"{seed}/labelling")
    mentions = mentions_of(train, products)
    seen, failed = set(barred), 0
    while failed < TRIES:
        if products and draw.random() < 0.5:
            text = fragment(draw.choice(products), draw)
        else:
            text = recombined(draw.choice(train), mentions, draw)
        if LEAST_CHARACTERS <= len(text) <= MOST_CHARACTERS and text not in seen:
            seen.add(text)
            failed = 0
            yield text
        else:
            failed += 1


def mentions_of(train: Sequence[Record], products: Sequence[CatalogueProduct]) -> Mapping[str, Sequence[Sequence[str]]]:
    """By attribute what queries state of it, and what products have of it where they have anything: a mention is drawn
    from either, evenly.
    """
    stated: dict[str, list[str]] = defaultdict(list)
    for record in train:
        for name, spans in zip(record.attributes, record.values, strict=True):
            stated[name.lower()] += [record.query[start:end] for start, end in spans or ()]
    had: dict[str, list[str]] = defaultdict(list)
    for product in products:
        for name, value in product.attributes.items():
            if len(value) <= MOST_OF_VALUE:
                had[name.lower()].append(value)
    return {name: [part for part in (stated[name], had.get(name)) if part] for name in list(stated)}


def recombined(record: Record, mentions: Mapping[str, Sequence[Sequence[str]]], draw: random.Random) -> str:
    """A query with some of its mentions in others' places (mention replacement, Dai and Adel 2020)."""
    spans = sorted(
        (span, name.lower()) for name, own in zip(record.attributes, record.values, strict=True) for span in own or ()
    )
    text, last = "", 0
    for (start, end), name in spans:
        if start < last:
            continue
        other = draw.choice(draw.choice(mentions[name])) if draw.random() < SWAPPED else record.query[start:end]
        text, last = text + record.query[last:start] + other, end
    words = (text + record.query[last:]).lower().split()
    begin = draw.randrange(len(words)) if words and draw.random() < BEGUN_ANEW else 0
    return " ".join(words[begin:] + words[:begin])


def fragment(product: CatalogueProduct, draw: random.Random) -> str:
    """Some words of a title, in a row or with others left out between them, now and then behind brand or kind."""
    words = re.sub(r"[|,()\[\]–—]", " ", product.title).lower().split()[:TITLE_WORDS]
    size = min(draw.choice(LENGTHS), len(words))
    begin = draw.randrange(len(words) - size + 1)
    places = range(begin, begin + size) if draw.random() < 0.5 else sorted(draw.sample(range(len(words)), size))
    taken = [words[place] for place in places]
    if draw.random() < SHUFFLED:
        draw.shuffle(taken)
    if (brand := product.attributes.get("brand")) and draw.random() < WITH_BRAND:
        taken = [*brand.lower().split(), *taken]
    if product.kind and draw.random() < WITH_KIND:
        taken = [*product.kind.lower().replace("&", "and").split(), *taken[:3]]
    return " ".join(filter(None, (word.strip(NO_WORD) for word in taken)))
