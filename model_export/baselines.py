"""What a ranking is worth that did not read the query with the model: every candidate alike, the frequent first,
the nearest words first, the names first that the model puts high on the average.

Knows: the baselines' scores and how they are measured fairly. Does not know: models, files.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from model_export import metrics, pretrained
from model_export.config import Config
from model_export.prior import Prior
from model_export.records import Record

Embed = Callable[[Config, Sequence[str]], NDArray[np.float32]]
"""Unit vectors (texts, hidden) of texts."""

RANKING = {"ndcg": metrics.ndcg, "map": metrics.average_precision, "top1": metrics.first_is_relevant}
"""The metrics that look at the order alone, each of (scores, gains)."""

DRAWS = 10


def baselines(
    config: Config,
    train_records: Sequence[Record],
    dev_records: Sequence[Record],
    prior: Prior,
    *,
    embed: Embed = pretrained.embed,
) -> dict[str, dict[str, float]]:
    """The ranking metrics of each baseline over the dev records of one source that rank, by baseline and metric.

    Type frequency scores an attribute by how many training records give it a positive gain; the pretrained cosine
    scores it by the nearness of its name to the query in the base before any training; the prior is the model's own
    logit of the name, averaged over queries.
    """
    dev_records = [record for record in dev_records if record.ranks]
    if not dev_records:
        return {}
    frequency = Counter(name for record in train_records for name in _relevant(record))
    scores = {
        "equal weights": [np.zeros(len(record.attributes)) for record in dev_records],
        "type frequency": [np.array([frequency[name] for name in record.attributes]) for record in dev_records],
        "prior": [np.array([prior.of(name) for name in record.attributes]) for record in dev_records],
        "pretrained cosine": cosines(config, dev_records, embed),
    }
    return {name: measured(rows, dev_records, seed=config.seed) for name, rows in scores.items()}


def measured(scores: Sequence[NDArray[np.float64]], dev_records: Sequence[Record], *, seed: int) -> dict[str, float]:
    """The mean of each ranking metric, ties broken by chance: the mean over `DRAWS` shuffles of the candidates.

    (Records list what is relevant first, so that ties broken by order would tell the answer.)
    """
    chance = np.random.default_rng(seed)
    found: dict[str, list[float]] = {name: [] for name in RANKING}
    for row, record in zip(scores, dev_records, strict=True):
        gains = np.array(record.gains)
        for _ in range(DRAWS):
            shuffled = chance.permutation(len(gains))
            for name, metric in RANKING.items():
                found[name].append(metric(row[shuffled], gains[shuffled]))
    return {name: round(metrics.mean(values), 5) for name, values in found.items()}


def together(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum of two scores of the same candidates, each standardised over them: (candidates,)."""
    return _standard(one) + _standard(other)


def _standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((values - values.mean()) / (values.std() or 1.0))


def telling(dev_records: Sequence[Record]) -> frozenset[str]:
    """The ranking metrics that can differ on these records: the best order of some record beats its worst."""
    pairs = [(record.gains, np.negative(record.gains)) for record in dev_records]
    return frozenset(
        name
        for name, metric in RANKING.items()
        if any(metric(gains, gains) > metric(reversed_gains, gains) for gains, reversed_gains in pairs)
    )


def _relevant(record: Record) -> list[str]:
    return [name for name, gain in zip(record.attributes, record.gains, strict=True) if gain > 0]


def cosines(config: Config, dev_records: Sequence[Record], embed: Embed) -> list[NDArray[np.float64]]:
    """How near each candidate's name is to the record's query, (candidates,) for each record."""
    texts = {text for record in dev_records for text in (record.query, *record.attributes)}
    ordered = sorted(texts, key=lambda text: (len(text), text))  # like lengths together: little padding
    place = {text: index for index, text in enumerate(ordered)}
    vectors = np.asarray(embed(config, ordered), dtype=np.float64)
    return [
        vectors[[place[name] for name in record.attributes]] @ vectors[place[record.query]] for record in dev_records
    ]
