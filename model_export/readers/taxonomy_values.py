"""Pseudo-queries from Shopify's product taxonomy: a kind with values of its attributes ("navy cotton joggers").

Knows: how a query is composed, with spaces or, in scripts that need none, without. Does not know: what people ask.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from model_export.config import Source
from model_export.readers.lines import Keyed
from model_export.readers.taxonomy import Taxonomy
from model_export.records import Record, Span

APPLIES = 0.2
"""The gain of an attribute that a kind of product has and the query does not state."""

WITHOUT_SPACES = frozenset({"zh-CN", "zh-TW", "ja"})


def taxonomy_values(path: Path, source: Source, seed: int) -> Iterator[Keyed]:
    """Three queries for each kind, with values of one to three of its attributes. The key is the English kind.

    A stated attribute has gain 1, one that only applies to the kind `APPLIES`. Half of the queries in Chinese and
    Japanese have no spaces, but between two Latin letters or digits.
    """
    read = Taxonomy(path, source.language)
    for kind in read.kinds():
        values = {attribute: read.values(attribute) for attribute in kind.attributes}
        usable = [attribute for attribute in values if values[attribute]]
        draw = random.Random(f"{seed}/{kind.id}")
        style = random.Random(f"{seed}/{source.language}/{kind.id}")
        for _ in range(3 if usable else 0):
            english = style.random() < source.english_names
            gap = "" if source.language in WITHOUT_SPACES and style.random() < 0.5 else " "
            stated = draw.sample(usable, min(len(usable), draw.choice((1, 1, 2, 3))))
            parts = [(read.name(attribute, english=english), draw.choice(values[attribute])) for attribute in stated]
            place = draw.choice((len(parts), len(parts), draw.randint(0, len(parts))))
            kind_name = read.product_type(english=english)
            parts.insert(place, (kind_name, kind.name))
            own = [read.name(attribute, english=english) for attribute in kind.attributes]
            yield kind.english, _composed(parts, [*own, kind_name], gap)


def _composed(parts: Sequence[tuple[str, str]], own: Sequence[str], gap: str) -> Record:
    spans: dict[str, tuple[Span, ...]] = {}
    query = ""
    for name, words in parts:
        query += " " if query and (_latin(query[-1]) and _latin(words[0])) else gap if query else ""
        spans[name] = (*spans.get(name, ()), (len(query), len(query) + len(words)))
        query += words
    names = tuple(dict.fromkeys(own))
    return Record(
        query,
        names,
        tuple(1.0 if name in spans else APPLIES for name in names),
        tuple(spans.get(name, ()) for name in names),
    )


def _latin(character: str) -> bool:
    return character.isascii() and character.isalnum()
