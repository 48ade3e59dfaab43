"""What a trained network says of texts, as records to train from.

Knows: which of the network's scores are a label. Does not know: files, where texts come from.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray

from model_export.network import PackedRanker, Scores
from model_export.records import Record, Span
from model_export.rows import packed
from service.text import QueryTokens, Tokenizer, collate

LEAST_GAIN = 0.004
"""A smaller weight is none."""
UNSURE = (0.35, 0.65)
"""A word whose probability lies between these leaves its attribute's values unknown."""
BATCH = 24


def labelled(
    ranker: PackedRanker, tokenizer: Tokenizer, texts: Sequence[str], names: Sequence[str]
) -> Iterator[Record]:
    """A record of each text, of like length together, the shortest first: the network's weights are the gains, and the
    words that it is sure of (0.65 or more) the values.
    """
    ordered = sorted(texts, key=len)
    for first in range(0, len(ordered), BATCH):
        asked = [
            Record(text, tuple(names), (0.0,) * len(names), ((),) * len(names))
            for text in ordered[first : first + BATCH]
        ]
        queries, rows = zip(*(packed(tokenizer, record) for record in asked), strict=True)
        with torch.inference_mode():
            scores = Scores(*ranker(**{name: torch.from_numpy(array) for name, array in collate(rows).items()}))
        weights = torch.softmax(scores.logits[:, : len(names)].float(), dim=-1).numpy()
        inside = scores.value_logits[:, : len(names)].float().numpy()
        for place, (record, query) in enumerate(zip(asked, queries, strict=True)):
            gains = tuple(round(float(weight), 4) if weight >= LEAST_GAIN else 0.0 for weight in weights[place])
            values = tuple(stated(query, tokens) for tokens in inside[place, :, 1 : 1 + len(query.word_of)])
            yield Record(record.query, record.attributes, gains, values)


def stated(query: QueryTokens, inside: NDArray[np.float32]) -> tuple[Span, ...] | None:
    """The runs of words that state a value by the logits of the query's tokens, None where one is unsure.

    A word's logit is the mean over its tokens, as `service.scoring` has it.
    """
    words = np.asarray(query.word_of)
    chances = [1 / (1 + math.exp(-float(inside[words == word].mean()))) for word in range(len(query.words))]
    if any(UNSURE[0] < chance < UNSURE[1] for chance in chances):
        return None
    runs = groupby(range(len(chances)), key=lambda word: chances[word] >= UNSURE[1])
    sure = [list(run) for is_sure, run in runs if is_sure]
    return tuple((query.starts[run[0]], query.ends[run[-1]]) for run in sure)
