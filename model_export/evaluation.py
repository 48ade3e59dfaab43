"""How good a graph is on dev records, measured through the code that serves.

Knows: the metrics of rankings, values and weights. Does not know: stages, baselines, plots.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model_export import metrics
from model_export.records import Record, Span
from model_export.rows import packed
from service import scoring
from service.scoring import PairScore, RowScores
from service.spans import values
from service.text import QueryTokens, Row, Tokenizer

BATCH_ROWS = 16


class Scorer(Protocol):
    """What scores rows as `service.model.Model` does."""

    def run(self, rows: list[Row]) -> list[RowScores]:
        """One answer for each row."""
        ...


@dataclass(frozen=True, slots=True)
class Prediction:
    """A record and what a model says of it: logits and value spans (in characters of the query) by candidate."""

    record: Record
    logits: NDArray[np.float64]
    values: tuple[frozenset[Span], ...]


def predict(model: Scorer, tokenizer: Tokenizer, dev: Sequence[Record], *, threshold: float) -> list[Prediction]:
    """Score records in batches of like length; the predictions come in the records' order."""
    found = {
        index: prediction(dev[index], query, pairs)
        for index, query, pairs in answered(model, tokenizer, dev, threshold=threshold)
    }
    return [found[index] for index in range(len(dev))]


def answered(
    model: Scorer, tokenizer: Tokenizer, dev: Sequence[Record], *, threshold: float
) -> Iterator[tuple[int, QueryTokens, list[PairScore]]]:
    """(place, query, pair scores) of each record, in batches of like length, the shortest first."""
    queries_rows = [packed(tokenizer, record) for record in dev]
    by_length = sorted(range(len(dev)), key=lambda index: len(queries_rows[index][1].input_ids))
    for first in range(0, len(dev), BATCH_ROWS):
        part = by_length[first : first + BATCH_ROWS]
        for index, scores in zip(part, model.run([queries_rows[index][1] for index in part]), strict=True):
            query = queries_rows[index][0]
            pairs = scoring.pair_scores(scores, query.word_of, threshold=threshold, conjunctions=query.conjunctions)
            yield index, query, pairs


def prediction(record: Record, query: QueryTokens, pairs: Sequence[PairScore]) -> Prediction:
    """What pair scores say of a record."""
    stated = (values(record.query, query, pair.spans) for pair in pairs)
    spans = tuple(frozenset((value.start, value.end) for value in of_pair) for of_pair in stated)
    return Prediction(record, np.array([pair.logit for pair in pairs]), spans)


def measure(predictions: Sequence[Prediction], *, temperature: float) -> dict[str, float]:
    """The metrics of one source: ranking (nDCG, MAP, top-1), weights (ECE, NLL in nats), values (F1, exact match).

    Ranking and weights are measured on the records whose candidates' order can be wrong, values on those whose values
    are known; what no record tells is left out. ECE compares the top weight with the top attribute's share of the gain.
    """
    found: dict[str, float] = {"queries": len(predictions)}
    pairs = [(p.logits, p.record.gains) for p in predictions if p.record.ranks]
    if pairs:
        confidence, observed = reliability_points(predictions, temperature=temperature)
        found |= {
            "ndcg": metrics.mean([metrics.ndcg(*pair) for pair in pairs]),
            "map": metrics.mean([metrics.average_precision(*pair) for pair in pairs]),
            "top1": metrics.mean([metrics.first_is_relevant(*pair) for pair in pairs]),
            "ece": metrics.calibration_error(confidence, observed),
            "nll": metrics.mean([cross_entropy(*pair, temperature) for pair in pairs]),
        }
    if any(spans is not None for prediction in predictions for spans in prediction.record.values):
        found["value_f1"] = metrics.f1(map(_values, predictions))
    return {name: round(value, 5) for name, value in found.items()}


def _values(prediction: Prediction) -> tuple[set[tuple[int, Span]], set[tuple[int, Span]]]:
    known = [i for i, spans in enumerate(prediction.record.values) if spans is not None]
    guessed = {(i, span) for i in known for span in prediction.values[i]}
    return guessed, {(i, span) for i in known for span in prediction.record.values[i] or ()}


def reliability_points(
    predictions: Sequence[Prediction], *, temperature: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(top weight, share of the gain that this attribute has) of every prediction whose record ranks."""
    points = []
    for found in predictions:
        gains = np.asarray(found.record.gains)
        if found.record.ranks:
            weights = _weights(found.logits, temperature)
            points.append((weights.max(), gains[weights.argmax()] / gains.sum()))
    return np.array([c for c, _ in points]), np.array([o for _, o in points])


def cross_entropy(logits: NDArray[np.float64], gains: Sequence[float], temperature: float) -> float:
    """Of the weights to the normalised gains, in nats."""
    weights = np.maximum(_weights(logits, temperature), 1e-300)
    return float(-(np.asarray(gains) / sum(gains)) @ np.log(weights))


def _weights(logits: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    return np.array(scoring.softmax(logits.tolist(), temperature))


def fit_temperature(predictions: Sequence[Prediction]) -> float:
    """The T that minimises the mean cross-entropy of the records that rank, by golden section over log T.

    1 when none ranks. (Guo et al. 2017, with graded gains in place of one label.)
    """
    pairs = [(p.logits, p.record.gains) for p in predictions if p.record.ranks]
    if not pairs:
        return 1.0

    def loss(log_temperature: float) -> float:
        return metrics.mean([cross_entropy(*pair, math.exp(log_temperature)) for pair in pairs])

    return math.exp(_golden_section(loss, math.log(0.1), math.log(10.0)))


def _golden_section(function: Callable[[float], float], low: float, high: float) -> float:
    ratio = (math.sqrt(5) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = function(left), function(right)
    while high - low > 1e-4:
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = function(right)
    return (low + high) / 2


@dataclass(frozen=True, slots=True)
class Agreement:
    """How near a graph is to the one it was made from."""

    logits: float
    kl: float
    same_first: float


def agreement(
    ours: Sequence[Prediction], reference: Sequence[Prediction], *, temperature: float, lead: float
) -> Agreement:
    """The largest logit difference; the mean KL of the weights, reference first; and how often both put the same
    attribute first, among the records where the reference's first leads by more than `lead`.
    """
    divergences, same = [], []
    for mine, theirs in zip(ours, reference, strict=True):
        p, q = _weights(theirs.logits, temperature), _weights(mine.logits, temperature)
        divergences.append(metrics.kl_divergence(p, q))
        top = np.sort(p)[::-1]
        if len(p) > 1 and top[0] - top[1] > lead:
            same.append(float(p.argmax() == q.argmax()))
    difference = max(float(np.abs(m.logits - t.logits).max()) for m, t in zip(ours, reference, strict=True))
    return Agreement(difference, float(np.mean(divergences)), float(np.mean(same)) if same else 1.0)
