"""Metrics of rankings, values and calibration.

Knows: numpy and formulas. Does not know: models, files.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from collections.abc import Set as AbstractSet

import numpy as np
from numpy.typing import ArrayLike, NDArray

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""A statistic of a sample, for many resamples at once: counts (draws, size), how often each resample holds each member
of the sample, to values (draws,). All ones are the sample itself.
"""


def ndcg(scores: ArrayLike, gains: ArrayLike, *, top: int | None = None) -> float:
    """Normalised discounted cumulative gain of one ranking, gains taken as they are, discount 1 / log2(rank + 1)
    (Järvelin and Kekäläinen 2002). Equal scores share the mean of their gains. NaN when no gain is positive.

    With `top` only the first so many places count, of the ideal order as well.
    """
    scores, gains = np.asarray(scores, float), np.asarray(gains, float)
    discount = 1.0 / np.log2(np.arange(2, len(gains) + 2))
    if top is not None:
        discount[top:] = 0
    ideal = float(np.sort(gains)[::-1] @ discount)
    _, group = np.unique(-scores, return_inverse=True)
    shared = (np.bincount(group, weights=gains) / np.bincount(group))[group]
    return float(shared[np.argsort(-scores, kind="stable")] @ discount) / ideal if ideal else float("nan")


def average_precision(scores: ArrayLike, gains: ArrayLike) -> float:
    """Average precision of one ranking; a candidate is relevant when its gain is positive. NaN when none is.

    Of equal scores it is the mean over all orders that they may stand in (McSherry and Najork 2008).
    """
    relevant = np.asarray(gains, float) > 0
    if not relevant.any():
        return float("nan")
    _, group = np.unique(-np.asarray(scores, float), return_inverse=True)
    size, among = np.bincount(group), np.bincount(group, weights=relevant)
    before, found = np.cumsum(size) - size, np.cumsum(among) - among
    of = np.repeat(np.arange(len(size)), size)
    rank = np.arange(1, len(relevant) + 1)
    others = (rank - 1 - before[of]) * (among[of] - 1) / np.maximum(size[of] - 1, 1)
    precision = (found[of] + 1 + others) / rank
    return float((among[of] / size[of]) @ precision) / int(relevant.sum())


def first_is_relevant(scores: ArrayLike, gains: ArrayLike) -> float:
    """1 when the best candidate has a positive gain, else 0; of equally good ones the share that has. NaN when no
    candidate has a gain.
    """
    scores, relevant = np.asarray(scores, float), np.asarray(gains, float) > 0
    return float(relevant[scores == scores.max()].mean()) if relevant.any() else float("nan")


def f1(pairs: Iterable[tuple[AbstractSet[Hashable], AbstractSet[Hashable]]]) -> float:
    """Micro F1 over (predicted, true) sets, exact match; 0 when nothing is right."""
    right = predicted = true = 0
    for guess, truth in pairs:
        right, predicted, true = right + len(guess & truth), predicted + len(guess), true + len(truth)
    return 2 * right / (predicted + true) if right else 0.0


def kl_divergence(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    """KL(p || q) of two distributions, in nats."""
    positive = p > 0
    return float((p[positive] * np.log(p[positive] / np.maximum(q[positive], 1e-300))).sum())


def reliability(confidence: ArrayLike, observed: ArrayLike, bins: int = 10) -> list[tuple[float, float, int]]:
    """For equal-width bins of confidence: (mean confidence, mean observed, count), empty bins left out."""
    confidence, observed = np.asarray(confidence, float), np.asarray(observed, float)
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        (float(confidence[place == b].mean()), float(observed[place == b].mean()), int((place == b).sum()))
        for b in range(bins)
        if (place == b).any()
    ]


def calibration_error(confidence: ArrayLike, observed: ArrayLike, bins: int = 10) -> float:
    """Expected calibration error: the bins' gaps, weighted by their counts (Guo et al. 2017)."""
    rows = reliability(confidence, observed, bins)
    return sum(abs(c - o) * n for c, o, n in rows) / sum(n for *_, n in rows)


def mean(values: Sequence[float]) -> float:
    """The mean of what is not NaN; NaN when nothing is."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def bootstrap(statistic: Statistic, size: int, *, seed: int = 7, draws: int = 1_000) -> tuple[float, float]:
    """The 95 % percentile interval of a statistic, its sample of `size` members drawn again with replacement.

    (Efron 1979.) Resamples in which the statistic is not a number are left out; NaN when that is all of them, or
    the sample is empty.
    """
    if not size:
        return float("nan"), float("nan")
    counts = np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), draws).astype(float)
    found = statistic(counts)
    found = found[~np.isnan(found)]
    low, high = np.percentile(found, (2.5, 97.5)) if len(found) else (np.nan, np.nan)
    return float(low), float(high)


def mean_of(values: ArrayLike) -> Statistic:
    """The mean of one value a member."""
    values = np.asarray(values, float)
    return lambda counts: counts @ values / counts.sum(axis=1)


def quantile_of(values: Sequence[ArrayLike], share: float) -> Statistic:
    """The quantile of all members' values, of which a member may have any number: the least value that is no less than
    `share` of them. NaN where there are none.
    """
    member = np.repeat(np.arange(len(values)), [len(np.atleast_1d(each)) for each in values])
    known = np.concatenate([np.zeros(0), *(np.atleast_1d(np.asarray(each, float)) for each in values)])
    order = known.argsort()
    known, member = known[order], member[order]

    def quantile(counts: NDArray[np.float64]) -> NDArray[np.float64]:
        if not len(known):
            return np.full(len(counts), np.nan)
        sums = (row[member].cumsum() for row in counts)
        return np.array([known[np.searchsorted(each, share * each[-1])] if each[-1] else np.nan for each in sums])

    return quantile


def ratio_of(numerators: ArrayLike, denominators: ArrayLike) -> Statistic:
    """The ratio of two sums over members; 0 where the denominator is."""
    above, below = np.asarray(numerators, float), np.asarray(denominators, float)

    def ratio(counts: NDArray[np.float64]) -> NDArray[np.float64]:
        total = counts @ below
        return np.asarray(np.divide(counts @ above, total, out=np.zeros(len(counts)), where=total > 0))

    return ratio


def calibration_error_of(confidence: ArrayLike, observed: ArrayLike, bins: int = 10) -> Statistic:
    """`calibration_error` of one pair a member."""
    confidence, observed = np.asarray(confidence, float), np.asarray(observed, float)
    gaps = np.zeros((len(confidence), bins))
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps[np.arange(len(gaps)), place] = confidence - observed
    return lambda counts: np.abs(counts @ gaps).sum(axis=1) / counts.sum(axis=1)


def auc_of(scores: ArrayLike, positive: ArrayLike) -> Statistic:
    """The area under the ROC curve: how often a positive member's score is above a negative one's, ties half.

    NaN where a resample holds members of one kind only.
    """
    scores, chosen = np.asarray(scores, float), np.asarray(positive, bool)
    difference = scores[chosen][:, None] - scores[~chosen]
    above = (np.sign(difference) + 1) / 2

    def area(counts: NDArray[np.float64]) -> NDArray[np.float64]:
        ours, theirs = counts[:, chosen], counts[:, ~chosen]
        pairs = ours.sum(axis=1) * theirs.sum(axis=1)
        won = ((ours @ above) * theirs).sum(axis=1)
        return np.asarray(np.divide(won, pairs, out=np.full(len(counts), np.nan), where=pairs > 0))

    return area


def rank_correlation_of(one: ArrayLike, other: ArrayLike) -> Statistic:
    """Spearman's correlation of two values a member. Equal values share the mean of their ranks, which resamples keep.

    NaN where a resample has one rank alone.
    """
    x, y = _ranks(one), _ranks(other)

    def correlation(counts: NDArray[np.float64]) -> NDArray[np.float64]:
        shares = counts / counts.sum(axis=1, keepdims=True)
        means = shares @ x, shares @ y
        squares = (shares @ x**2 - means[0] ** 2) * (shares @ y**2 - means[1] ** 2)
        covariance, unknown = shares @ (x * y) - means[0] * means[1], np.full(len(counts), np.nan)
        return np.asarray(np.divide(covariance, np.sqrt(squares), out=unknown, where=squares > 1e-20))

    return correlation


def _ranks(values: ArrayLike) -> NDArray[np.float64]:
    """Between -0.5 and 0.5."""
    _, group, size = np.unique(np.asarray(values, float), return_inverse=True, return_counts=True)
    ranks = size.cumsum() - (size - 1) / 2
    return np.asarray((ranks[group] - 0.5) / max(len(group), 1) - 0.5)
