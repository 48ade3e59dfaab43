"""Values of a text, and the vocabulary's entries that they mean: what reads the same first, then what is nearest."""

import time
from collections.abc import Sequence

import numpy as np
import pytest
from fakes import FakeScorer, FakeSecondLevel, FakeVectors, run

from service.embedding import Embedder
from service.errors import BadInput, DeadlineExceeded
from service.extracting import Extractor
from service.inflight import InFlight
from service.matching.parsing import Parser
from service.matching.units import Units
from service.matching.wording import normalised
from service.prior import Prior
from service.scoring import RowScores
from service.telemetry import Telemetry
from service.text import Row, Tokenizer
from service.weighting import Weigher


class FirstWord(FakeScorer):
    """Says that the first token states every attribute, and knows the directions of four colors."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        angles = {"navy": 0.1, "blue": 0.0, "red": 1.5, "crimson": 1.4}
        self.angles = {tokenizer.query(text).ids: angle for text, angle in angles.items()}
        self.embedded = 0

    async def score(self, rows: Sequence[Row]) -> list[RowScores]:
        self.embedded += sum(not row.ends for row in rows)
        return [self._says(row, score) for row, score in zip(rows, await super().score(rows), strict=True)]

    def _says(self, row: Row, score: RowScores) -> RowScores:
        score.value_logits[:, :1] = 9.0
        angle = self.angles.get(tuple(row.input_ids[: row.query_length]), 3.0)
        return score._replace(embedding=np.array([np.cos(angle), np.sin(angle), 0, 0], np.float32))


def extractor(tokenizer: Tokenizer, scorer: FakeScorer | None = None) -> Extractor:
    scorer, telemetry = scorer or FirstWord(tokenizer), Telemetry()
    weigher = Weigher(
        tokenizer, scorer, FakeSecondLevel(), InFlight(), Prior({}, 0.0), telemetry,
        temperature=1.0, value_threshold=0.5,
    )  # fmt: skip
    return Extractor(
        weigher, Embedder(tokenizer, scorer, FakeVectors(), telemetry, width=4, part_tokens=100), Parser(Units({}))
    )


def test_values_come_in_the_order_asked_and_without_a_vocabulary_nothing_is_embedded(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        scorer = FirstWord(tokenizer)
        found = await extractor(tokenizer, scorer).extract("Navy wool rug", ["size", "color"], {})
        assert [[stated.value.text for stated in values] for values in found.values] == [["Navy"], ["Navy"]]
        assert (found.hits, found.misses, found.truncated, scorer.embedded) == (0, 2, False, 0)
        assert found.values[0][0].nearest is None

    run(work)


def test_the_nearest_entry_is_the_one_that_the_value_agrees_with_most(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        found = await extractor(tokenizer).extract("Navy rug", ["color", "size"], {"color": ["red", "blue", "crimson"]})
        ((color,), (size,)) = found.values
        assert color.nearest
        assert color.nearest.entry == "blue"
        assert color.nearest.similarity == pytest.approx(0.8)
        assert size.nearest is None

    run(work)


def test_what_the_text_denies_is_told_with_its_nearest_entry(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        class SecondWord(FirstWord):
            def _says(self, row: Row, score: RowScores) -> RowScores:
                score = super()._says(row, score)
                score.value_logits[:, 0], score.value_logits[:, 1:2] = -9.0, 9.0
                return score

        it = extractor(tokenizer, SecondWord(tokenizer))
        plain, denied = [
            (await it.extract(text, ["color"], {"color": ["red"]})).values[0][0]
            for text in ("new red rug", "not red rug")
        ]
        assert (plain.value.text, plain.negated) == ("red", False)
        assert (denied.value.text, denied.negated, denied.nearest) == ("red", True, ("red", 1.0))

    run(work)


def test_what_reads_the_same_is_nearest_and_costs_no_vector(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        scorer = FirstWord(tokenizer)
        found = await extractor(tokenizer, scorer).extract("ＲＥＤ rug", ["color"], {"color": ["crimson", "Red "]})
        assert found.values[0][0].nearest == ("Red ", 1.0)
        assert scorer.embedded == 0

    run(work)


def test_entries_are_embedded_once(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        scorer = FirstWord(tokenizer)
        it = extractor(tokenizer, scorer)
        for text in ("navy rug", "crimson rug", "navy shoes"):
            await it.extract(text, ["color"], {"color": ["red", "blue"]})
        assert scorer.embedded == 4

    run(work)


def test_a_text_of_nothing_readable_is_named_as_the_text(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        with pytest.raises(BadInput, match="text") as caught:
            await extractor(tokenizer).extract("\u200b", ["color"], {})
        assert caught.value.field == "text"
        with pytest.raises(BadInput) as caught:
            await extractor(tokenizer).extract("rug", ["color", "\u200b"], {})
        assert caught.value.field == "attributes.1"

    run(work)


def test_no_values_come_past_the_deadline(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        scorer = FirstWord(tokenizer)
        scorer.gate.clear()
        with pytest.raises(DeadlineExceeded):
            await extractor(tokenizer, scorer).extract("rug", ["color"], {}, deadline=time.monotonic() + 0.02)

    run(work)


def test_a_text_longer_than_what_is_read_is_told(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        assert (await extractor(tokenizer).extract("red " + "rug " * 400, ["color"], {})).truncated

    run(work)


@pytest.mark.parametrize(("text", "plain"), [(" Navy  BLUE\t", "navy blue"), ("ｘｌ", "xl"), ("Straße", "strasse")])
def test_texts_are_compared_whatever_their_case_form_and_space(text: str, plain: str) -> None:
    assert normalised(text) == plain
