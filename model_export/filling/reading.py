"""The values that texts state, and the vectors of texts, as the service answers them.

Rows are laid out as the service's are, so that an answer is the one of `/v1/extract`; here they come by the hundred,
those of like length together, one batch a core.

Knows: rows, batches, threads. Does not know: catalogues, vocabularies.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_export.evaluation import Scorer
from service import scoring
from service.denial import Denial, ruled_out, surest
from service.matching.wording import normalised
from service.scoring import RowScores
from service.spans import Value, values
from service.text import QueryTokens, Row, Tokenizer, longest_row, pack, row_alone

BATCH_ROWS = 16
MOST_CHARACTERS = 10_000
"""Of a longer text the rest is not looked at; `/v1/extract` takes no longer one."""


class Told(NamedTuple):
    """What a text tells of an attribute: the most confident value that it does not deny, None where there is none, and
    what it denies of it, normalised.
    """

    value: Value | None
    ruled_out: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Reader:
    """A model that reads with so many threads at once; `threshold` is the least probability of a value's words."""

    model: Scorer
    tokenizer: Tokenizer
    threshold: float
    threads: int

    def values(self, asked: Sequence[tuple[str, Sequence[str]]]) -> list[list[Told]]:
        """For each text and names of attributes: what it tells of each.

        The name itself is no value, though the model may take it for one: "Size" in "black, size L".
        """
        queries = [self.tokenizer.query(text[:MOST_CHARACTERS]) for text, _ in asked]
        laid = [
            (place, row)
            for place, (query, (_, names)) in enumerate(zip(queries, asked, strict=True))
            for row in self._rows(query, names)
        ]
        found: list[list[Told]] = [[] for _ in asked]
        for (place, _), scores in zip(laid, self._scores([row for _, row in laid]), strict=True):
            text, query = asked[place][0], queries[place]
            denial = Denial(text)
            pairs = scoring.pair_scores(
                scores, query.word_of, threshold=self.threshold, conjunctions=query.conjunctions
            )
            for pair in pairs:
                name = normalised(self.tokenizer.plain(asked[place][1][len(found[place])]))
                told = denial.uncued(values(text, query, pair.spans))
                stated = [value for value in told if normalised(value.text) != name]
                negated = denial.denied(stated)
                found[place].append(Told(surest(stated, negated), ruled_out(stated, negated)))
        return found

    def _rows(self, query: QueryTokens, names: Sequence[str]) -> list[Row]:
        attributes = [self.tokenizer.attribute(name) for name in names]
        return pack(query, attributes, row_tokens=longest_row(query)) if names else []

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors (texts, width)."""
        queries = [self.tokenizer.query(text) for text in texts]
        rows = [row_alone(query) for query in queries]
        return np.array([scores.embedding for scores in self._scores(rows)])

    def reads_name(self, name: str) -> bool:
        """Whether anything of an attribute's name can be read."""
        return len(self.tokenizer.attribute(name)) > 1

    def reads_text(self, text: str) -> bool:
        """Whether anything of a text can be read."""
        return bool(self.tokenizer.query(text).starts)

    def _scores(self, rows: Sequence[Row]) -> list[RowScores]:
        """One answer a row, in order. Raises ModelFailed."""
        order = sorted(range(len(rows)), key=lambda place: len(rows[place].input_ids))
        batches = [order[first : first + BATCH_ROWS] for first in range(0, len(order), BATCH_ROWS)]
        scored: dict[int, RowScores] = {}
        with ThreadPoolExecutor(self.threads) as pool:
            answers = pool.map(self.model.run, [[rows[place] for place in batch] for batch in batches])
            for batch, scores in zip(batches, answers, strict=True):
                scored |= dict(zip(batch, scores, strict=True))
        return [scored[place] for place in range(len(rows))]
