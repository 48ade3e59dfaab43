"""How much each training record counts, by what a first model thinks of its label.

Knows: the formulas. Does not know: models, files, when records are weighed.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

LARGEST = 3.0
"""No ratio counts more, before the weights are scaled to mean 1."""

Weights = NDArray[np.float64]


def likelihood(weights: Sequence[ArrayLike], gains: Sequence[ArrayLike]) -> Weights:
    """For each record the geometric mean probability of its gained attributes, `exp(sum(g log w))`: (records,).

    `weights` and `gains` of each record sum to 1.
    """
    logs = (np.log(np.maximum(np.asarray(w, float), 1e-12)) for w in weights)
    return np.exp([float(np.asarray(g, float) @ log) for g, log in zip(gains, logs, strict=True)])


def prior(names: Sequence[Sequence[str]], weights: Sequence[ArrayLike], gains: Sequence[ArrayLike]) -> Weights:
    """The same probability under the label's prior: what the model gives each name on the average over all records,
    at length 1 among the candidates of the record.
    """
    total: dict[str, float] = {}
    count: dict[str, int] = {}
    for own, found in zip(names, weights, strict=True):
        for name, weight in zip(own, np.asarray(found, float).tolist(), strict=True):
            total[name], count[name] = total.get(name, 0.0) + weight, count.get(name, 0) + 1
    means = [np.array([total[name] / count[name] for name in own]) for own in names]
    return likelihood([mean / mean.sum() for mean in means], gains)


def likelihood_ratio(posterior: Weights, prior: Weights) -> Weights:
    """`w = p(y | x) / p(y)`, at most `LARGEST`, at mean 1."""
    return _mean_one(np.minimum(posterior / np.maximum(prior, 1e-12), LARGEST))


def self_paced(posterior: Weights, _prior: Weights) -> Weights:
    """The linear soft weights of self-paced learning, `max(0, 1 - loss / pace)` (Jiang et al. 2014), the loss being
    `-log p(y | x)` and the pace its 80th percentile, at mean 1.
    """
    loss = -np.log(np.maximum(posterior, 1e-12))
    return _mean_one(np.maximum(0.0, 1 - loss / max(float(np.quantile(loss, 0.8)), 1e-12)))


def _mean_one(weights: Weights) -> Weights:
    mean = float(weights.mean())
    return weights / mean if mean > 0 else np.ones_like(weights)


WEIGHTINGS: dict[str, Callable[[Weights, Weights], Weights]] = {
    "likelihood-ratio": likelihood_ratio,
    "self-paced": self_paced,
}
