"""The use case: what is known is not scored again, what is answered is the caller's own text."""

from collections.abc import Sequence

import pytest
from fakes import FakeScorer, FakeSecondLevel, run

from service.errors import BadInput
from service.inflight import InFlight
from service.prior import Prior
from service.scoring import RowScores
from service.telemetry import Telemetry
from service.text import Row, Tokenizer
from service.weighting import Weigher


def weigher(tokenizer: Tokenizer, scorer: FakeScorer, cache: FakeSecondLevel) -> Weigher:
    prior = Prior({}, 0.0)
    return Weigher(tokenizer, scorer, cache, InFlight(), prior, Telemetry(), temperature=1e4, value_threshold=0.5)


class ValueScorer(FakeScorer):
    """Says that the first two words of the query state every attribute."""

    async def score(self, rows: Sequence[Row], *, deadline: float) -> list[RowScores]:
        scores = await super().score(rows, deadline=deadline)
        for score in scores:
            score.value_logits[:, :2] = 9.0
        return scores


def test_a_request_that_adds_two_attributes_scores_two(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        scorer, cache = FakeScorer(), FakeSecondLevel()
        it = weigher(tokenizer, scorer, cache)
        await it.weigh("red rug", ["color", "size"])
        answer = await it.weigh("red rug", ["brand", "color", "material", "size"])
        assert (answer.hits, answer.misses, scorer.candidates) == (2, 2, 4)

    run(work)


def test_the_cache_changes_no_weight(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        it = weigher(tokenizer, FakeScorer(), FakeSecondLevel())
        names = ["color", "size", "brand"]
        first, second = await it.weigh("red rug", names), await it.weigh("red rug", names)
        assert first.attributes == second.attributes
        assert second.misses == 0

    run(work)


def test_another_case_and_spacing_is_the_same_query_with_its_own_offsets(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        it = weigher(tokenizer, ValueScorer(), FakeSecondLevel())
        await it.weigh("red wool rug", ["color"])
        answer = await it.weigh("  RED   Wool rug", ["Color"])
        (value,) = answer.attributes[0].values
        assert (answer.hits, value.text, value.start, value.end) == (1, "RED   Wool", 2, 12)

    run(work)


def test_two_attributes_the_model_cannot_tell_apart_are_scored_once(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        scorer = FakeScorer()
        answer = await weigher(tokenizer, scorer, FakeSecondLevel()).weigh("rug", ["Color", "color"])
        assert scorer.candidates == 1
        assert [found.weight for found in answer.attributes] == [0.5, 0.5]
        assert [found.position for found in answer.attributes] == [0, 1]

    run(work)


def test_many_attributes_go_into_several_rows_with_the_same_logits(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        names = [f"attribute number {i}" for i in range(256)]
        scorer = FakeScorer()
        it = weigher(tokenizer, scorer, FakeSecondLevel())
        together = await it.weigh("red rug", names)
        alone = await weigher(tokenizer, FakeScorer(), FakeSecondLevel()).weigh("red rug", names[200:201])
        assert len(scorer.rows) > 1
        logits = {found.attribute: found.logit for found in together.attributes}
        assert logits[names[200]] == alone.attributes[0].logit

    run(work)


@pytest.mark.parametrize(
    ("query", "attribute", "field"), [("\u0007", "color", "query"), ("rug", "\u0007", "attributes.0")]
)
def test_a_text_of_nothing_readable_is_named(tokenizer: Tokenizer, query: str, attribute: str, field: str) -> None:
    async def work() -> None:
        with pytest.raises(BadInput) as caught:
            await weigher(tokenizer, FakeScorer(), FakeSecondLevel()).weigh(query, [attribute])
        assert caught.value.field == field

    run(work)
