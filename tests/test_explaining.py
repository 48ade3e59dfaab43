"""Explanations: what each word adds to a logit, all of it told, within the request's own limits."""

import asyncio
import itertools
import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from fakes import FakeModel, FakeScorer, FakeSecondLevel, run, until
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from service.app import create_app
from service.batching import Batcher
from service.errors import BadInput, DeadlineExceeded, ModelFailed, Overloaded
from service.explaining import MOST_ENTRIES, effects, sub_queries
from service.inflight import InFlight
from service.prior import Prior
from service.scoring import RowScores
from service.settings import Settings
from service.telemetry import Telemetry
from service.text import Row, Tokenizer
from service.weighting import Scorer, Weigher

GOOD: dict[str, Any] = {"query": "red wool runner rug 2x8", "attributes": ["washing care", "color", "material", "size"]}
INT8_TOLERANCE = 1e-3


def explained(client: TestClient, query: str, attributes: Sequence[str], **options: object) -> dict[str, Any]:
    """The answer's attributes by name."""
    body = {"query": query, "attributes": list(attributes), "explain": True} | options
    response = client.post("/v1/weights", content=json.dumps(body))
    assert response.status_code == 200, response.text
    return {found["attribute"]: found for found in response.json()["weights"]}


def words(found: dict[str, Any]) -> list[str]:
    return [word["text"] for word in found["explanation"]]


@pytest.mark.parametrize(
    "query", ["rug", "red rug", GOOD["query"], "  RED   wool-rug, 2x8", "红色 rug 🧶", "rug " * 30]
)
def test_the_effects_add_up_to_the_logit_less_that_of_the_empty_query(client: TestClient, query: str) -> None:
    for found in explained(client, query, GOOD["attributes"]).values():
        assert found["explanation"]
        total = sum(word["effect"] for word in found["explanation"])
        assert total == pytest.approx(found["logit"] - found["base"], abs=1e-4)


def test_every_word_has_its_entry_in_order_as_it_was_sent(client: TestClient) -> None:
    query = "🧶 RED wool-rug"
    found = explained(client, query, ["color"])["color"]
    assert words(found) == ["🧶", "RED", "wool", "-", "rug"]
    assert [query[word["start"] : word["end"]] for word in found["explanation"]] == words(found)


def test_the_word_that_states_an_attribute_does_most_for_it(client: TestClient) -> None:
    for attribute, word in [("color", "red"), ("material", "wool"), ("size", "2x8")]:
        found = explained(client, GOOD["query"], GOOD["attributes"])[attribute]
        assert max(found["explanation"], key=lambda each: each["effect"])["text"] == word


def test_an_effect_is_the_mean_over_both_orders(client: TestClient) -> None:
    both, red, rug = (explained(client, query, ["color"])["color"] for query in ("red rug", "red", "rug"))
    first = ((both["logit"] - rug["logit"]) + (red["logit"] - both["base"])) / 2
    assert both["explanation"][0]["effect"] == pytest.approx(first, abs=2 * INT8_TOLERANCE)
    assert both["base"] == pytest.approx(red["base"], abs=INT8_TOLERANCE)


def test_neighbours_of_a_long_query_are_taken_together(client: TestClient) -> None:
    query = " ".join(f"rug{number}" for number in range(30))
    found = explained(client, query, ["color"])["color"]
    assert len(found["explanation"]) == MOST_ENTRIES
    assert " ".join(words(found)) == query


def test_spellings_of_one_attribute_are_explained_alike(client: TestClient) -> None:
    answer = explained(client, "red rug", ["color", "attr_t_color", "Color"])
    assert len(answer) == 3
    assert answer["color"]["explanation"] == answer["attr_t_color"]["explanation"] == answer["Color"]["explanation"]


def test_only_what_is_answered_is_explained(client: TestClient) -> None:
    whole = explained(client, GOOD["query"], GOOD["attributes"])
    (first,) = explained(client, GOOD["query"], GOOD["attributes"], top_k=1).values()
    assert first["base"] == pytest.approx(whole[first["attribute"]]["base"], abs=INT8_TOLERANCE)


def test_weights_and_cache_are_those_without_it(client: TestClient) -> None:
    body = GOOD | {"query": "a query that is explained"}
    asked = [client.post("/v1/weights", json=body | {"explain": explain}).json() for explain in (True, True, False)]
    with_it, _, without = asked
    added = {"logit", "base", "explanation"}
    assert [{name: w[name] for name in w if name not in added} for w in with_it["weights"]] == without["weights"]
    assert set(with_it["weights"][0]) - set(without["weights"][0]) == added
    assert [answer["cache"]["hits"] for answer in asked] == [0, 4, 4]


def test_each_request_of_a_batch_is_explained_for_itself(client: TestClient) -> None:
    requests = [GOOD | {"explain": True}, GOOD]
    first, second = client.post("/v1/weights/batch", json={"requests": requests}).json()["results"]
    assert words(first["weights"][0]) == ["red", "wool", "runner", "rug", "2x8"]
    assert "explanation" not in second["weights"][0]


def test_a_query_of_no_words_is_refused_as_without_it(client: TestClient) -> None:
    response = client.post("/v1/weights", json=GOOD | {"query": "\u200b", "explain": True})
    assert (response.status_code, response.json()["error"]["code"]) == (422, "unreadable")


def test_an_explanation_counts_against_the_queue() -> None:
    with TestClient(create_app(Settings(device="cpu", queue_rows=1))) as client:
        assert client.post("/v1/weights", json=GOOD).status_code == 200
        response = client.post("/v1/weights", json=GOOD | {"explain": True})
        assert (response.status_code, response.json()["error"]["code"]) == (503, "overloaded")
        for found in explained(client, GOOD["query"], GOOD["attributes"], fallback=True).values():
            assert (found["explanation"], found["base"]) == (None, None)


def test_an_answer_without_the_model_is_not_explained() -> None:
    with TestClient(create_app(Settings(device="cpu", queue_rows=1))) as client:
        names = [f"{i} " + "long " * 20 for i in range(256)]
        body = {"query": "rug", "attributes": names, "explain": True, "fallback": True}
        answer = client.post("/v1/weights", json=body).json()
    assert answer["degraded_reason"] == "overloaded"
    assert {found["explanation"] for found in answer["weights"]} == {None}


# Where the model's work has to be held still: the use case itself.


def weigher(tokenizer: Tokenizer, scorer: Scorer) -> Weigher:
    parts = (tokenizer, scorer, FakeSecondLevel(), InFlight(), Prior({}, 0.0), Telemetry())
    return Weigher(*parts, temperature=1e4, value_threshold=0.5)


class FailsLater(FakeScorer):
    """Scores the first rows it is asked for, and fails on all after them."""

    async def score(self, rows: Sequence[Row]) -> list[RowScores]:
        scores = await super().score(rows)
        self.failure = ModelFailed("broken")
        return scores


def test_without_it_the_model_is_asked_no_more(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        scorer = FakeScorer()
        answer = await weigher(tokenizer, scorer).weigh("red wool rug", ["color", "size"])
        assert [found.explanation for found in answer.attributes] == [None, None]
        assert len(scorer.rows) == 1

    run(work)


def test_the_first_attributes_alone_are_asked_for(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        scorer = FakeScorer()
        answer = await weigher(tokenizer, scorer).weigh("red wool rug", ["color", "size", "brand"], explain=1)
        assert [found.explanation is None for found in answer.attributes] == [False, True, True]
        assert scorer.candidates == 3 + (2 * (3 - 1) + 1)

    run(work)


def test_many_attributes_are_explained_in_several_rows_of_a_sub_query(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        names = [f"attribute number {i}" for i in range(100)]
        scorer = FakeScorer()
        answer = await weigher(tokenizer, scorer).weigh("red rug", names, explain=100)
        assert len(scorer.rows) > 2 * 4
        assert all(found.explanation and found.explanation.base == found.logit for found in answer.attributes)

    run(work)


def test_a_model_that_fails_on_it_fails_the_request_unless_it_takes_a_fallback(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        with pytest.raises(ModelFailed):
            await weigher(tokenizer, FailsLater()).weigh("rug", ["color"], explain=1)
        answer = await weigher(tokenizer, FailsLater()).weigh("rug", ["color"], explain=1, fallback=True)
        assert (answer.degraded, answer.attributes[0].explanation) == ("", None)
        assert answer.attributes[0].logit != 0.0

    run(work)


@pytest.mark.parametrize("fallback", [False, True])
def test_no_explanation_comes_past_the_deadline(tokenizer: Tokenizer, fallback: bool) -> None:
    async def work() -> None:
        scorer = FakeScorer()
        it = weigher(tokenizer, scorer)
        await it.weigh("rug", ["color"])
        scorer.gate.clear()
        asked = it.weigh("rug", ["color"], explain=1, deadline=time.monotonic() + 0.05, fallback=fallback)
        if fallback:
            assert (await asked).attributes[0].explanation is None
        else:
            with pytest.raises(DeadlineExceeded):
                await asked

    run(work)


def test_the_rows_of_a_caller_who_gives_up_reach_the_model_no_more(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        model = FakeModel()
        async with Batcher(model, Telemetry(), threads=1, batch_tokens=1, queue_rows=99) as batcher:
            it = weigher(tokenizer, batcher)
            await it.weigh("red wool runner rug", ["color"])
            model.gate.clear()
            asked = asyncio.create_task(it.weigh("red wool runner rug", ["color"], explain=1))
            await until(lambda: model.begun == 2)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
            model.gate.set()
            await it.weigh("lamp", ["color"])
            assert len(model.batches) == 3

    run(work)


def test_more_than_can_be_done_in_time_is_refused_at_once(tokenizer: Tokenizer) -> None:
    class Full(FakeScorer):
        def admit(self, tokens: int, *, deadline: float) -> None:
            if tokens > 20 and deadline < float("inf"):
                raise Overloaded("too long")

    async def work() -> None:
        scorer = Full()
        it = weigher(tokenizer, scorer)
        with pytest.raises(Overloaded):
            await it.weigh("red wool rug", ["color"], explain=1, deadline=time.monotonic() + 9)
        assert len(scorer.rows) == 1

    run(work)


def test_a_query_of_no_words_is_named(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        with pytest.raises(BadInput):
            await weigher(tokenizer, FakeScorer()).weigh("\u0007", ["color"], explain=1)

    run(work)


# The arithmetic.


def test_sub_queries_are_made_of_the_querys_own_tokens(tokenizer: Tokenizer) -> None:
    query = tokenizer.query("unscented wool rug")
    alone = [tokenizer.query(text) for text in ("wool rug", "rug", "unscented", "unscented wool", "")]
    assert [(part.ids, part.word_of) for part in sub_queries(query)] == [(part.ids, part.word_of) for part in alone]


@pytest.mark.parametrize(("count", "parts"), [(1, 1), (2, 3), (5, 9), (24, 47), (25, 47), (382, 47)])
def test_a_query_has_twice_its_words_less_one_sub_queries(tokenizer: Tokenizer, count: int, parts: int) -> None:
    assert len(sub_queries(tokenizer.query("x " * count))) == parts


GAME = st.lists(st.floats(-9, 9), min_size=1, max_size=12)


@given(worth=GAME)
def test_words_that_add_up_have_what_they_are_worth(worth: list[float]) -> None:
    after = [sum(worth[place:]) for place in range(1, len(worth))]
    before = list(itertools.accumulate(worth))[:-1]
    assert effects(sum(worth), [*after, *before, 0.0]) == pytest.approx(worth, abs=1e-9)


def test_what_two_words_do_together_is_shared_between_them() -> None:
    assert effects(4.0, [0.0, 1.0, 0.0]) == [2.5, 1.5]


@given(logit=st.floats(-99, 99), pairs=st.lists(st.tuples(*[st.floats(-99, 99)] * 2)), base=st.floats(-99, 99))
def test_whatever_the_logits_the_effects_add_up(logit: float, pairs: list[tuple[float, float]], base: float) -> None:
    less = [*itertools.chain.from_iterable(pairs), base]
    assert sum(effects(logit, less)) == pytest.approx(logit - less[-1], abs=1e-9)
