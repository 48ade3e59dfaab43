"""Ranking judged products: the text alone, and what the attributes add to it.

nDCG@10 within the judged lists. What has parameters is cross-validated: five folds by the hash of the query, and the
setting with the best mean on the other four is used on the fifth. The sets are so small that the folds themselves move
the result by 0.01: a query's value is its mean over several foldings. `matching.LEXICAL` and `matching.FLOOR` were
chosen by hand, looking at these very sets.

Knows: features of a judged list, settings, folds. Does not know: files, how the formula's terms are made.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from model_export import metrics
from model_export.benchmark import measure
from model_export.benchmark.judge import Answer, Judge, Vectors
from model_export.benchmark.matching import Stated, match, overlap, words
from model_export.benchmark.measure import Suite
from model_export.benchmark.products import JudgedList
from model_export.names import QUERYNER_TYPES
from model_export.records import Record

TOP = 10
FOLDS = 5
FOLDINGS = 8
STRENGTHS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0, 3.0, 5.0, 8.0)
"""λ. The large ones are for equal weights, which are small where candidates are many; all ways choose among all."""
OVERLAPS = (0.0, 0.1, 0.2, 0.3, 0.5)
"""The share of the words' overlap that is added to the title's cosine."""

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Features:
    """Everything of one list that a way of ranking uses; every array is (products,).

    `attributes` holds Σ_a weight_a · match_a by whose weights they are.
    """

    query: str
    gains: Scores
    cosine: Scores
    pretrained: Scores
    bm25: Scores
    overlap: Scores
    attributes: Mapping[str, Scores]


MODEL, TITLES = "model", "titles"
"""Weights by the model; the model's over more names, with values read out of titles as well."""

EQUAL: Mapping[str, str] = {MODEL: "equal", TITLES: "equal, titles"}
"""Of each of these the same with equal weights: the same names, stated values and values of the products."""

WAYS: Mapping[str, tuple[str, bool]] = {
    "text + attributes": (MODEL, False),
    "text + overlap + attributes": (MODEL, True),
    "text + attributes, also from titles": (TITLES, False),
    "text + overlap + attributes, also from titles": (TITLES, True),
}
"""By name: whose attribute terms are added, and whether the words' overlap is."""


def bm25(query: str, texts: Sequence[str], *, k1: float = 1.2, b: float = 0.75) -> Scores:
    """Okapi BM25 of the texts, (texts,), with document frequencies among them (Robertson and Zaragoza 2009)."""
    counts = [Counter(words(text)) for text in texts]
    lengths = np.array([sum(count.values()) for count in counts], float)
    total = np.zeros(len(texts))
    for word in set(words(query)):
        frequency = np.array([count[word] for count in counts], float)
        holding = (frequency > 0).sum()
        rarity = math.log(1 + (len(texts) - holding + 0.5) / (holding + 0.5))
        total += rarity * frequency * (k1 + 1) / (frequency + k1 * (1 - b + b * lengths / (lengths.mean() or 1.0)))
    return total


def fold(query: str, folding: int) -> int:
    """The fold of a query in one of the foldings, a fact of its text alone."""
    digest = hashlib.sha256(f"{folding}/{query.casefold()}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % FOLDS


def cross_validated(found: NDArray[np.float64], folds: NDArray[np.int64]) -> NDArray[np.float64]:
    """From (queries, settings) the value of each query at the setting that is best on average in the other folds.

    Of equally good settings the first is taken, so the simplest should come first.
    """
    chosen = np.empty(len(found), dtype=np.int64)
    for each in np.unique(folds):
        others = found[folds != each] if (folds != each).any() else found
        chosen[folds == each] = others.mean(axis=0).argmax()
    return np.asarray(found[np.arange(len(found)), chosen])


def _question(text: str, names: Sequence[str]) -> Record:
    return Record(text, tuple(names), (0.0,) * len(names), (None,) * len(names))


def features(lists: Sequence[JudgedList], judge: Judge, own: Vectors, pretrained: Vectors) -> list[Features]:
    """The features of every list: the bundle is asked about queries and titles, both embeddings about texts."""
    lists = [each for each in lists if each.attributes()]
    narrow = judge.answers([_question(each.query, each.attributes()) for each in lists], "queries of products")
    wide_names = [[*dict.fromkeys([*each.attributes(), *QUERYNER_TYPES.values()])] for each in lists]
    wide = judge.answers(
        [_question(each.query, names) for each, names in zip(lists, wide_names, strict=True)], "queries, more names"
    )
    read = _read_from_titles(lists, wide, judge)
    own([*_texts(lists, narrow, wide, read)])
    pretrained([text for each in lists for text in (each.query, *(p.title for p in each.products))])
    return [
        _features(each, judge, own, pretrained, answers, read)
        for each, *answers in zip(lists, narrow, wide, strict=True)
    ]


Read = Mapping[tuple[str, str], str]
"""The value that a title states for a name, by (title, name)."""


def _read_from_titles(lists: Sequence[JudgedList], answers: Sequence[Answer], judge: Judge) -> Read:
    """The most confident value in each title of each name that the query states and the product does not have."""
    asked: dict[str, dict[str, None]] = {}
    for each, answer in zip(lists, answers, strict=True):
        stated = [name for place, name in enumerate(answer.record.attributes) if answer.pairs[place].spans]
        for item in each.products:
            missing = dict.fromkeys(name for name in stated if name not in item.attributes)
            if missing:
                asked.setdefault(item.title, {}).update(missing)
    found = {}
    for answer in judge.answers([_question(title, [*names]) for title, names in asked.items()], "titles"):
        for place, name in enumerate(answer.record.attributes):
            if stated_here := answer.stated(place):
                found[answer.record.query, name] = max(stated_here, key=lambda value: value[1])[0]
    return found


def _texts(lists: Sequence[JudgedList], narrow: Sequence[Answer], wide: Sequence[Answer], read: Read) -> Iterable[str]:
    """Every text whose cosine is asked for."""
    for each, *answers in zip(lists, narrow, wide, strict=True):
        yield each.query
        yield from (item.title for item in each.products)
        for answer in answers:
            for place, name in enumerate(answer.record.attributes):
                stated = answer.stated(place)
                yield from (text for text, _ in stated)
                if stated:
                    yield from filter(None, (_value(item.attributes, item.title, name, read) for item in each.products))


def _value(attributes: Mapping[str, str], title: str, name: str, read: Read) -> str | None:
    return attributes.get(name) or read.get((title, name))


def _features(
    each: JudgedList, judge: Judge, own: Vectors, pretrained: Vectors, answers: Sequence[Answer], read: Read
) -> Features:
    titles = [item.title for item in each.products]
    narrow, wide = answers
    ways: tuple[tuple[str, Answer, list[float], Read], ...] = (
        (MODEL, narrow, judge.weights(narrow), {}),
        (EQUAL[MODEL], narrow, _equal(narrow), {}),
        (TITLES, wide, judge.weights(wide), read),
        (EQUAL[TITLES], wide, _equal(wide), read),
    )
    return Features(
        query=each.query,
        gains=np.array(each.gains),
        cosine=own(titles) @ own([each.query])[0],
        pretrained=pretrained(titles) @ pretrained([each.query])[0],
        bm25=bm25(each.query, titles),
        overlap=np.array([overlap(each.query, title) for title in titles]),
        attributes={way: _attributes(each, answer, weights, known, own) for way, answer, weights, known in ways},
    )


def _equal(answer: Answer) -> list[float]:
    return [1 / len(answer.pairs)] * len(answer.pairs)


def _attributes(each: JudgedList, answer: Answer, weights: Sequence[float], read: Read, own: Vectors) -> Scores:
    """Σ_a weight_a · match_a, (products,)."""
    total = np.zeros(len(each.products))
    for place, name in enumerate(answer.record.attributes):
        stated = answer.stated(place)
        if not stated:
            continue
        vectors = own([text for text, _ in stated])
        for index, item in enumerate(each.products):
            value = _value(item.attributes, item.title, name, read)
            if value is not None:
                cosines = vectors @ own([value])[0]
                sure = [Stated(text, c, float(cos)) for (text, c), cos in zip(stated, cosines, strict=True)]
                total[index] += weights[place] * match(sure, value)
    return total


ByQuery = Mapping[str, NDArray[np.float64]]
"""By way of ranking its nDCG@10 of each query, (queries,)."""


def by_query(found: Sequence[Features]) -> ByQuery:
    """Every way, and every way of `WAYS` with equal weights besides, its λ and overlap chosen in the same way."""
    foldings = [np.array([fold(each.query, folding) for each in found]) for folding in range(FOLDINGS)]

    def validated(settings: Iterable[Sequence[Scores]]) -> NDArray[np.float64]:
        """(queries, settings) to the cross-validated value of each query; a setting is one score list a query."""
        values = [
            [metrics.ndcg(scores, each.gains, top=TOP) for scores, each in zip(setting, found, strict=True)]
            for setting in settings
        ]
        return np.asarray(np.mean([cross_validated(np.array(values).T, folds) for folds in foldings], axis=0))

    rows = {
        "title cosine": validated([[each.cosine for each in found]]),
        "title cosine, pretrained": validated([[each.pretrained for each in found]]),
        "BM25 on the title": validated([[each.bm25 for each in found]]),
        "text + overlap": validated([[e.cosine + share * e.overlap for e in found] for share in OVERLAPS]),
    }
    for name, (way, with_overlap) in WAYS.items():
        for title, weights in ((name, way), (_with_equal(name), EQUAL[way])):
            rows[title] = validated(
                [e.cosine + share * e.overlap + strength * e.attributes[weights] for e in found]
                for share, strength in product(OVERLAPS if with_overlap else (0.0,), STRENGTHS)
            )
    return rows


def _with_equal(way: str) -> str:
    return f"{way}, equal weights"


def ranking(rows: ByQuery) -> Suite:
    """nDCG@10 of every way, and what those of `WAYS` gain on the pretrained cosine and on their equal weights."""
    base = rows["title cosine, pretrained"]
    gains = {f"{name}: gain on the pretrained cosine": rows[name] - base for name in WAYS}
    gains |= {f"{name}: gain on equal weights": rows[name] - rows[_with_equal(name)] for name in WAYS}
    return {name: measure.mean(values) for name, values in (dict(rows) | gains).items()}


def pooled(sets: Sequence[ByQuery]) -> ByQuery:
    """The queries of several sets as one, each with the settings that were chosen within its own set."""
    return {name: np.concatenate([rows[name] for rows in sets]) for name in sets[0]}
