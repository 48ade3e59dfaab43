"""Ranking judged products: the text alone, and what the attributes add to it, by the formula that serves.

nDCG@10 within the judged lists. What has constants is cross-validated: five folds by the hash of the query, and the
setting with the best mean on the other four is used on the fifth. The sets are so small that the folds themselves move
the result by 0.01: a query's value is its mean over several foldings. The constants of `service.matching` and which
words negate were chosen by hand, looking at these very sets.

Knows: components of a score, settings, folds. Does not know: files, how the components are made.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model_export import metrics
from model_export.benchmark import measure
from model_export.benchmark.judge import Answer, Judge, Vectors
from model_export.benchmark.measure import Suite
from model_export.benchmark.products import JudgedList
from model_export.records import Record
from service.bundle import Formula
from service.matching.parsing import Parser
from service.matching.products import Product, Read
from service.matching.wording import words
from service.relevance import EXACT, Scored, Wishes

TOP = 10
FOLDS = 5
FOLDINGS = 8
STRENGTHS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0, 3.0, 5.0, 8.0)
"""Of the attributes. The large ones are for equal weights, which are small where candidates are many; both ways choose
among all."""
OVERLAPS = (0.0, 0.05, 0.1, 0.2, 0.3)
EXCLUSIONS = (0.0, 0.1, 0.2, 0.3)
"""Of the words' overlap, and of the words that the query negates."""
COMPONENTS = Formula(overlap=0.0, exclusion=0.0, strength=1.0, join=1.0)
"""With these a score's attribute terms add up to Σ_a weight_a · match_a."""

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Features:
    """Everything of one list that a way of ranking uses; every array is (products,).

    `near`, the cosine with what exact words add, `overlap` and `excluded` are those of `service.relevance`; `model` and
    `equal` hold Σ_a weight_a · match_a by the model's weights and by equal ones.
    """

    query: str
    gains: Scores
    cosine: Scores
    pretrained: Scores
    bm25: Scores
    near: Scores
    overlap: Scores
    excluded: Scores
    model: Scores
    equal: Scores


WAYS: Mapping[str, tuple[str, bool]] = {
    "text": ("", True),
    "cosine + attributes": ("model", False),
    "text + attributes": ("model", True),
    "cosine + attributes, equal weights": ("equal", False),
    "text + attributes, equal weights": ("equal", True),
}
"""By name: whose attribute terms are added, and whether the words that the query has and negates are."""
CONSTANTS = "the bundle's constants"
WITH_EQUAL = {name: f"{name}, equal weights" for name in ("cosine + attributes", "text + attributes", CONSTANTS)}


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


def validated(
    settings: Iterable[Sequence[Scores]], queries: Sequence[str], gains: Sequence[ArrayLike]
) -> NDArray[np.float64]:
    """nDCG@10 of each query with the setting chosen on other queries, a mean over the foldings, (queries,).

    A setting is one score list, (products,), a query; `gains` are as long.
    """
    values = [
        [metrics.ndcg(scores, each, top=TOP) for scores, each in zip(setting, gains, strict=True)]
        for setting in settings
    ]
    foldings = (np.array([fold(query, folding) for query in queries]) for folding in range(FOLDINGS))
    return np.asarray(np.mean([cross_validated(np.array(values).T, folds) for folds in foldings], axis=0))


def features(
    lists: Sequence[JudgedList], judge: Judge, own: Vectors, pretrained: Vectors, parser: Parser
) -> list[Features]:
    """The features of every list: the bundle is asked about queries, both embeddings about texts."""
    lists = [each for each in lists if each.attributes()]
    answers = judge.answers([_question(each.query, each.attributes()) for each in lists], "queries of products")
    items = [[Product(item.title, dict(item.attributes)) for item in each.products] for each in lists]
    asked = [_wishes(answer, of, parser) for answer, of in zip(answers, items, strict=True)]
    read = [[wishes.read(item) for item in of] for of, wishes in zip(items, asked, strict=True)]
    own([each.query for each in lists])
    own([text for wishes, items in zip(asked, read, strict=True) for text in _texts(wishes, items)])
    pretrained([text for each in lists for text in (each.query, *(item.title for item in each.products))])
    return [
        _features(each, items, wishes, judge.weights(answer), own, pretrained)
        for each, items, wishes, answer in zip(lists, read, asked, answers, strict=True)
    ]


def _question(text: str, names: Sequence[str]) -> Record:
    return Record(text, tuple(names), (0.0,) * len(names), (None,) * len(names))


def _wishes(answer: Answer, products: Sequence[Product], parser: Parser) -> Wishes:
    """What the query wants; the names of judged lists are plain already."""
    wishes = Wishes(answer.record.query, parser, COMPONENTS)
    for place, name in enumerate(answer.record.attributes):
        wishes.state(name, answer.stated(place))
        wishes.name(name, name)
    plain = {name: name for name in answer.record.attributes}
    for _ in wishes.measure(plain, products):
        pass
    return wishes


def _texts(wishes: Wishes, items: Sequence[Read]) -> list[str]:
    return [*wishes.own_texts(), *(text for item in items for text in item.texts())]


def _features(
    each: JudgedList,
    items: Sequence[Read],
    wishes: Wishes,
    weights: Sequence[float],
    own: Vectors,
    pretrained: Vectors,
) -> Features:
    names, titles = each.attributes(), [item.title for item in each.products]

    def scored(by: Sequence[float]) -> list[Scored]:
        wishes.weigh(dict(zip(names, by, strict=True)))
        return [wishes.scored(item, lambda one, other: float(own([one])[0] @ own([other])[0])) for item in items]

    found, equal = scored(weights), scored([1 / len(names)] * len(names))
    return Features(
        query=each.query,
        gains=np.array(each.gains),
        cosine=own(titles) @ own([each.query])[0],
        pretrained=pretrained(titles) @ pretrained([each.query])[0],
        bm25=bm25(each.query, titles),
        near=np.array([one.text.cosine + EXACT * one.text.exact for one in found]),
        overlap=np.array([one.text.overlap for one in found]),
        excluded=np.array([one.text.excluded for one in found]),
        model=_of_attributes(found),
        equal=_of_attributes(equal),
    )


def _of_attributes(found: Sequence[Scored]) -> Scores:
    return np.array([sum(term.value for term in one.terms) for one in found], float)


ByQuery = Mapping[str, NDArray[np.float64]]
"""By way of ranking its nDCG@10 of each query, (queries,)."""


def by_query(found: Sequence[Features], formula: Formula) -> ByQuery:
    """Every way, its constants chosen by cross-validation; and the bundle's `formula`, whose constants are given, also
    with equal weights in the model's place.
    """
    queries, gains = [each.query for each in found], [each.gains for each in found]

    def of(settings: Iterable[Sequence[Scores]]) -> NDArray[np.float64]:
        return validated(settings, queries, gains)

    rows = {
        "title cosine": of([[each.cosine for each in found]]),
        "title cosine, pretrained": of([[each.pretrained for each in found]]),
        "BM25 on the title": of([[each.bm25 for each in found]]),
    }
    for name, (attributes, with_words) in WAYS.items():
        settings = product(
            OVERLAPS if with_words else (0.0,),
            EXCLUSIONS if with_words else (0.0,),
            STRENGTHS if attributes else (0.0,),
        )
        rows[name] = of([[score(e, attributes or "model", *each) for e in found] for each in settings])
    constants = formula.overlap, formula.exclusion, formula.strength
    for name, attributes in ((CONSTANTS, "model"), (WITH_EQUAL[CONSTANTS], "equal")):
        rows[name] = of([[score(each, attributes, *constants) for each in found]])
    return rows


def score(each: Features, attributes: str, overlap: float, exclusion: float, strength: float) -> Scores:
    """The products' scores, (products,), by the formula of `service.relevance`."""
    weighted = each.equal if attributes == "equal" else each.model
    return each.near + overlap * each.overlap - exclusion * each.excluded + strength * weighted


def ranking(rows: ByQuery) -> Suite:
    """nDCG@10 of every way, and what those with attributes gain on the pretrained cosine and on equal weights."""
    base = rows["title cosine, pretrained"]
    gains = {f"{name}: gain on the pretrained cosine": rows[name] - base for name in ("text", *WITH_EQUAL)}
    gains |= {f"{name}: gain on equal weights": rows[name] - rows[equal] for name, equal in WITH_EQUAL.items()}
    return {name: measure.mean(values) for name, values in (dict(rows) | gains).items()}


def pooled(sets: Sequence[ByQuery]) -> ByQuery:
    """The queries of several sets as one, each with the settings that were chosen within its own set."""
    return {name: np.concatenate([rows[name] for rows in sets]) for name in sets[0]}
