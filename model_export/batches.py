"""Records as the tensors of one forward and backward pass.

Knows: targets, padding. Does not know: which records a step sees, the network, losses.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_export.records import Record, Span
from model_export.rows import packed
from service.text import QueryTokens, Tokenizer, collate, row_alone


@dataclass(frozen=True, slots=True)
class Products:
    """The products to rank for each query of a batch.

    `feed`: the network's inputs for their titles, (rows * products) of them. `matches`: (rows, products, candidates),
    how well each value matches the query, 0 where a product has none. `gains`: (rows, products), each row summing to 1,
    or 0 where no product has a gain.
    `present`: (rows, products).
    """

    feed: dict[str, Tensor]
    matches: Tensor
    gains: Tensor
    present: Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """What one forward and backward pass takes.

    `feed`: the network's inputs. `gains`: (rows, candidates), each row summing to 1, or 0 where no gain is known.
    `present`: (rows, candidates). `inside`, `known`: (rows, candidates, query tokens), the value targets and which
    of them count. `weight`: (rows,), mean 1 over the source. `importance`: the weight of the importance loss.
    `perturbation`: the length of the step against its gradients, 0 for none. `products`: those of the records, where
    the source has them.
    """

    feed: dict[str, Tensor]
    gains: Tensor
    present: Tensor
    inside: Tensor
    known: Tensor
    weight: Tensor
    importance: float = 1.0
    perturbation: float = 0.0
    products: Products | None = None


def collated(tokenizer: Tokenizer, examples: Sequence[Record], mean_weight: float = 1.0) -> Batch:
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
    )


def texts_feed(tokenizer: Tokenizer, texts: Sequence[str]) -> dict[str, Tensor]:
    """The network's inputs for texts without candidates, of which only the embedding is wanted."""
    rows = [row_alone(tokenizer.query(text)) for text in texts]
    return {name: torch.from_numpy(array) for name, array in collate(rows).items()}


def token_targets(query: QueryTokens, spans: Sequence[Span]) -> list[float]:
    """For each token between [CLS] and [SEP], 1 if its word overlaps one of the spans, else 0."""
    stated = [any(start < last and end > first for first, last in spans) for start, end in query.words]
    return [float(stated[word]) for word in query.word_of]


def products_of(
    tokenizer: Tokenizer, examples: Sequence[Record], matches: Sequence[NDArray[np.float32]], candidates: int
) -> Products:
    """The products of records; `matches` of each record: (its products, its candidates)."""
    most = max(len(record.products) for record in examples)
    titles: list[str] = []
    padded = np.zeros((len(examples), most, candidates), np.float32)
    gains, present = np.zeros((len(examples), most), np.float32), np.zeros((len(examples), most), bool)
    for row, (record, found) in enumerate(zip(examples, matches, strict=True)):
        own = np.array([product.gain for product in record.products])
        size, total = len(own), own.sum()
        padded[row, :size, : found.shape[1]] = found
        gains[row, :size] = own / total if total else 0.0
        present[row, :size] = True
        titles += [*(product.title for product in record.products), *[""] * (most - size)]
    feed = texts_feed(tokenizer, titles)
    return Products(feed, torch.from_numpy(padded), torch.from_numpy(gains), torch.from_numpy(present))
