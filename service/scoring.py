"""The arithmetic of an answer: logits to weights, weights to an order, token probabilities to values.

Knows: numpy. Does not know: tokens as text, the model, requests.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class ValueSpan(NamedTuple):
    """Words `first` to `last` (inclusive, counted in the query) state a value, with this probability.

    The probability is one that fp32 holds, as logits are: a cache that keeps four bytes gives back the same.
    """

    first: int
    last: int
    confidence: float


def softmax(logits: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """Weights `exp(z / T) / sum`, (candidates,), in float64; the largest logit is subtracted before the division."""
    z = np.asarray(logits, dtype=np.float64)
    with np.errstate(over="ignore"):
        scaled = np.exp((z - z.max()) / temperature)
    return np.asarray(scaled / scaled.sum())


def entropy(weights: NDArray[np.float64]) -> float:
    """Shannon entropy of the weights in nats: 0 is sure of one attribute, log(candidates) knows nothing."""
    positive = weights[weights > 0]
    return max(0.0, float(-(positive * np.log(positive)).sum()))


def order(weights: NDArray[np.float64]) -> list[int]:
    """Indices from the largest weight to the smallest; equal weights keep the order they came in."""
    found: list[int] = np.argsort(-weights, kind="stable").tolist()
    return found


class RowScores(NamedTuple):
    """What the model says of a packed row: `logits` (candidates,), `value_logits` (candidates, query tokens).

    The query tokens are those between [CLS] and [SEP].
    """

    logits: NDArray[np.float32]
    value_logits: NDArray[np.float32]


class PairScore(NamedTuple):
    """What is known of a query and one attribute, whatever the other candidates are: the cacheable part."""

    logit: float
    spans: tuple[ValueSpan, ...]


def pair_scores(scores: RowScores, word_of: Sequence[int], *, threshold: float) -> list[PairScore]:
    """One score for each candidate of a row, in their order; `word_of` names each query token's word.

    A value is a run of words whose probability is at least `threshold`: a word's logit is the mean over its tokens,
    a run's confidence the mean over its words.
    """
    logits, value_logits = scores
    if not word_of:
        return [PairScore(float(logit), ()) for logit in logits]
    words = np.asarray(word_of)
    first_tokens = np.flatnonzero(np.diff(words, prepend=-1))
    means = np.add.reduceat(value_logits[:, : len(words)], first_tokens, axis=1) / np.bincount(words)
    probabilities = 1.0 / (1.0 + np.exp(-means))
    inside = probabilities >= threshold
    return [
        PairScore(float(logit), _runs(inside[index], probabilities[index]) if stated else ())
        for index, (logit, stated) in enumerate(zip(logits, np.any(inside, axis=1), strict=True))
    ]


def _runs(inside: NDArray[np.bool_], probabilities: NDArray[np.float64]) -> tuple[ValueSpan, ...]:
    words = np.flatnonzero(inside)
    runs = np.split(words, np.flatnonzero(np.diff(words) > 1) + 1)
    return tuple(ValueSpan(int(run[0]), int(run[-1]), float(np.float32(probabilities[run].mean()))) for run in runs)
