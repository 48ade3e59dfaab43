"""Training batches: which records a step sees, which candidates with which spelling in which order, as tensors.

A batch is a function of (seed, step) alone, so a resumed run goes on with the batches it would have seen.

Knows: sampling, augmentation, targets. Does not know: the network, losses, the loop.
"""

import random
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count

import numpy as np
import torch
from torch import Tensor

from model_export.config import Config, Source
from model_export.examples import NamePool
from model_export.names import SPELLINGS
from model_export.records import Record, Span
from model_export.rows import packed
from service.text import QueryTokens, Tokenizer, collate

SORTED_TOGETHER = 8
"""So many batches are sorted by length together, to pad little and still mix."""

RESPELLED = 0.6
"""Half the records keep their names as they are; in the others each name is respelled with this probability."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one forward and backward pass takes.

    `feed`: the network's inputs. `gains`: (rows, candidates), each row summing to 1, or 0 where no gain is known.
    `present`: (rows, candidates). `inside`, `known`: (rows, candidates, query tokens), the value targets and which
    of them count. `weight`: (rows,), mean 1 over the source. `importance`: the weight of the importance loss.
    """

    feed: dict[str, Tensor]
    gains: Tensor
    present: Tensor
    inside: Tensor
    known: Tensor
    weight: Tensor
    importance: float


def collated(
    tokenizer: Tokenizer, examples: Sequence[Record], importance: float = 1.0, mean_weight: float = 1.0
) -> Batch:
    """Tensors of records as they are: every candidate, in the order given."""
    queries, rows = zip(*(packed(tokenizer, record) for record in examples), strict=True)
    feed = collate(rows)
    shape = feed["attribute_positions"].shape
    gains, present = np.zeros(shape, np.float32), np.zeros(shape, bool)
    inside = np.zeros((*shape, len(feed["query_positions"])), np.float32)
    known = np.zeros(inside.shape, bool)
    for row, (query, record) in enumerate(zip(queries, examples, strict=True)):
        size, total = len(record.attributes), sum(record.gains)
        present[row, :size] = True
        gains[row, :size] = np.array(record.gains) / total if total else 0.0
        for column, spans in enumerate(record.values):
            if spans is not None:
                inside[row, column, 1 : 1 + len(query.word_of)] = token_targets(query, spans)
                known[row, column, 1 : 1 + len(query.word_of)] = True
    return Batch(
        {name: torch.from_numpy(array) for name, array in feed.items()},
        torch.from_numpy(gains),
        torch.from_numpy(present),
        torch.from_numpy(inside),
        torch.from_numpy(known),
        torch.tensor([record.weight / mean_weight for record in examples]),
        importance,
    )


def token_targets(query: QueryTokens, spans: Sequence[Span]) -> list[float]:
    """For each token between [CLS] and [SEP], 1 if its word overlaps one of the spans, else 0."""
    stated = [any(start < last and end > first for first, last in spans) for start, end in query.words]
    return [float(stated[word]) for word in query.word_of]


class Sampler:
    """Draws the batch of any step from the records of all sources, by the rates of the configuration."""

    def __init__(
        self, config: Config, tokenizer: Tokenizer, train: Mapping[str, Sequence[Record]], pool: NamePool
    ) -> None:
        self._config, self._tokenizer, self._train, self._pool = config, tokenizer, train, pool
        names = [name for name in config.sources if train[name]]
        draw = random.Random(f"{config.seed}/schedule")
        steps = config.training.steps * config.training.accumulate
        self._sources = draw.choices(names, [config.sources[name].rate for name in names], k=steps)
        turns: dict[str, Iterator[int]] = defaultdict(count)
        self._turns = [next(turns[name]) for name in self._sources]
        self._mean_weight = {name: float(np.mean([record.weight for record in train[name]])) or 1.0 for name in names}
        self._epoch = lru_cache(maxsize=2 * len(names))(self._draw_epoch)

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 0."""
        name = self._sources[step]
        per_epoch = -(-len(self._train[name]) // self._config.training.batch)
        epoch, place = divmod(self._turns[step], per_epoch)
        source, draw = self._config.sources[name], random.Random(f"{self._config.seed}/{step}")
        examples = [self._vary(self._train[name][index], source, draw) for index in self._epoch(name, epoch)[place]]
        return collated(self._tokenizer, examples, source.importance, self._mean_weight[name])

    def _draw_epoch(self, name: str, epoch: int) -> list[list[int]]:
        """All records of a source once, shuffled, then sorted by length within a few batches."""
        draw = random.Random(f"{self._config.seed}/{name}/{epoch}")
        indices = list(range(len(self._train[name])))
        draw.shuffle(indices)
        size, batches = self._config.training.batch, []
        for first in range(0, len(indices), size * SORTED_TOGETHER):
            together = indices[first : first + size * SORTED_TOGETHER]
            together.sort(key=lambda index: len(self._train[name][index].query))
            batches += [together[start : start + size] for start in range(0, len(together), size)]
        draw.shuffle(batches)
        return batches

    def _vary(self, record: Record, source: Source, draw: random.Random) -> Record:
        """The record as one step sees it: words left out, a draw of candidates, other names, spellings, shuffled."""
        if draw.random() < source.drop_words:
            record = thinned(record, draw)
        gained = [i for i, gain in enumerate(record.gains) if gain > 0]
        rest = [i for i, gain in enumerate(record.gains) if gain == 0]
        room = max(0, source.candidates - source.others - len(gained))
        kept = gained + draw.sample(rest, min(len(rest), room))
        if len(kept) > source.candidates:
            kept = draw.sample(gained, source.candidates)
        size = min(source.others, source.candidates - len(kept))
        candidates = [(record.attributes[i], record.gains[i], record.values[i]) for i in kept]
        unstated = None if all(spans is None for spans in record.values) else ()
        others = self._pool.others(record.attributes, draw, size, frequent=source.frequent, complete=source.complete)
        candidates += [(name, 0.0, unstated) for name in others]
        share = draw.choice((0.0, RESPELLED))
        spelled = {spelling(name, draw, share): (gain, spans) for name, gain, spans in reversed(candidates)}
        names = draw.sample(list(spelled), len(spelled))
        return Record(
            record.query,
            tuple(names),
            tuple(spelled[name][0] for name in names),
            tuple(spelled[name][1] for name in names),
            record.weight,
        )


def spelling(name: str, draw: random.Random, share: float) -> str:
    """The name itself, or with probability `share` another spelling of it where one is known."""
    return draw.choice(SPELLINGS.get(name.lower(), (name,))) if draw.random() < share else name


def thinned(record: Record, draw: random.Random) -> Record:
    """A pseudo-query from a title: values stay with probability 0.7, each other word with 0.4, at least one stays.

    A value that goes takes its attribute's gain with it.
    """
    stated = [(span, i) for i, spans in enumerate(record.values) for span in spans or ()]
    kept = {span for span, _ in stated if draw.random() < 0.7} or {span for span, _ in stated[:1]}
    words: list[Span] = []
    for match in re.finditer(r"\S+", record.query):
        start, end = match.span()
        covering = [span for span, _ in stated if start < span[1] and end > span[0]]
        if any(span in kept for span in covering) or (not covering and draw.random() < 0.4):
            words.append((start, end))
    if not words:
        return record
    query, moved = "", {}
    for start, end in words:
        query += " " if query else ""
        moved[start] = len(query)
        query += record.query[start:end]

    def placed(span: Span) -> Span | None:
        inside = [(start, end) for start, end in words if start < span[1] and end > span[0]]
        if not inside or len(inside) < len(record.query[slice(*span)].split()):
            return None
        (first, _), (last, last_end) = inside[0], inside[-1]
        return moved[first] + max(0, span[0] - first), moved[last] + min(span[1], last_end) - last

    values = tuple(
        None if spans is None else tuple(new for span in spans if (new := placed(span))) for spans in record.values
    )
    gains = tuple(
        gain if spans is None or not spans or values[i] else 0.0
        for i, (gain, spans) in enumerate(zip(record.gains, record.values, strict=True))
    )
    return Record(query, record.attributes, gains, values, record.weight)
