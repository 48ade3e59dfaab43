"""The use case: what is known is not scored again, what is answered is the caller's own text."""

import asyncio
import logging
import math
import time
from collections.abc import Sequence

import pytest
from fakes import EvidenceLedger, FakeModel, FakeScorer, FakeSecondLevel, RedisServer, run, until
from test_ledgers import LIMITS

from service.batching import Batcher
from service.cache.connection import Command, connect
from service.cache.ledger import RedisLedger
from service.cache.levels import PairCache
from service.cache.memory import MemoryCache
from service.cache.redis import RedisCache
from service.errors import BadInput, DeadlineExceeded, ModelFailed, Overloaded, RankerError
from service.evidence import HalfLives, Shrinkage
from service.feedback import keys
from service.feedback.dynamics import Dynamics, Options
from service.feedback.ledger import Ledger
from service.feedback.people import Personal
from service.feedback.snapshots import Snapshots
from service.inflight import InFlight
from service.prior import Prior
from service.scoring import PairScore, RowScores
from service.telemetry import JsonLines, Telemetry, request_id
from service.text import Row, Tokenizer, attribute_key
from service.weighting import Cache, Scorer, Weigher, Weighting


def weigher(
    tokenizer: Tokenizer,
    scorer: Scorer,
    cache: Cache,
    *,
    prior: Prior | None = None,
    telemetry: Telemetry | None = None,
) -> Weigher:
    prior, telemetry = prior or Prior({}, 0.0), telemetry or Telemetry()
    return Weigher(tokenizer, scorer, cache, InFlight(), prior, telemetry, temperature=1e4, value_threshold=0.5)


class ValueScorer(FakeScorer):
    """Says that the first two words of the query state every attribute."""

    async def score(self, rows: Sequence[Row]) -> list[RowScores]:
        scores = await super().score(rows)
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


def test_a_long_query_is_weighed_but_its_tokens_are_not_kept(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        it, long = weigher(tokenizer, FakeScorer(), FakeSecondLevel()), "rug " * 300
        short, first, second = [await it.weigh(text, ["color"]) for text in ("rug", long, long)]
        assert (first.misses, second.hits) == (1, 1)
        assert it._query.cache_info().currsize == 1
        assert short.attributes[0].attribute == "color"

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


FAILURES: dict[str, RankerError] = {"overloaded": Overloaded("full"), "model_failed": ModelFailed("broken")}


@pytest.mark.parametrize("reason", FAILURES)
def test_a_fallback_is_the_cache_and_the_prior_and_says_why(tokenizer: Tokenizer, reason: str) -> None:
    async def work() -> None:
        scorer = FakeScorer()
        prior = Prior({attribute_key(tokenizer.attribute("size")): 3.5}, -1.5)
        it = weigher(tokenizer, scorer, FakeSecondLevel(), prior=prior)
        known = (await it.weigh("red rug", ["color"])).attributes[0].logit
        scorer.failure = FAILURES[reason]
        answer = await it.weigh("red rug", ["color", "Size", "brand"], fallback=True)
        assert {a.attribute: a.logit for a in answer.attributes} == {"color": known, "Size": 3.5, "brand": -1.5}
        assert (answer.degraded, answer.hits, answer.misses) == (reason, 1, 2)

    run(work)


@pytest.mark.parametrize("reason", FAILURES)
def test_without_a_fallback_what_went_wrong_is_raised(tokenizer: Tokenizer, reason: str) -> None:
    async def work() -> None:
        with pytest.raises(type(FAILURES[reason])):
            await weigher(tokenizer, FakeScorer(FAILURES[reason]), FakeSecondLevel()).weigh("rug", ["color"])

    run(work)


def hung() -> FakeScorer:
    scorer = FakeScorer()
    scorer.gate.clear()
    return scorer


def test_no_answer_comes_past_the_deadline(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        it = weigher(tokenizer, hung(), FakeSecondLevel())
        with pytest.raises(DeadlineExceeded):
            await it.weigh("rug", ["color"], deadline=time.monotonic() + 0.02)

    run(work)


def test_a_fallback_comes_before_the_deadline(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        deadline = time.monotonic() + 1
        answer = await weigher(tokenizer, hung(), FakeSecondLevel()).weigh(
            "rug", ["color"], deadline=deadline, fallback=True
        )
        assert time.monotonic() < deadline
        assert answer.degraded == "deadline_exceeded"

    run(work)


def test_a_deadline_that_has_passed_already_is_kept(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        it = weigher(tokenizer, FakeScorer(), FakeSecondLevel())
        with pytest.raises(DeadlineExceeded):
            await it.weigh("rug", ["color"], deadline=0.0)

    run(work)


def test_what_is_known_is_answered_whatever_the_model_does(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        scorer = FakeScorer()
        it = weigher(tokenizer, scorer, FakeSecondLevel())
        await it.weigh("rug", ["color", "size"])
        scorer.failure = ModelFailed("broken")
        answer = await it.weigh("rug", ["size", "color"], fallback=True)
        assert (answer.degraded, answer.hits, answer.misses) == ("", 2, 0)

    run(work)


def test_a_fallback_is_never_cached(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        scorer, cache = FakeScorer(ModelFailed("broken")), FakeSecondLevel()
        it = weigher(tokenizer, scorer, cache)
        await it.weigh("rug", ["color"], fallback=True)
        scorer.failure = None
        answer = await it.weigh("rug", ["color"])
        assert (answer.degraded, answer.misses) == ("", 1)
        assert answer.attributes[0].logit != 0.0

    run(work)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_with_nothing_to_do_share_a_request_and_its_logits_stay_the_same(
    tokenizer: Tokenizer, threads: int
) -> None:
    async def work() -> None:
        names = [f"attribute number {i}" for i in range(24)]
        shared, whole = FakeScorer(spare_threads=threads), FakeScorer(spare_threads=1)
        split = await weigher(tokenizer, shared, FakeSecondLevel()).weigh("red rug", names)
        assert (
            split.attributes == (await weigher(tokenizer, whole, FakeSecondLevel()).weigh("red rug", names)).attributes
        )
        assert (len(shared.rows), len(whole.rows)) == (threads, 1)

    run(work)


def test_a_short_request_is_not_split(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        scorer = FakeScorer(spare_threads=8)
        await weigher(tokenizer, scorer, FakeSecondLevel()).weigh("red rug", ["color", "size", "brand"])
        assert len(scorer.rows) == 1

    run(work)


def levels(telemetry: Telemetry) -> dict[str, float | None]:
    """How many pairs were found where, so far."""
    count = telemetry.registry.get_sample_value
    return {name: count("ranker_cache_pairs_total", {"level": name}) for name in ("memory", "redis", "joined", "miss")}


def test_every_pair_is_counted_where_it_was_found(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        telemetry, scorer, far = Telemetry(), FakeScorer(), FakeSecondLevel()

        def new() -> Weigher:
            memory = MemoryCache(100, memory=10**6)
            return weigher(tokenizer, scorer, PairCache(memory, far, telemetry, version="v"), telemetry=telemetry)

        await new().weigh("rug", ["color", "size"])
        assert levels(telemetry) == {"memory": 0, "redis": 0, "joined": 0, "miss": 2}
        again = new()
        answer = await again.weigh("rug", ["color", "size", "brand"])
        assert (answer.hits, answer.misses) == (2, 1)
        assert levels(telemetry) == {"memory": 0, "redis": 2, "joined": 0, "miss": 3}
        await again.weigh("rug", ["color", "size", "brand"])
        assert levels(telemetry) == {"memory": 3, "redis": 2, "joined": 0, "miss": 3}

    run(work)


def test_a_pair_that_another_request_is_waiting_for_counts_as_joined(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        telemetry, scorer = Telemetry(), hung()
        it = weigher(tokenizer, scorer, FakeSecondLevel(), telemetry=telemetry)
        first = asyncio.create_task(it.weigh("rug", ["color", "size", "brand"]))
        await until(lambda: scorer.rows)
        second = asyncio.create_task(it.weigh("rug", ["size", "price"]))
        await until(lambda: len(scorer.rows) == 2)
        scorer.gate.set()
        assert [(a.hits, a.misses) for a in await asyncio.gather(first, second)] == [(0, 3), (0, 2)]
        assert levels(telemetry) == {"memory": 0, "redis": 0, "joined": 1, "miss": 4}

    run(work)


def test_a_fallback_is_counted_by_its_reason(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        telemetry = Telemetry()
        it = weigher(tokenizer, FakeScorer(ModelFailed("broken")), FakeSecondLevel(), telemetry=telemetry)
        await it.weigh("rug", ["color", "size"], fallback=True)
        count = telemetry.registry.get_sample_value
        told = [count("ranker_degraded_total", {"reason": reason}) for reason in ("overloaded", "model_failed")]
        assert told == [0, 1]

    run(work)


def test_who_gives_up_takes_nothing_from_who_waits_for_the_same(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        scorer = hung()
        it = weigher(tokenizer, scorer, FakeSecondLevel())
        hasty = asyncio.create_task(it.weigh("rug", ["color"], deadline=time.monotonic() + 0.02))
        await until(lambda: scorer.rows)
        patient = asyncio.create_task(it.weigh("rug", ["color"]))
        with pytest.raises(DeadlineExceeded):
            await hasty
        scorer.gate.set()
        assert (await patient).degraded == ""
        assert scorer.candidates == 1

    run(work)


def test_the_log_of_a_model_that_failed_holds_no_text(tokenizer: Tokenizer, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        request_id.set("request-1")
        model = FakeModel(lambda rows: ValueError("boom"))
        async with Batcher(model, Telemetry(), threads=1, batch_tokens=64, queue_rows=9) as batcher:
            with pytest.raises(ModelFailed):
                await weigher(tokenizer, batcher, FakeSecondLevel()).weigh("zanzibar carpet", ["quillwork"])

    with caplog.at_level(logging.DEBUG):
        run(work)
    (line,) = [JsonLines().format(record) for record in caplog.records if record.name == "service.batching"]
    assert "request-1" in line
    assert "zanzibar" not in line
    assert "quillwork" not in line


def test_a_model_that_hangs_keeps_nobody_past_the_deadline(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        model = FakeModel()
        model.gate.clear()
        async with Batcher(model, Telemetry(), threads=1, batch_tokens=64, queue_rows=9) as batcher:
            it = weigher(tokenizer, batcher, FakeSecondLevel())
            for n in range(3):
                with pytest.raises((DeadlineExceeded, Overloaded)):
                    await it.weigh(f"rug {n}", ["color"], deadline=time.monotonic() + 0.02)
            model.gate.set()

    run(work)


class States(FakeScorer):
    """Says that the last word of the query states every attribute."""

    async def score(self, rows: Sequence[Row]) -> list[RowScores]:
        scores = await super().score(rows)
        for score in scores:
            score.value_logits[:, -1] = 9.0
        return scores


def moved(tokenizer: Tokenizer, ledger: Ledger, *, cache: Cache | None = None, scorer: Scorer | None = None) -> Weigher:
    """A weigher with feedback on."""
    options = Options(
        HalfLives(1e9, 1e9),
        Shrinkage(1e-6, 0.5, 5),
        value_prior=1e-6,
        strength=1.0,
        liking=0.1,
        explore=0.0,
        explore_scale=0.3,
        personal=Personal(0.5, 0.5, 1.0),
    )
    return Weigher(
        tokenizer, scorer or FakeScorer(), cache or FakeSecondLevel(), InFlight(), Prior({}, 0.0), Telemetry(),
        temperature=1e4, value_threshold=0.5, dynamics=Dynamics(Snapshots(ledger), options),
    )  # fmt: skip


def weights_of(weighting: Weighting) -> dict[str, float]:
    return {found.attribute: found.weight for found in weighting.attributes}


def test_evidence_moves_weights_and_leaves_logits(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        ledger = EvidenceLedger()
        await ledger.say(keys.query_scope("red rug"), size=3)
        plain = await weigher(tokenizer, FakeScorer(), FakeSecondLevel()).weigh("red rug", ["color", "size"])
        found = await moved(tokenizer, ledger).weigh("red rug", ["color", "size"])
        before, after = weights_of(plain), weights_of(found)
        assert after["size"] / after["color"] == pytest.approx(3 * before["size"] / before["color"], rel=1e-5)
        assert {each.logit for each in found.attributes} == {each.logit for each in plain.attributes}
        assert found.entropy == pytest.approx(-sum(weight * math.log(weight) for weight in after.values()))

    run(work)


def test_an_answer_again_is_the_same_until_evidence_is_another(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        ledger = EvidenceLedger()
        it = moved(tokenizer, ledger)
        await it.weigh("red rug", ["color", "size"])
        first, second = [await it.weigh("red rug", ["color", "size"]) for _ in range(2)]
        assert (first.attributes, first.entropy, first.hits) == (second.attributes, second.entropy, second.hits)
        await ledger.say(keys.EVERYTHING, size=3)
        fresh = await moved(tokenizer, ledger).weigh("red rug", ["color", "size"])
        assert weights_of(fresh) != weights_of(first)

    run(work)


def test_an_answer_again_has_the_words_of_its_own_query(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        it = moved(tokenizer, EvidenceLedger(), scorer=States())
        found = [
            (await it.weigh(query, ["color"])).attributes[0].values[0].text for query in ("a rug", "a  RUG", "a rug")
        ]
        assert found == ["rug", "RUG", "rug"]

    run(work)


def test_evidence_is_asked_for_before_the_pairs_that_are_far(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        ledger = EvidenceLedger()

        class Far(FakeSecondLevel):
            async def far(self, query: bytes, attributes: Sequence[bytes], *, within: float) -> dict[bytes, PairScore]:
                await asyncio.sleep(0)
                assert ledger.read == [[keys.query_scope("red rug"), keys.EVERYTHING]]
                return await super().far(query, attributes, within=within)

        await moved(tokenizer, ledger, cache=Far()).weigh("red rug", ["color"])

    run(work)


class Counting:
    """A client of a real Redis that remembers what went out together."""

    def __init__(self, url: str) -> None:
        self._client = connect(url)
        self.pipelines: list[list[tuple[object, object]]] = []

    async def run(self, commands: Sequence[Command]) -> list[object]:
        self.pipelines.append([(name, key) for name, key, *_ in commands])
        return await self._client.run(commands)

    async def aclose(self) -> None:
        await self._client.aclose()


def test_evidence_is_read_in_the_pipeline_of_the_cached_pairs(tokenizer: Tokenizer, redis_server: RedisServer) -> None:
    async def work() -> None:
        client, telemetry, scorer = Counting(redis_server.url), Telemetry(), FakeScorer()
        async with RedisCache(client, telemetry, prefix="t", timeout=1.0, ttl_s=60) as redis:
            ledger = RedisLedger(client, redis, LIMITS, telemetry, prefix="t")

            def new() -> Weigher:
                near = MemoryCache(100, memory=10**6)
                return moved(tokenizer, ledger, cache=PairCache(near, redis, telemetry, version="v"), scorer=scorer)

            await new().weigh("red rug", ["color", "size"])
            await until(lambda: redis_server.client.keys("t:v:*"))
            client.pipelines.clear()
            answer = await new().weigh("red rug", ["color", "size"])
            assert (answer.hits, scorer.candidates) == (2, 2)
            ((pairs, *evidence),) = client.pipelines
            assert pairs[0] == "HMGET"
            scopes = [f"{{t:feedback}}:{scope}" for scope in (keys.query_scope("red rug"), keys.EVERYTHING)]
            assert evidence == [("HGETALL", key) for key in scopes]

    run(work)


def test_evidence_that_does_not_come_takes_half_of_the_time_and_fails_nothing(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        ledger = EvidenceLedger()
        ledger.gate.clear()
        it = moved(tokenizer, ledger)
        found = await it.weigh("red rug", ["color", "size"], deadline=time.monotonic() + 0.2)
        assert found.bent
        assert found.bent.evidence is None

    run(work)


def test_the_kind_that_the_query_states_is_a_scope(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        it = moved(tokenizer, EvidenceLedger(), scorer=States())
        stated = await it.weigh("red rug", ["color", "product_type"])
        given = await it.weigh("red rug", ["color", "product_type"], kind="carpet")
        none = await it.weigh("red rug", ["color"])
        scopes = [each.behaviour.scopes[1:-1] for each in (stated, given, none) if each.behaviour]
        assert scopes == [(keys.kind_scope("rug"),), (keys.kind_scope("carpet"),), ()]

    run(work)


def test_values_are_read_without_evidence(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        ledger = EvidenceLedger()
        await moved(tokenizer, ledger).known("red rug", ["color"])
        assert ledger.read == []

    run(work)
