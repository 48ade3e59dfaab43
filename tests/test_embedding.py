"""Texts to vectors: known ones cost nothing, new ones go to the model in parts, and nothing takes it from others."""

import asyncio
import gc
import time
from collections.abc import Sequence

import numpy as np
import pytest
from fakes import FakeModel, FakeScorer, FakeVectors, RedisServer, run, until

from service.batching import Batcher
from service.cache.connection import connect
from service.cache.memory import MemoryCache
from service.cache.redis import RedisCache
from service.cache.vectors import VectorCache
from service.embedding import PART_ROWS, Cache, Embedder, Scorer
from service.errors import DeadlineExceeded, ModelFailed, Overloaded
from service.model import Model
from service.scoring import RowScores
from service.telemetry import Telemetry
from service.text import Row, Tokenizer, pack


class Directions(FakeScorer):
    """Gives each text the direction of its first token, and remembers the parts it was asked for."""

    def __init__(self, failure: Exception | None = None) -> None:
        super().__init__(failure)
        self.parts: list[int] = []

    async def score(self, rows: Sequence[Row]) -> list[RowScores]:
        self.parts.append(len(rows))
        angles = [float(row.input_ids[1]) for row in rows]
        vectors = [np.array([np.cos(angle), np.sin(angle), 0, 0], np.float32) for angle in angles]
        scores = await super().score(rows)
        return [score._replace(embedding=vector) for score, vector in zip(scores, vectors, strict=True)]


def embedder(
    tokenizer: Tokenizer,
    scorer: Scorer,
    cache: Cache | None = None,
    telemetry: Telemetry | None = None,
    *,
    part_tokens: int = 1000,
) -> Embedder:
    cache, telemetry = cache or FakeVectors(), telemetry or Telemetry()
    return Embedder(tokenizer, scorer, cache, telemetry, width=4, part_tokens=part_tokens)


def test_vectors_are_those_of_the_texts_in_their_order(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        it = embedder(tokenizer, Directions())
        texts = ["wool", "red leather boots", "rug", "wool", "blue"]
        together = await it.vectors(texts)
        alone = [(await embedder(tokenizer, Directions()).vectors([text]))[0] for text in texts]
        assert (together == np.stack(alone)).all()
        assert together.shape == (5, 4)
        assert np.abs(np.linalg.norm(together, axis=1) - 1).max() < 1e-3

    run(work)


def test_no_texts_have_no_vectors(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        assert (await embedder(tokenizer, Directions()).vectors([])).shape == (0, 4)

    run(work)


def test_a_text_of_nothing_readable_is_near_to_nothing_and_never_reaches_the_model(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        scorer = Directions()
        vectors = await embedder(tokenizer, scorer).vectors(["", " \t", "\u200b", "rug"])
        assert (vectors[:3] == 0).all()
        assert scorer.parts == [1]

    run(work)


def test_what_is_known_is_not_embedded_again_and_the_same_text_once(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        scorer, telemetry = Directions(), Telemetry()
        cache = VectorCache(MemoryCache(100, memory=10**6), None, telemetry, version="v", width=4)
        it = embedder(tokenizer, scorer, cache, telemetry)
        first = await it.vectors(["red", "red", "wool"])
        again = await it.vectors(["wool", "silk", "red"])
        assert (again[[2, 2, 0]] == first).all()
        assert scorer.parts == [2, 1]
        count = telemetry.registry.get_sample_value
        levels = [count("ranker_cache_texts_total", {"level": level}) for level in ("memory", "redis", "miss")]
        assert levels == [2, 0, 3]

    run(work)


def test_a_thousand_texts_go_in_parts_that_keep_both_bounds(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        short, long = Directions(), Directions()
        texts = [f"rug {number}" for number in range(1000)]
        await embedder(tokenizer, short, part_tokens=10**6).vectors(texts)
        await embedder(tokenizer, long, part_tokens=40).vectors(
            ["word " * (3 + n % 3) for n in range(20)] + ["a " * 99]
        )
        assert max(short.parts) == PART_ROWS
        assert sum(short.parts) == 1000
        assert all(len(row.input_ids) <= 40 for row in long.rows[:-1])
        assert max(long.parts) <= 40 // 5

    run(work)


def test_whoever_asks_only_one_part_waits_for_the_model(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        async with Batcher(FakeModel(), Telemetry(), threads=1, batch_tokens=64, queue_rows=100) as batcher:
            it = embedder(tokenizer, batcher, part_tokens=16)
            texts = [[f"rug {caller} {number}" for number in range(40)] for caller in range(3)]
            asked = [asyncio.create_task(it.vectors(each)) for each in texts]
            most = 0
            while not all(task.done() for task in asked):
                most = max(most, len(batcher._waiting) + sum(len(batch.entries) for batch in batcher._running))
                await asyncio.sleep(0)
            assert 0 < most <= 16 // 4
            assert [(await task).shape for task in asked] == [(40, 4)] * 3

    run(work)


def test_others_come_in_between_two_parts(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        model = FakeModel()
        async with Batcher(model, Telemetry(), threads=1, batch_tokens=64, queue_rows=100) as batcher:
            it = embedder(tokenizer, batcher, part_tokens=16)
            asked = asyncio.create_task(it.vectors([f"rug {number}" for number in range(200)]))
            await until(lambda: model.batches)
            query = tokenizer.query("red wool rug")
            await batcher.score(pack(query, [tokenizer.attribute("color")], row_tokens=100))
            assert not asked.done()
            assert (await asked).shape == (200, 4)

    run(work)


def test_the_deadline_is_kept_and_the_rows_leave_the_queue(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        model = FakeModel()
        model.gate.clear()
        async with Batcher(model, Telemetry(), threads=1, batch_tokens=4, queue_rows=100) as batcher:
            it = embedder(tokenizer, batcher)
            with pytest.raises(DeadlineExceeded):
                await it.vectors(["red rug", "wool rug"], deadline=time.monotonic() + 0.05)
            assert not batcher._waiting
            model.gate.set()
            assert (await it.vectors(["red rug"])).shape == (1, 4)

    run(work)


def test_what_is_known_is_given_even_past_the_deadline(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        memory = VectorCache(MemoryCache(100, memory=10**6), None, Telemetry(), version="v", width=4)
        it = embedder(tokenizer, Directions(), memory)
        await it.vectors(["rug"])
        assert (await it.vectors(["rug"], deadline=0.0)).shape == (1, 4)

    run(work)


def test_a_queue_that_is_full_is_told_at_once_and_what_was_embedded_stays_known(tokenizer: Tokenizer) -> None:
    class Filling(Directions):
        def admit(self, tokens: int, *, deadline: float) -> None:  # noqa: ARG002
            if self.parts:
                raise Overloaded("full")

    async def work() -> None:
        scorer, cache = Filling(), FakeVectors()
        with pytest.raises(Overloaded):
            await embedder(tokenizer, scorer, cache, part_tokens=4).vectors(["rug", "red wool rug"])
        assert (scorer.parts, len(cache.kept)) == ([1], 1)

    run(work)


def test_what_is_left_is_told_before_each_part(tokenizer: Tokenizer) -> None:
    class Asked(Directions):
        def __init__(self) -> None:
            super().__init__()
            self.admitted: list[int] = []

        def admit(self, tokens: int, *, deadline: float) -> None:  # noqa: ARG002
            self.admitted.append(tokens)

    async def work() -> None:
        scorer = Asked()
        await embedder(tokenizer, scorer, part_tokens=4).vectors(["rug", "wool", "red rug"])
        assert scorer.admitted == [10, 7, 4]

    run(work)


def test_a_model_that_fails_is_told_and_the_next_may_go_on(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        scorer = Directions(ModelFailed("broken"))
        it = embedder(tokenizer, scorer)
        with pytest.raises(ModelFailed):
            await it.vectors(["rug"])
        scorer.failure = None
        assert (await it.vectors(["rug"])).shape == (1, 4)

    run(work)


def redis_vectors(far: RedisCache, telemetry: Telemetry) -> VectorCache:
    return VectorCache(MemoryCache(1000, memory=10**6), far, telemetry, version="v", width=4)


def test_a_redis_that_dies_while_texts_are_embedded_takes_no_vector_away(
    tokenizer: Tokenizer, redis_server: RedisServer
) -> None:
    async def work() -> None:
        telemetry = Telemetry()
        far = RedisCache(connect(redis_server.url), telemetry, prefix="t", timeout=0.1, ttl_s=60)
        async with far:
            it = embedder(tokenizer, Directions(), redis_vectors(far, telemetry), part_tokens=32)
            await it.vectors(["rug"])
            redis_server.stop()
            texts = [f"rug {number}" for number in range(200)]
            assert (await it.vectors(texts, deadline=time.monotonic() + 20)).shape == (200, 4)
            assert (await it.vectors(texts, deadline=0.0)).shape == (200, 4)
        assert telemetry.registry.get_sample_value("ranker_cache_degraded") == 1

    run(work)


def test_another_process_finds_in_redis_what_one_has_embedded(tokenizer: Tokenizer, redis_server: RedisServer) -> None:
    async def work() -> None:
        telemetry, texts = Telemetry(), [f"rug {number}" for number in range(80)]
        far = RedisCache(connect(redis_server.url), telemetry, prefix="t", timeout=5.0, ttl_s=60)
        async with far:
            first = await embedder(tokenizer, Directions(), redis_vectors(far, telemetry)).vectors(texts)
            await until(lambda: redis_server.client.dbsize() == 80)
            other = Directions()
            again = await embedder(tokenizer, other, redis_vectors(far, telemetry)).vectors(texts)
        assert (first == again).all()
        assert other.parts == []

    run(work)


def test_the_collector_of_garbage_does_not_look_at_what_is_kept(tokenizer: Tokenizer) -> None:
    async def work() -> None:
        memory = MemoryCache(10**4, memory=10**7)
        cache = VectorCache(memory, None, Telemetry(), version="v", width=4)
        it = embedder(tokenizer, Directions(), cache)
        await it.vectors([f"rug {number}" for number in range(300)])
        gc.collect()
        assert not any(gc.is_tracked(kept) for kept in memory._queries.values())

    run(work)


def test_the_shipped_model_gives_unit_vectors_that_tell_texts_apart(model: Model, tokenizer: Tokenizer) -> None:
    async def work() -> None:
        async with Batcher(model, Telemetry(), threads=1, batch_tokens=256, queue_rows=100) as batcher:
            it = Embedder(tokenizer, batcher, FakeVectors(), Telemetry(), width=model.width, part_tokens=256)
            red, also_red, laptop = await it.vectors(["red wool rug", "RED  wool rug", "laptop 16gb ram"])
        assert abs(float(np.linalg.norm(red)) - 1) < 1e-2
        assert float(red @ also_red) > 0.999 > 0.95 > float(red @ laptop)

    run(work)
