"""The batcher: nobody waits for ever, nobody gets another's answer, one failure is one failure."""

import asyncio
import logging
import os
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from fakes import FakeClock, FakeModel, run, scores_of, until
from onnx import TensorProto, helper

from service.batching import CLOSE_S, Batcher
from service.cores import NICER
from service.errors import ModelFailed, Overloaded
from service.model import OUTPUTS, Model, probe_row
from service.scoring import RowScores
from service.telemetry import Telemetry, request_id
from service.text import Row


def row(token: int, length: int = 6) -> Row:
    blocks = np.array([0] * (length - 2) + [1, 1])
    return Row(np.full(length, token), blocks, np.arange(length), np.array([length - 1]), length - 2)


def batcher(
    model: FakeModel,
    *,
    batch_tokens: int = 64,
    queue_rows: int = 100,
    threads: int = 1,
    idle_class: bool = False,
    telemetry: Telemetry | None = None,
    clock: FakeClock | None = None,
) -> Batcher:
    return Batcher(
        model,
        telemetry or Telemetry(),
        threads=threads,
        batch_tokens=batch_tokens,
        queue_rows=queue_rows,
        idle_class=idle_class,
        clock=clock or time.monotonic,
    )


def first(rows: list[Row]) -> int:
    """What the rows of these tests are told apart by."""
    return int(rows[0].input_ids[0])


async def begun(it: Batcher, model: FakeModel, token: int) -> asyncio.Future[list[RowScores]]:
    """A row that the model has begun with."""
    before = model.begun
    task = it.score([row(token)])
    await until(lambda: model.begun > before)
    return task


async def paced(it: Batcher, model: FakeModel, clock: FakeClock, *, token_s: float) -> None:
    """Let one row of six tokens take so long for each of them."""
    model.gate.clear()
    scored = await begun(it, model, 0)
    clock.now += 6 * token_s
    model.gate.set()
    await scored


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
            first = await begun(it, model, 1)
            rest = [it.score([row(n)]) for n in range(2, 12)]
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
            busy = await begun(it, model, 1)
            waiting = it.score([row(2), row(3)])
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
            busy = await begun(it, model, 1)
            gone = it.score([row(2)])
            kept = it.score([row(3)])
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
            callers = [it.score([row(n)]) for n in range(3)]
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


def test_one_long_batch_does_not_hold_the_rest_where_there_are_two_threads() -> None:
    async def work() -> None:
        model = FakeModel(held=lambda rows: first(rows) == 1)
        model.gate.clear()
        async with batcher(model, threads=2, batch_tokens=6) as it:
            long = it.score([row(1)])
            await asyncio.gather(*(it.score([row(n)]) for n in range(2, 20)))
            assert not long.done()
            model.gate.set()
            await long

    run(work)


def test_threads_with_nothing_to_do_share_what_comes() -> None:
    async def work() -> None:
        model = FakeModel()
        model.gate.clear()
        async with batcher(model, threads=2, batch_tokens=600) as it:
            scored = it.score([row(n) for n in range(10)])
            await until(lambda: model.begun == 2)
            model.gate.set()
            await scored
        assert [len(batch) for batch in model.batches] == [5, 5]

    run(work)


def test_a_thread_takes_all_that_waits_while_the_others_are_busy() -> None:
    async def work() -> None:
        model = FakeModel(held=lambda rows: first(rows) == 0)
        model.gate.clear()
        async with batcher(model, threads=2, batch_tokens=600) as it:
            busy = await begun(it, model, 0)
            await it.score([row(n) for n in range(1, 11)])
            assert [len(batch) for batch in model.batches] == [10]
            model.gate.set()
            await busy

    run(work)


def test_spare_threads_are_those_that_do_nothing() -> None:
    async def work() -> None:
        model = FakeModel()
        model.gate.clear()
        async with batcher(model, threads=2, batch_tokens=6) as it:
            assert it.spare_threads == 2
            one = await begun(it, model, 1)
            assert it.spare_threads == 1
            two = await begun(it, model, 2)
            assert it.spare_threads == 0
            model.gate.set()
            await asyncio.gather(one, two)
            assert it.spare_threads == 2

    run(work)


def test_while_the_model_hangs_callers_are_refused_as_soon_as_it_is_late() -> None:
    async def work() -> None:
        model, clock = FakeModel(), FakeClock()
        async with batcher(model, clock=clock) as it:
            await paced(it, model, clock, token_s=0.01)
            model.gate.clear()
            hung = await begun(it, model, 1)
            clock.now += 60
            with pytest.raises(Overloaded) as caught:
                await it.score([row(2)], deadline=clock.now + 5)
            assert caught.value.retry_after_s == pytest.approx(60, abs=1)
            model.gate.set()
            await hung

    run(work)


def test_a_callers_own_deadline_ends_its_wait_for_a_model_that_hangs() -> None:
    async def work() -> None:
        model = FakeModel()
        model.gate.clear()
        async with batcher(model) as it:
            for n in range(3):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(it.score([row(n)]), 0.01)
            model.gate.set()

    run(work)


def test_closing_waits_for_a_model_that_hangs_no_longer_than_its_bound() -> None:
    async def work() -> None:
        model = FakeModel(held=lambda rows: first(rows) == 1)
        model.gate.clear()
        async with batcher(model, threads=2) as it:
            hung = await begun(it, model, 1)
            asked = time.monotonic()
        assert time.monotonic() - asked < CLOSE_S + 1
        with pytest.raises(Overloaded):
            await hung
        model.gate.set()

    run(work)


@pytest.mark.parametrize(("left_s", "admitted"), [(1.6, False), (1.9, True)])
def test_a_row_is_queued_only_if_it_can_be_scored_in_time(left_s: float, admitted: bool) -> None:
    async def work() -> None:
        model, clock = FakeModel(), FakeClock()
        async with batcher(model, clock=clock) as it:
            await paced(it, model, clock, token_s=0.1)
            model.gate.clear()
            busy = await begun(it, model, 1)
            with nullcontext() if admitted else pytest.raises(Overloaded):
                busy = asyncio.gather(busy, it.score([row(2)], deadline=clock.now + left_s))
            model.gate.set()
            await busy
        assert [first(batch) for batch in model.batches] == ([0, 1, 2] if admitted else [0, 1])

    run(work)


def test_who_is_refused_learns_when_to_come_back() -> None:
    async def work() -> None:
        model, clock = FakeModel(), FakeClock()
        async with batcher(model, clock=clock) as it:
            await paced(it, model, clock, token_s=1.0)
            model.gate.clear()
            busy = await begun(it, model, 1)
            with pytest.raises(Overloaded) as caught:
                await it.score([row(2)], deadline=clock.now + 1)
            assert caught.value.retry_after_s == pytest.approx(12)
            model.gate.set()
            await busy

    run(work)


def test_a_queue_full_of_rows_whose_callers_are_gone_has_room() -> None:
    async def work() -> None:
        model = FakeModel()
        model.gate.clear()
        async with batcher(model, queue_rows=2) as it:
            busy = await begun(it, model, 1)
            gone = it.score([row(2), row(3)])
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.sleep(0)
            kept = it.score([row(4), row(5)])
            await asyncio.sleep(0)
            model.gate.set()
            await asyncio.gather(busy, kept)

    run(work)


def not_a_number_at_13(path: Path) -> Model:
    """A real graph that says 0 of a batch, and NaN of one with the token 13 in it."""
    node, scalar = helper.make_node, helper.make_tensor
    whole = [helper.make_tensor_value_info(name, TensorProto.INT64, None) for name in
             ("input_ids", "block_ids", "position_ids", "attribute_positions", "query_positions")]  # fmt: skip
    nodes = [
        node("Sub", ["input_ids", "thirteen"], ["difference"]),
        node("Abs", ["difference"], ["distance"]),
        node("ReduceMin", ["distance"], ["least"], keepdims=0),
        node("Cast", ["least"], ["far"], to=TensorProto.FLOAT),
        node("Sub", ["far", "half"], ["above"]),
        node("Sqrt", ["above"], ["root"]),
        node("Mul", ["root", "nothing"], ["score"]),
        node("Shape", ["attribute_positions"], ["shape"]),
        node("Shape", ["query_positions"], ["tokens"]),
        node("Concat", ["shape", "tokens"], ["value_shape"], axis=0),
        node("Expand", ["score", "shape"], ["logits"]),
        node("Expand", ["score", "value_shape"], ["value_logits"]),
        node("Expand", ["score", "shape"], ["embeddings"]),
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in OUTPUTS]
    constants = [
        scalar("thirteen", TensorProto.INT64, [], [13]),
        scalar("half", TensorProto.FLOAT, [], [0.5]),
        scalar("nothing", TensorProto.FLOAT, [], [0.0]),
    ]
    made = helper.make_graph(nodes, "g", whole, outputs, constants)
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    return Model(ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]), "cpu")


def test_what_is_not_a_number_fails_exactly_its_batch(tmp_path: Path) -> None:
    async def work() -> None:
        model = not_a_number_at_13(tmp_path / "g.onnx")
        async with Batcher(model, Telemetry(), threads=1, batch_tokens=6, queue_rows=10) as it:
            answers = await asyncio.gather(*(it.score([row(n)]) for n in (12, 13, 14)), return_exceptions=True)
            assert [isinstance(answer, ModelFailed) for answer in answers] == [False, True, False]
            assert len(await it.score([probe_row()])) == 1

    run(work)


def test_the_log_of_a_failed_batch_names_its_requests(caplog: pytest.LogCaptureFixture) -> None:
    async def ask(it: Batcher, identity: str, token: int) -> None:
        request_id.set(identity)
        await it.score([row(token)])

    async def work() -> None:
        async with batcher(FakeModel(lambda rows: ValueError("boom") if first(rows) == 7 else None)) as it:
            await asyncio.gather(ask(it, "healthy", 1))
            await asyncio.gather(ask(it, "one", 7), ask(it, "two", 7), return_exceptions=True)

    with caplog.at_level(logging.ERROR, "service.batching"):
        run(work)
    told = [record.__dict__["fields"]["request_ids"] for record in caplog.records]
    assert sorted(identity for ids in told for identity in ids) == ["one", "two"]


def test_batches_and_their_rows_are_counted_once() -> None:
    async def work() -> None:
        model, telemetry = FakeModel(), Telemetry()
        count = telemetry.registry.get_sample_value
        model.gate.clear()
        async with batcher(model, batch_tokens=600, telemetry=telemetry) as it:
            busy = await begun(it, model, 1)
            waiting = it.score([row(n) for n in range(2, 6)])
            await asyncio.sleep(0)
            assert count("ranker_queue_rows") == 4
            model.gate.set()
            await asyncio.gather(busy, waiting)
        assert count("ranker_queue_rows") == 0
        assert (count("ranker_batch_rows_count"), count("ranker_batch_rows_sum")) == (2, 5)
        assert (count("ranker_batch_tokens_count"), count("ranker_batch_tokens_sum")) == (2, 30)
        assert count("ranker_stage_seconds_count", {"stage": "model"}) == 2
        assert count("ranker_stage_seconds_count", {"stage": "queue"}) == 5

    run(work)


def test_only_a_success_counts_as_one() -> None:
    class Forgetful(FakeModel):
        def run(self, rows: list[Row]) -> list[RowScores]:
            return super().run(rows)[: 0 if first(rows) == 8 else None]

    async def work() -> None:
        clock = FakeClock()
        async with batcher(Forgetful(lambda r: ValueError() if first(r) == 7 else None), clock=clock) as it:
            await it.score([row(1)])
            succeeded = it.last_success
            clock.now += 1
            for wrong in (7, 8):
                with pytest.raises(ModelFailed):
                    await it.score([row(wrong)])
            assert it.last_success == succeeded
            await it.score([row(2)])
            assert it.last_success == succeeded + 1

    run(work)


def test_rows_whose_callers_are_gone_do_not_count_in_what_others_are_expected_to_wait() -> None:
    async def work() -> None:
        model, clock = FakeModel(), FakeClock()
        async with batcher(model, clock=clock) as it:
            await paced(it, model, clock, token_s=0.1)
            model.gate.clear()
            busy = await begun(it, model, 1)
            gone = it.score([row(2)] * 50)
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.sleep(0)
            asked = it.score([row(3)], deadline=clock.now + 5)
            await asyncio.sleep(0)
            model.gate.set()
            await asyncio.gather(busy, asked)

    run(work)


def test_a_thread_that_hangs_refuses_nobody_whom_another_can_serve() -> None:
    async def work() -> None:
        model, clock = FakeModel(held=lambda rows: first(rows) < 2), FakeClock()
        async with batcher(model, threads=2, clock=clock) as it:
            await paced(it, model, clock, token_s=0.01)
            model.gate.clear()
            hung = await begun(it, model, 1)
            clock.now += 60
            await asyncio.gather(*(it.score([row(n)], deadline=clock.now + 5) for n in range(2, 22)))
            model.gate.set()
            await hung

    run(work)


def test_all_batches_of_a_long_request_count_in_what_it_is_expected_to_take() -> None:
    async def work() -> None:
        model, clock = FakeModel(), FakeClock()
        async with batcher(model, batch_tokens=6, clock=clock) as it:
            await paced(it, model, clock, token_s=0.1)
            model.gate.clear()
            busy = await begun(it, model, 1)
            with pytest.raises(Overloaded):
                await it.score([row(n) for n in range(2, 12)], deadline=clock.now + 5)
            model.gate.set()
            await busy

    run(work)


def test_a_model_that_was_slow_once_is_tried_again() -> None:
    async def work() -> None:
        model, clock = FakeModel(), FakeClock()
        async with batcher(model, clock=clock) as it:
            await paced(it, model, clock, token_s=100.0)
            assert len(await it.score([row(1)], deadline=clock.now + 1)) == 1

    run(work)


def test_scores_that_are_cancelled_while_a_thread_takes_rows_end_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fickle(asyncio.Future[list[RowScores]]):
        """Wanted when it is asked for the first time, and cancelled from then on."""

        asked = 0

        def done(self) -> bool:
            self.asked += 1
            return self.asked > 1 or super().done()

    async def work() -> None:
        async with batcher(FakeModel()) as it:
            loop = asyncio.get_running_loop()
            with monkeypatch.context() as patched:
                patched.setattr(loop, "create_future", lambda: Fickle(loop=loop))
                it.score([row(1)])
            assert len(await it.score([row(2)])) == 1
            assert all(thread.is_alive() for thread in it._threads)

    run(work)


def test_no_rows_have_no_scores() -> None:
    async def work() -> None:
        async with batcher(FakeModel()) as it:
            assert await it.score([]) == []

    run(work)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads have no priority of their own")
@pytest.mark.parametrize("idle_class", [True, False])
def test_the_models_threads_give_way_to_the_event_loop(idle_class: bool) -> None:
    async def work() -> None:
        found: list[tuple[int, int]] = []

        def fails(_: list[Row]) -> None:
            thread = threading.get_native_id()
            found.append((os.sched_getscheduler(thread), os.getpriority(os.PRIO_PROCESS, thread)))

        async with batcher(FakeModel(fails), idle_class=idle_class) as it:
            await it.score([row(1)])
        nice = os.nice(0)
        assert found == [(os.SCHED_IDLE, nice) if idle_class else (os.SCHED_OTHER, min(19, nice + NICER))]
        assert (os.sched_getscheduler(0), os.nice(0)) == (os.SCHED_OTHER, nice)

    run(work)
