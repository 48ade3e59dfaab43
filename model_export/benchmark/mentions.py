"""Which attributes a query mentions: the plain names, the same among others, and names that training never saw.

Knows: how candidates are drawn for each query. Does not know: the model, the baselines' scores.
"""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from model_export import metrics
from model_export.benchmark import measure
from model_export.benchmark.judge import Vectors
from model_export.benchmark.measure import Measure, Suite
from model_export.evaluation import Prediction
from model_export.examples import NEAR
from model_export.records import Record, Span
from model_export.spellings import SPELLINGS, UNSEEN

OTHERS = 40

Baselines = Mapping[str, Mapping[str, float]]
"""By baseline and ranking metric, as `model_export.baselines.measured` gives them."""

METRICS = {
    "nDCG": ("ndcg", metrics.ndcg),
    "MAP": ("map", metrics.average_precision),
    "top-1": ("top1", metrics.first_is_relevant),
}


def far_names(names: Collection[str], known: Sequence[str], vectors: Vectors) -> list[str]:
    """The names, sorted, that mean none of the known ones: none of their spellings, and no cosine above `NEAR`."""
    spelled = {name for own in known for name in (own, *SPELLINGS.get(own, ()), *UNSEEN.get(own, ()))}
    spelled |= {name for name, spellings in SPELLINGS.items() if spelled.intersection(spellings)}
    others = sorted(set(names) - spelled)
    if not others:
        return []
    cosine = vectors(others) @ vectors(known).T
    return [name for name, near in zip(others, cosine.max(axis=1), strict=True) if near <= NEAR]


def among_others(record: Record, others: Sequence[str], *, seed: int) -> Record:
    """The record with up to `OTHERS` more candidates of gain 0, drawn by its query."""
    drawn = random.Random(f"{seed}/{record.query}").sample(others, min(OTHERS, len(others)))
    return replace(
        record,
        attributes=(*record.attributes, *drawn),
        gains=record.gains + (0.0,) * len(drawn),
        values=record.values + (None,) * len(drawn),
    )


def renamed(record: Record, spellings: Mapping[str, Sequence[str]], *, seed: int) -> Record:
    """The record with one spelling for each name that has some, drawn by its query; none is drawn twice."""
    draw, names = random.Random(f"{seed}/{record.query}"), list(record.attributes)
    for place, name in enumerate(names):
        free = [spelling for spelling in spellings.get(name, ()) if spelling not in names]
        names[place] = draw.choice(free or [name])
    return replace(record, attributes=tuple(names))


def ranking(predictions: Sequence[Prediction], baselines: Baselines) -> dict[str, Measure]:
    """nDCG, MAP and top-1 over the predictions whose record ranks, each baseline beside."""
    return {
        title: measure.mean(
            _by_query(predictions, title), {name: row[key] for name, row in baselines.items() if key in row}
        )
        for title, (key, _) in METRICS.items()
    }


def _by_query(predictions: Sequence[Prediction], title: str) -> list[float]:
    of = METRICS[title][1]
    return [of(p.logits, p.record.gains) for p in predictions if p.record.ranks]


def spans(predictions: Sequence[Prediction]) -> Measure:
    """Micro F1 of the values' exact spans, as the service gives them."""
    return measure.counted([_span_counts(prediction) for prediction in predictions])["F1"]


def _span_counts(prediction: Prediction) -> tuple[int, int, int]:
    right = predicted = true = 0
    for guessed, stated in zip(prediction.values, prediction.record.values, strict=True):
        if stated is not None:
            known: frozenset[Span] = frozenset(stated)
            right, predicted, true = right + len(guessed & known), predicted + len(guessed), true + len(known)
    return right, predicted, true


def beside_plain(ours: Sequence[Prediction], plain: Sequence[Prediction]) -> dict[str, Measure]:
    """What other names change: the mean difference of nDCG by query, `ours` less `plain`, and how far the logits of the
    names that are others lie from the plain names', over all queries.
    """
    moved = [
        np.abs(mine.logits - theirs.logits)[np.not_equal(mine.record.attributes, theirs.record.attributes)]
        for mine, theirs in zip(ours, plain, strict=True)
    ]
    found = {"nDCG, less plain names'": measure.mean(np.subtract(_by_query(ours, "nDCG"), _by_query(plain, "nDCG")))}
    return found | {
        f"|logit less plain name's|, {title}": measure.measured(metrics.quantile_of(moved, share), len(moved))
        for title, share in (("median", 0.5), ("90th percentile", 0.9))
    }


def mention(predictions: Sequence[Prediction], baselines: Baselines) -> Suite:
    """The suite of names as they are asked; spans only where the values of some are known."""
    found = ranking(predictions, baselines)
    known = any(stated is not None for prediction in predictions for stated in prediction.record.values)
    return found | ({"span F1": spans(predictions)} if known else {})
