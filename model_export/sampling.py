"""Which records a training step sees.

A batch is a function of (seed, step) alone, so a resumed run goes on with the batches it would have seen.

Knows: the sources' rates, epochs, the weights of records. Does not know: tensors, the network, losses.
"""

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import count

import numpy as np
from numpy.typing import NDArray

from model_export.batches import Batch, collated, products_of
from model_export.config import Config
from model_export.examples import Names
from model_export.records import Record
from model_export.stage import StageFailed
from model_export.variations import Varied, spoiled, varied
from service.text import Tokenizer

SORTED_TOGETHER = 8
"""So many batches are sorted by length together, to pad little and still mix."""

WITH_PRODUCTS = 4
"""Records with products come in batches smaller by this: each brings a list of titles."""


class Sampler:
    """Draws the batch of any step from the records of all sources, by the rates of the configuration.

    `matches`: by source, for those whose records hold products, (records, products, attributes), how well each
    product's value matches the query. Raises StageFailed where no source has a record to learn from.
    """

    def __init__(
        self,
        config: Config,
        tokenizer: Tokenizer,
        train: Mapping[str, Sequence[Record]],
        names: Names,
        matches: Mapping[str, NDArray[np.float32]] | None = None,
    ) -> None:
        self._config, self._tokenizer, self._names, self._matches = config, tokenizer, names, matches or {}
        self.train = {name: _spoiled(part, config, name) for name, part in train.items()}
        self.weights: dict[str, dict[int, float]] = {}
        given = [name for name in config.sources if train[name]]
        if config.training.embedding_only:
            given = [name for name in given if name in self._matches]
        if not given:
            what = "record with products" if config.training.embedding_only else "record"
            raise StageFailed(f"no source has a {what} to train from: give one more data, or keep less aside")
        draw = random.Random(f"{config.seed}/schedule")
        steps = config.training.steps * config.training.accumulate
        self._sources = draw.choices(given, [config.sources[name].rate for name in given], k=steps)
        turns: dict[str, Iterator[int]] = defaultdict(count)
        self._turns = [next(turns[name]) for name in self._sources]
        self._mean_weight = {name: float(np.mean([record.weight for record in train[name]])) or 1.0 for name in given}
        self._epoch = lru_cache(maxsize=2 * len(given))(self._draw_epoch)

    def weigh(self, name: str, weights: dict[int, float]) -> None:
        """From now on the records of a source count so much more, by their place; their mean should be 1."""
        self.weights[name] = weights

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 0."""
        name = self._sources[step]
        per_epoch = -(-len(self.train[name]) // self._size(name))
        epoch, place = divmod(self._turns[step], per_epoch)
        draw = random.Random(f"{self._config.seed}/{step}")
        places = self._epoch(name, epoch)[place]
        source, options = self._config.sources[name], self._config.training
        found = [
            varied(
                self._weighed(name, place),
                source,
                self._names,
                draw,
                misspell=options.misspell,
                respell=options.respell,
            )
            for place in places
        ]
        examples = [one.record for one in found]
        batch = collated(self._tokenizer, examples, self._mean_weight[name])
        batch = replace(batch, importance=source.importance, perturbation=source.perturbation)
        if name not in self._matches or not any(record.products for record in examples):
            return batch
        matches = [_columns(self._matches[name][place], one) for place, one in zip(places, found, strict=True)]
        candidates = batch.gains.shape[1]
        return replace(batch, products=products_of(self._tokenizer, examples, matches, candidates))

    def _size(self, name: str) -> int:
        size = self._config.training.batch
        return max(1, size // WITH_PRODUCTS) if name in self._matches else size

    def _weighed(self, name: str, place: int) -> Record:
        record = self.train[name][place]
        factor = self.weights.get(name, {}).get(place, 1.0)
        return record if factor == 1 else replace(record, weight=record.weight * factor)

    def _draw_epoch(self, name: str, epoch: int) -> list[list[int]]:
        """All records of a source once, shuffled, then sorted by length within a few batches."""
        draw = random.Random(f"{self._config.seed}/{name}/{epoch}")
        indices = list(range(len(self.train[name])))
        draw.shuffle(indices)
        size, batches = self._size(name), []
        for first in range(0, len(indices), size * SORTED_TOGETHER):
            together = indices[first : first + size * SORTED_TOGETHER]
            together.sort(key=lambda index: len(self.train[name][index].query))
            batches += [together[start : start + size] for start in range(0, len(together), size)]
        draw.shuffle(batches)
        return batches


def _columns(matches: NDArray[np.float32], found: Varied) -> NDArray[np.float32]:
    """The matches of a record's products in the order of its candidates, 0 for those it did not have."""
    none = np.zeros((len(matches), 1), np.float32)
    widened = np.concatenate([matches, none], axis=1)
    columns = [len(widened[0]) - 1 if origin is None else origin for origin in found.origins]
    return widened[: len(found.record.products), columns]


def _spoiled(part: Sequence[Record], config: Config, name: str) -> Sequence[Record]:
    share = config.training.spoiled
    draws = (random.Random(f"{config.seed}/spoiled/{name}/{place}") for place in range(len(part)))
    return (
        [spoiled(r, draw) if draw.random() < share else r for r, draw in zip(part, draws, strict=True)]
        if share
        else part
    )
