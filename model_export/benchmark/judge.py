"""The bundle under measurement, asked through the code that serves.

Knows: how records and texts are put to the model. Does not know: what their answers are held against.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from model_export import evaluation
from model_export.evaluation import Scorer
from model_export.records import Record
from service import scoring
from service.bundle import Bundle
from service.model import open_graph
from service.scoring import PairScore
from service.spans import Value, values
from service.text import QueryTokens, Tokenizer, row_alone

Vectors = Callable[[Sequence[str]], NDArray[np.float64]]
"""Unit vectors (texts, hidden) of texts."""

BATCH_TEXTS = 32


@dataclass(frozen=True, slots=True)
class Answer:
    """A record, its query's tokens, and what the service would say of each candidate."""

    record: Record
    query: QueryTokens
    pairs: Sequence[PairScore]

    def stated(self, place: int) -> tuple[Value, ...]:
        """The values that the query states of the candidate at `place`."""
        return values(self.record.query, self.query, self.pairs[place].spans)


@dataclass(frozen=True, slots=True)
class Judge:
    """A model with everything of its bundle that an answer depends on."""

    model: Scorer
    tokenizer: Tokenizer
    temperature: float
    threshold: float

    @classmethod
    def of(cls, bundle: Bundle, graph: Path) -> Self:
        """The bundle with one of its graphs, on the CPU."""
        tokenizer = Tokenizer(
            bundle.paths["tokenizer"],
            max_query_tokens=bundle.max_query_tokens,
            max_attribute_tokens=bundle.max_attribute_tokens,
        )
        return cls(open_graph(graph, device="cpu"), tokenizer, bundle.temperature, bundle.value_threshold)

    def answers(self, asked: Sequence[Record], what: str) -> list[Answer]:
        """The answers in the records' order; `what` names the progress bar."""
        found: dict[int, Answer] = {}
        answered = evaluation.answered(self.model, self.tokenizer, asked, threshold=self.threshold)
        for index, query, pairs in tqdm(answered, what, total=len(asked)):
            found[index] = Answer(asked[index], query, pairs)
        return [found[index] for index in range(len(asked))]

    def weights(self, answer: Answer) -> list[float]:
        """The weights of an answer's candidates."""
        return scoring.softmax([pair.logit for pair in answer.pairs], self.temperature)

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The bundle's own embedding of texts, (texts, hidden)."""
        rows = [row_alone(self.tokenizer.query(text)) for text in texts]
        parts = range(0, len(rows), BATCH_TEXTS)
        found = [
            scores.embedding
            for first in tqdm(parts, "texts")
            for scores in self.model.run(rows[first : first + BATCH_TEXTS])
        ]
        return np.array(found, dtype=np.float64)


class Remembered:
    """Vectors of texts, each made once, those of like length together."""

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors
        self._known: dict[str, NDArray[np.float64]] = {}

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Unit vectors (texts, hidden)."""
        new = sorted(set(texts) - self._known.keys(), key=lambda text: (len(text), text))
        if new:
            self._known |= dict(zip(new, np.asarray(self._vectors(new), np.float64), strict=True))
        return np.array([self._known[text] for text in texts])
