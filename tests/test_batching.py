"""The batcher: nobody waits for ever, nobody gets another's answer, one failure is one failure."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from fakes import FakeModel, scores_of

from service.batching import Batcher
from service.errors import ModelFailed, Overloaded
from service.scoring import RowScores
from service.telemetry import Telemetry
from service.text import Row


def row(token: int, length: int = 6) -> Row:
    blocks = np.array([0] * (length - 2) + [1, 1])
    return Row(np.full(length, token), blocks, np.arange(length), np.array([length - 1]), length - 2)


def batcher(model: FakeModel, *, batch_tokens: int = 64, queue_rows: int = 100, threads: int = 1) -> Batcher:
    return Batcher(model, Telemetry(), threads=threads, batch_tokens=batch_tokens, queue_rows=queue_rows)


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await work()

    asyncio.run(bounded())


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0)


def test_every_caller_gets_its_own_scores() -> None:
    async def work() -> None:
        async with batcher(FakeModel()) as it:
            answers = await asyncio.gather(*(it.score([row(n), row(n + 1000)]) for n in range(40)))
        for n, (first, second) in enumerate(answers):
            assert first.logits == scores_of(row(n)).logits
            assert second.logits == scores_of(row(n + 1000)).logits

    run(work)


def test_what_waits_while_the_model_is_busy_is_the_next_batch() -> None:
    async def work() -> None:
        model = FakeModel()
        model.gate.clear()
        async with batcher(model, batch_tokens=600) as it:
            first = asyncio.create_task(it.score([row(1)]))
            await until(lambda: it._running)
            rest = [asyncio.create_task(it.score([row(n)])) for n in range(2, 12)]
            await asyncio.sleep(0)
            model.gate.set()
            await asyncio.gather(first, *rest)
        assert [len(batch) for batch in model.batches] == [1, 10]

    run(work)


def test_a_batch_stays_within_its_tokens() -> None:
    async def work() -> None:
        model = FakeModel()
        async with batcher(model, batch_tokens=24) as it:
            await it.score([row(n, length=6 + n % 3) for n in range(30)])
        assert all(len(b) * max(len(r.input_ids) for r in b) <= 24 for b in model.batches)

    run(work)


def test_a_failed_batch_fails_its_own_rows_and_no_others() -> None:
    async def work() -> None:
        broken = FakeModel(lambda rows: ValueError("boom") if rows[0].input_ids[0] == 7 else None)
        async with batcher(broken, batch_tokens=6) as it:
            answers = await asyncio.gather(*(it.score([row(n)]) for n in range(5, 10)), return_exceptions=True)
        assert [isinstance(answer, ModelFailed) for answer in answers] == [False, False, True, False, False]

    run(work)


def test_a_model_that_gives_too_few_scores_fails_its_callers_and_the_loop_goes_on() -> None:
    class Forgetful(FakeModel):
        def run(self, rows: list[Row]) -> list[RowScores]:
            scores = super().run(rows)
            return scores[:-1] if len(self.batches) == 1 else scores

    async def work() -> None:
        async with batcher(Forgetful()) as it:
            with pytest.raises(ModelFailed):
                await it.score([row(1)])
            assert len(await it.score([row(2)])) == 1

    run(work)


def test_a_full_queue_refuses_at_once() -> None:
    async def work() -> None:
        model = FakeModel()
        model.gate.clear()
        async with batcher(model, queue_rows=2) as it:
            busy = asyncio.create_task(it.score([row(1)]))
            await until(lambda: it._running)
            waiting = asyncio.create_task(it.score([row(2), row(3)]))
            await asyncio.sleep(0)
            with pytest.raises(Overloaded):
                await it.score([row(4)])
            model.gate.set()
            await asyncio.gather(busy, waiting)

    run(work)


def test_a_row_whose_caller_is_gone_never_reaches_the_model() -> None:
    async def work() -> None:
        model = FakeModel()
        model.gate.clear()
        async with batcher(model) as it:
            busy = asyncio.create_task(it.score([row(1)]))
            await until(lambda: it._running)
            gone = asyncio.create_task(it.score([row(2)]))
            kept = asyncio.create_task(it.score([row(3)]))
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.sleep(0)
            model.gate.set()
            await asyncio.gather(busy, kept)
        assert [int(r.input_ids[0]) for batch in model.batches for r in batch] == [1, 3]

    run(work)


def test_closing_resolves_every_waiting_caller() -> None:
    async def work() -> None:
        model = FakeModel()
        model.gate.clear()
        async with batcher(model, batch_tokens=6) as it:
            callers = [asyncio.create_task(it.score([row(n)])) for n in range(3)]
            await until(lambda: it._running)
        model.gate.set()
        answers = await asyncio.gather(*callers, return_exceptions=True)
        assert all(isinstance(answer, Overloaded) for answer in answers)

    run(work)


def test_a_closed_batcher_refuses() -> None:
    async def work() -> None:
        it = batcher(FakeModel())
        async with it:
            pass
        with pytest.raises(Overloaded):
            await it.score([row(1)])

    run(work)
