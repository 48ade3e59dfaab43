"""The steps from a query and products to an order: whose value counts for whom, what is left when the model is not."""

import time
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from fakes import Bystander, FakeScorer, FakeSecondLevel, run
from numpy.typing import NDArray

from service import turns
from service.bundle import Formula
from service.errors import BadInput, DeadlineExceeded, Overloaded
from service.inflight import InFlight
from service.matching.parsing import Found, Parser, Value
from service.matching.products import Product
from service.matching.units import Units
from service.prior import Prior
from service.ranking import Preferences, Ranker, Ranking, attributes_of
from service.scoring import RowScores
from service.telemetry import Telemetry
from service.text import Row, Tokenizer
from service.weighting import Weigher

FORMULA = Formula(overlap=0.1, exclusion=0.2, strength=1.0, join=0.8)


@pytest.fixture(scope="module")
def parser() -> Parser:
    return Parser(Units.read())


class States(FakeScorer):
    """Says that the first token states the attribute of that name, and no other."""

    def __init__(self, tokenizer: Tokenizer, name: str) -> None:
        super().__init__()
        self.name = tokenizer.attribute(name)

    async def score(self, rows: Sequence[Row]) -> list[RowScores]:
        found = await super().score(rows)
        for row, score in zip(rows, found, strict=True):
            score.value_logits[:] = -9.0
            begins = [row.query_length, *(end + 1 for end in row.ends)]
            for place, (begin, end) in enumerate(zip(begins, row.ends, strict=False)):
                if tuple(row.input_ids[begin : end + 1]) == self.name:
                    score.value_logits[place, 0] = 9.0
        return found


class Directions:
    """Embeds texts as directions in the plane; those that it does not know are all alike."""

    def __init__(self, angles: Mapping[str, float], failure: Exception | None = None) -> None:
        self.angles, self.failure, self.asked = angles, failure, 0

    async def vectors(self, texts: Sequence[str], *, deadline: float) -> NDArray[np.float32]:  # noqa: ARG002
        if self.failure:
            raise self.failure
        self.asked += len(texts)
        angles = np.array([self.angles.get(text, 3.0) for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


NAMES = {"color": 0.0, "product colour": 0.1, "material": 1.5, "shade": 0.2}


def ranker(
    tokenizer: Tokenizer,
    parser: Parser,
    embedder: Directions | None = None,
    scorer: FakeScorer | None = None,
    telemetry: Telemetry | None = None,
) -> Ranker:
    telemetry = telemetry or Telemetry()
    weigher = Weigher(
        tokenizer, scorer or States(tokenizer, "color"), FakeSecondLevel(), InFlight(), Prior({}, 0.0), telemetry,
        temperature=1.0, value_threshold=0.5,
    )  # fmt: skip
    return Ranker(weigher, embedder or Directions(NAMES), parser, FORMULA, tokenizer.plain, telemetry)


def matches(ranking: Ranking) -> dict[tuple[int, str], float]:
    """The match of every term, by product and attribute."""
    return {(each.index, term.attribute): term.match for each in ranking.products for term in each.scored.terms}


def test_a_stated_value_counts_for_names_that_mean_the_same(tokenizer: Tokenizer, parser: Parser) -> None:
    products = [
        Product("rug", {"color": "red", "material": "red"}),
        Product("rug", {"product_colour": "red"}),
        Product("rug", {"product_colour": "blue"}),
    ]

    async def work() -> None:
        found = await ranker(tokenizer, parser).rank("red rug", products)
        assert matches(found).keys() == {(0, "color"), (1, "product_colour"), (2, "product_colour")}
        assert matches(found)[1, "product_colour"] > 0.9
        assert matches(found)[2, "product_colour"] < -0.9
        assert found.products[-1].index == 2

    run(work)


def test_a_preference_counts_for_names_that_mean_the_same(tokenizer: Tokenizer, parser: Parser) -> None:
    products = [Product("rug", {"product_colour": "blue"}), Product("rug", {"product_colour": "red"})]

    async def work() -> None:
        one = ranker(tokenizer, parser, scorer=States(tokenizer, "nothing"))
        found = await one.rank("big rug", products, preferences={"shade": {"red": 1.0}, "material": {"blue": 1.0}})
        assert [each.index for each in found.products] == [1, 0]

    run(work)


def test_nothing_counts_for_names_of_another_side_however_near(tokenizer: Tokenizer, parser: Parser) -> None:
    products = [Product("rug", {"color": "red", "secondary color": "red"})]
    near = Directions({"color": 0.0, "secondary color": 0.0})

    async def work() -> None:
        found = await ranker(tokenizer, parser, near).rank("red rug", products)
        assert matches(found).keys() == {(0, "color")}
        one = ranker(tokenizer, parser, near, States(tokenizer, "nothing"))
        found = await one.rank("big rug", products, preferences={"color": {"red": 1.0}})
        assert matches(found).keys() == {(0, "color")}

    run(work)


def test_the_nearest_name_that_is_not_apart_is_the_one_that_counts(tokenizer: Tokenizer, parser: Parser) -> None:
    near = Directions({"color": 0.0, "product colour": 0.1, "secondary color": 0.05, "material": 1.5})
    preferences = {"secondary color": {"blue": 1.0}, "color": {"red": 1.0}}

    async def work() -> None:
        one = ranker(tokenizer, parser, near, States(tokenizer, "nothing"))
        products = [Product("rug", {"product_colour": color}) for color in ("blue", "red")]
        found = await one.rank("big rug", products, preferences=preferences)
        assert [each.index for each in found.products] == [1, 0]

    run(work)


def test_names_are_compared_only_where_something_can_be_joined(tokenizer: Tokenizer, parser: Parser) -> None:
    async def work() -> None:
        embedder = Directions(NAMES)
        one = ranker(tokenizer, parser, embedder, States(tokenizer, "nothing"))
        await one.rank("big rug", [Product("rug", {"color": "red"})])
        assert embedder.asked == 2  # the query and the title

    run(work)


def test_the_weights_are_of_the_products_names_and_sum_to_one(tokenizer: Tokenizer, parser: Parser) -> None:
    async def work() -> None:
        found = await ranker(tokenizer, parser).rank("red rug", [Product("a", {"x": 1.0}), Product("b", {"y": 1.0})])
        assert found.weighting is not None
        assert {each.attribute for each in found.weighting.attributes} == {"x", "y"}
        assert sum(each.weight for each in found.weighting.attributes) == pytest.approx(1)

    run(work)


def test_the_names_that_most_products_have_come_first_and_unreadable_ones_never() -> None:
    products = [Product("", {"a": 1.0, "b": 1.0, "???": 1.0}), Product("", {"b": 1.0})]
    assert attributes_of(products) == ["b", "a"]
    many = [Product("", {f"name {number}": 1.0 for number in range(300)})]
    assert len(attributes_of(many)) == 256


def test_a_query_that_cannot_be_read_is_refused(tokenizer: Tokenizer, parser: Parser) -> None:
    async def work() -> None:
        with pytest.raises(BadInput) as refused:
            await ranker(tokenizer, parser).rank("\u200b", [Product("rug", {})])
        assert refused.value.field == "query"

    run(work)


def test_texts_that_cannot_be_embedded_are_an_error(tokenizer: Tokenizer, parser: Parser) -> None:
    async def work() -> None:
        with pytest.raises(Overloaded):
            await ranker(tokenizer, parser, Directions({}, Overloaded("full"))).rank("rug", [Product("rug", {})])

    run(work)


def test_with_a_fallback_words_alone_put_products_in_order(tokenizer: Tokenizer, parser: Parser) -> None:
    async def work() -> None:
        one = ranker(tokenizer, parser, Directions({}, Overloaded("full")))
        found = await one.rank("wool rug", [Product("lamp", {}), Product("wool rug", {})], fallback=True)
        assert [each.index for each in found.products] == [1, 0]
        assert found.degraded == "overloaded"

    run(work)


def test_with_a_fallback_a_preference_still_counts_for_the_name_itself(tokenizer: Tokenizer, parser: Parser) -> None:
    products = [Product("rug", {"shade": "blue", "material": "wool"}), Product("rug", {"shade": "red"})]

    async def work() -> None:
        one = ranker(tokenizer, parser, Directions({}, Overloaded("full")), States(tokenizer, "nothing"))
        preferences = {"shade": {"red": 1.0}, "tint": {"wool": 1.0}}
        found = await one.rank("rug", products, preferences=preferences, fallback=True)
        assert [each.index for each in found.products] == [1, 0]
        assert matches(found).keys() == {(0, "shade"), (1, "shade")}

    run(work)


@pytest.mark.parametrize("attributes", [{}, {"color": "red"}])
@pytest.mark.parametrize("weighs", [True, False])
def test_an_answer_without_the_model_is_counted_once(
    tokenizer: Tokenizer, parser: Parser, attributes: dict[str, Value], weighs: bool
) -> None:
    async def work() -> None:
        telemetry = Telemetry()
        scorer = States(tokenizer, "color") if weighs else FakeScorer(Overloaded("full"))
        one = ranker(tokenizer, parser, Directions({}, Overloaded("full")), scorer, telemetry)
        await one.rank("red rug", [Product("rug", attributes)], fallback=True)
        assert telemetry.registry.get_sample_value("ranker_degraded_total", {"reason": "overloaded"}) == 1

    run(work)


@pytest.mark.parametrize(
    ("products", "preferences", "times"),
    [
        ([Product("rug", {"color": "blue"})] * 1000, {}, 1000),
        ([Product("rug", {f"name {n}": "blue" for n in range(200)})], {"name 1": {"blue": 1.0}}, 200),
        ([Product("rug", {"shade": "blue"})], {"shade": {f"blue {n}": 0.5 for n in range(64)}}, 64),
    ],
    ids=["many products", "many values", "many preferences"],
)
def test_others_are_heard_while_much_is_read(
    tokenizer: Tokenizer,
    parser: Parser,
    monkeypatch: pytest.MonkeyPatch,
    products: list[Product],
    preferences: Preferences,
    times: int,
) -> None:
    class Listens(Directions):
        async def vectors(self, texts: Sequence[str], *, deadline: float) -> NDArray[np.float32]:
            self.heard_before = other.heard
            return await super().vectors(texts, deadline=deadline)

    other = Bystander()

    async def work() -> None:
        embedder = Listens(NAMES)
        async with other:
            await ranker(tokenizer, parser, embedder).rank("red rug", products, preferences=preferences)
        assert embedder.heard_before >= times

    monkeypatch.setattr(turns, "TURN_S", 0.0)
    run(work)


def test_work_that_outlasts_the_deadline_is_given_up(tokenizer: Tokenizer, parser: Parser) -> None:
    class Slow(Parser):
        def found(self, value: Value) -> Found:
            time.sleep(0.02)
            return super().found(value)

    async def work() -> None:
        products = [Product("rug", {"color": f"blue {n}"}) for n in range(1000)]
        begun = time.monotonic()
        with pytest.raises(DeadlineExceeded, match="the work was not done"):
            await ranker(tokenizer, Slow(parser.units)).rank("red rug", products, deadline=begun + 1)

    run(work)


def test_an_answer_that_comes_too_late_is_an_error(tokenizer: Tokenizer, parser: Parser) -> None:
    async def work() -> None:
        with pytest.raises(DeadlineExceeded):
            await ranker(tokenizer, parser).rank("rug", [Product("rug", {})], deadline=time.monotonic() - 1)

    run(work)
