"""Which attributes matter for a kind of product, told from its products in a catalogue: kinds that training never saw.

The questions are the catalogue reader's own. The query is the kind's name. Candidates are the attributes that enough of
its products fill, 64 at most, against up to 32 that none of them fills, drawn by their frequency in the catalogue:
nobody sends the thousands of names of a whole catalogue, and what a few products fill neither applies nor does not.
Gains are graded by fill and spread. The metric is nDCG over all candidates, as for the taxonomy; nDCG@10 beside it is
what a caller sees who takes the first ten as facets. A catalogue of three names, as ESCI, leaves only their order.

A kind is asked about when its source keeps it aside and no source that tells what applies to kinds trains on one of
the same words, a plural's s aside. Its products may have stood among the others in lists of pseudo-queries: there no
attribute has a gain.

Kinds are few, so each is asked about a second time by the titles of its products, which are longer and name brands and
sizes. What a title states of its product is no candidate then: what is left matters without being mentioned. A kind's
value is the mean of its titles, and intervals are over kinds: titles of one kind are no new kinds.

Knows: which kinds are unseen, their questions, this suite's baselines. Does not know: the model, how gains are made.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model_export import catalogues, metrics
from model_export.baselines import together
from model_export.benchmark import measure
from model_export.benchmark.measure import Suite
from model_export.config import Config, Source
from model_export.records import Record, find_value
from model_export.sources import half_of
from service.matching.wording import words

MOST_TITLES = 20
"""So many products of a kind lend their title."""

METRICS = {"nDCG": None, "nDCG@10": 10}
"""By name the number of places that count."""

FREQUENCY, BOTH = "type frequency", "frequency and cosine"

Scores = Sequence[NDArray[np.float64]]
"""A score for each candidate, (candidates,), of each question."""


@dataclass(frozen=True, slots=True)
class Question:
    """A record to rank, and the kind of product that it is about."""

    kind: str
    record: Record


Name = frozenset[str]
"""The words of a kind's name, a plural's s left off."""


def trained_on(config: Config) -> set[Name]:
    """The kinds that a source trains on which tells what applies to them. Raises BadRecord."""
    telling = [s for s in config.sources.values() if s.reader in {"taxonomy", "catalogue"} and s.language == "en"]
    there = [source for source in telling if (config.data / source.train).exists()]
    return {_name(record.query) for source in there for record in half_of(config, source, "train")}


def _name(kind: str) -> Name:
    return frozenset(words(kind))


def unseen(config: Config, source: Source, trained: Set[Name]) -> tuple[list[Question], list[str]]:
    """The questions of the kinds kept aside that are not trained on, and the names of those that are.

    Kinds whose attributes all have one gain leave nothing to order and are left out. Raises BadRecord.
    """
    asked, seen = [], []
    for record in half_of(config, source, "dev"):
        if _name(record.query) in trained:
            seen.append(record.query)
        elif len(set(record.gains)) > 1:
            asked.append(Question(record.query, record))
    return asked, seen


def by_titles(config: Config, source: Source, asked: Sequence[Question]) -> list[Question]:
    """The same questions asked by titles of the kinds' products, up to `MOST_TITLES` of each, drawn by the seed."""
    products = catalogues.by_kind(catalogues.read(config.data / source.train))
    found = []
    for question in asked:
        members = products[question.kind]
        draw = random.Random(f"{config.seed}/{question.kind}/titles")
        for product in draw.sample(members, min(MOST_TITLES, len(members))):
            record = _without(question.record, product.title, _stated(product.title, product.attributes))
            if len(set(record.gains)) > 1:
                found.append(Question(question.kind, record))
    return found


def _stated(title: str, attributes: Mapping[str, str]) -> set[str]:
    return {name for name, value in attributes.items() if find_value(title, value)}


def _without(record: Record, query: str, names: set[str]) -> Record:
    kept = [(name, gain) for name, gain in zip(record.attributes, record.gains, strict=True) if name not in names]
    return Record(query, tuple(n for n, _ in kept), tuple(g for _, g in kept), (None,) * len(kept))


def baselines(asked: Sequence[Question], known: Sequence[Record], cosines: Scores) -> dict[str, Scores]:
    """Scores of what reads no query with the model; `known` are the kinds that the source trains on.

    Type frequency is the log-odds that a kind has the attribute, half a kind added to either side (Haldane 1956); the
    mean gain over kinds knows fill and spread as well. Frequency and cosine are added, each standardised by question.
    """
    having, gained = Counter[str](), defaultdict[str, float](float)
    for record in known:
        for name, gain in zip(record.attributes, record.gains, strict=True):
            having[name] += gain > 0
            gained[name] += gain
    counts = [np.array([having[name] for name in each.record.attributes], float) for each in asked]
    odds = [np.log((count + 0.5) / (len(known) - count + 0.5)) for count in counts]
    return {
        "equal weights": [np.zeros(len(count)) for count in counts],
        FREQUENCY: odds,
        "mean gain": [np.array([gained[name] for name in each.record.attributes]) for each in asked],
        "pretrained cosine": cosines,
        BOTH: [together(*pair) for pair in zip(odds, cosines, strict=True)],
    }


def ranking(asked: Sequence[Question], logits: Scores, beside: Mapping[str, Scores]) -> Suite:
    """nDCG, and what it gains kind by kind on frequency, alone and with the cosine; `n` counts kinds."""
    found = {}
    for title, top in METRICS.items():
        ours = _by_kind(asked, logits, top)
        others = {name: _by_kind(asked, scores, top) for name, scores in beside.items()}
        found[title] = measure.mean(ours, {name: float(values.mean()) for name, values in others.items()})
        for name in (FREQUENCY, BOTH):
            found[f"{title}: gain on {name}"] = measure.mean(ours - others[name])
    return found


def _by_kind(asked: Sequence[Question], scores: Sequence[ArrayLike], top: int | None) -> NDArray[np.float64]:
    """The mean of each kind's questions, (kinds,)."""
    values: dict[str, list[float]] = defaultdict(list)
    for question, row in zip(asked, scores, strict=True):
        values[question.kind].append(metrics.ndcg(row, question.record.gains, top=top))
    return np.array([np.mean(found) for found in values.values()])
