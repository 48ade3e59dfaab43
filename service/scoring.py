"""The arithmetic of an answer: logits to weights, weights to an order, token probabilities to values.

Knows: numpy. Does not know: tokens as text, the model, requests.
"""

import math
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
    stated = _words_stated(scores.value_logits, word_of, math.log(threshold / (1 - threshold)))
    return [
        PairScore(logit, _runs(stated[index]) if index in stated else ())
        for index, logit in enumerate(scores.logits.tolist())
    ]


def _words_stated(
    value_logits: NDArray[np.float32], word_of: Sequence[int], least: float
) -> dict[int, list[tuple[int, float]]]:
    """For each candidate that has some, the words whose logit is at least so large, in order, with their logits."""
    if not word_of:
        return {}
    first_tokens = [token for token, word in enumerate(word_of) if token == 0 or word != word_of[token - 1]]
    means = np.add.reduceat(value_logits[:, : len(word_of)], first_tokens, axis=1)
    if len(first_tokens) < len(word_of):
        means /= np.diff([*first_tokens, len(word_of)])
    stated: dict[int, list[tuple[int, float]]] = {}
    for candidate, word in np.argwhere(means >= least).tolist():
        stated.setdefault(candidate, []).append((word, float(means[candidate, word])))
    return stated


def _runs(words: Sequence[tuple[int, float]]) -> tuple[ValueSpan, ...]:
    """The spans that words with their logits make."""
    spans: list[ValueSpan] = []
    begun = 0
    for place, (word, _) in enumerate(words, start=1):
        if place == len(words) or words[place][0] > word + 1:
            run = words[begun:place]
            mean = sum(1 / (1 + math.exp(-logit)) for _, logit in run) / len(run)
            spans.append(ValueSpan(run[0][0], word, float(np.float32(mean))))
            begun = place
    return tuple(spans)
