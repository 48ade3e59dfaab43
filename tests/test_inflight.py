"""Joined work: a pair that many want is computed once, and nobody's going takes it from the rest."""

import asyncio
from collections.abc import Awaitable, Sequence

import pytest
from fakes import run, until
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import ModelFailed
from service.inflight import InFlight
from service.scoring import PairScore

QUERY, A, B, C = b"query", b"a", b"b", b"c"


def score(attribute: bytes) -> PairScore:
    return PairScore(float(attribute[0]), ())


class Computation:
    """Computes when it is let, one result a call, and knows what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[list[bytes]] = []
        self.results: list[asyncio.Future[dict[bytes, PairScore]]] = []

    def __call__(self, attributes: Sequence[bytes]) -> Awaitable[dict[bytes, PairScore]]:
        self.asked.append(list(attributes))
        self.results.append(asyncio.get_running_loop().create_future())
        return self.results[-1]

    def finish(self, *which: int) -> None:
        for index in which or range(len(self.results)):
            if not self.results[index].done():
                self.results[index].set_result({attribute: score(attribute) for attribute in self.asked[index]})


Caller = asyncio.Task[tuple[dict[bytes, PairScore], int]]


async def ask(it: InFlight, computation: Computation, *attributes: bytes) -> Caller:
    """A caller who waits."""
    task = asyncio.create_task(it.scores(QUERY, attributes, computation))
    await settled()
    return task


async def settled() -> None:
    """All that can go on has gone on."""
    for _ in range(8):
        await asyncio.sleep(0)


def test_what_five_want_at_once_is_computed_once() -> None:
    async def work() -> None:
        it, computation = InFlight(), Computation()
        callers = [await ask(it, computation, A) for _ in range(5)]
        computation.finish()
        assert [await caller for caller in callers] == [({A: score(A)}, joined) for joined in (0, 1, 1, 1, 1)]
        assert computation.asked == [[A]]

    run(work)


@pytest.mark.parametrize("leaver", range(5))
def test_when_one_of_five_goes_the_others_get_theirs(leaver: int) -> None:
    async def work() -> None:
        it, computation = InFlight(), Computation()
        callers = [await ask(it, computation, A) for _ in range(5)]
        callers.pop(leaver).cancel()
        await settled()
        computation.finish()
        assert [(await caller)[0] for caller in callers] == [{A: score(A)}] * 4

    run(work)


def test_when_all_go_the_computation_is_cancelled() -> None:
    async def work() -> None:
        it, computation = InFlight(), Computation()
        callers = [await ask(it, computation, A) for _ in range(5)]
        for caller in callers:
            caller.cancel()
        await settled()
        assert computation.results[0].cancelled()
        assert len(it) == 0

    run(work)


def test_who_comes_after_all_have_gone_begins_anew() -> None:
    async def work() -> None:
        it, computation = InFlight(), Computation()
        (await ask(it, computation, A)).cancel()
        await settled()
        newcomer = await ask(it, computation, A)
        computation.finish()
        assert await newcomer == ({A: score(A)}, 0)

    run(work)


def test_who_comes_while_the_old_computation_is_still_being_cancelled_begins_anew() -> None:
    class Reluctant(Computation):
        leave = asyncio.Event()

        def __call__(self, attributes: Sequence[bytes]) -> Awaitable[dict[bytes, PairScore]]:
            scores = super().__call__(attributes)

            async def reluctant() -> dict[bytes, PairScore]:
                try:
                    return await scores
                except asyncio.CancelledError:
                    await self.leave.wait()
                    raise

            return reluctant()

    async def work() -> None:
        it, computation = InFlight(), Reluctant()
        (await ask(it, computation, A)).cancel()
        await settled()
        newcomer = await ask(it, computation, A)
        computation.leave.set()
        await settled()
        third = await ask(it, computation, A)
        computation.finish()
        assert [await newcomer, await third] == [({A: score(A)}, 0), ({A: score(A)}, 1)]

    run(work)


def test_a_failure_reaches_all_who_wait_and_is_not_remembered() -> None:
    async def work() -> None:
        it, computation = InFlight(), Computation()
        callers = [await ask(it, computation, A) for _ in range(3)]
        computation.results[0].set_exception(ModelFailed("broken"))
        answers = await asyncio.gather(*callers, return_exceptions=True)
        assert [type(answer) for answer in answers] == [ModelFailed] * 3
        again = await ask(it, computation, A)
        computation.finish()
        assert await again == ({A: score(A)}, 0)

    run(work)


@pytest.mark.parametrize("failing", [0, 1])
def test_of_two_that_somebody_waits_for_the_failure_of_one_is_what_is_raised(failing: int) -> None:
    async def work() -> None:
        it, computation = InFlight(), Computation()
        callers = [await ask(it, computation, A), await ask(it, computation, A, B)]
        computation.results[failing].set_exception(ModelFailed("broken"))
        await settled()
        assert isinstance(callers[1].exception(), ModelFailed)
        computation.finish()
        assert [type(answer) for answer in await asyncio.gather(*callers, return_exceptions=True)] == (
            [ModelFailed, ModelFailed] if failing == 0 else [tuple, ModelFailed]
        )

    run(work)


def test_who_wants_more_than_is_under_way_computes_only_the_rest() -> None:
    async def work() -> None:
        it, computation = InFlight(), Computation()
        first, second = await ask(it, computation, A, B), await ask(it, computation, B, C)
        computation.finish()
        await first
        assert await second == ({B: score(B), C: score(C)}, 1)
        assert computation.asked == [[A, B], [C]]

    run(work)


def test_who_joins_gets_what_it_asked_for_and_no_more() -> None:
    async def work() -> None:
        it, computation = InFlight(), Computation()
        await ask(it, computation, A, B, C)
        joiner = await ask(it, computation, B)
        computation.finish()
        assert await joiner == ({B: score(B)}, 1)

    run(work)


def test_another_query_is_another_pair() -> None:
    async def work() -> None:
        it, computation = InFlight(), Computation()
        other = asyncio.create_task(it.scores(b"other", [A], computation))
        caller = await ask(it, computation, A)
        computation.finish()
        assert (await other, await caller) == (({A: score(A)}, 0), ({A: score(A)}, 0))

    run(work)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.sets(st.sampled_from([A, B, C]), min_size=1)),
        st.tuples(st.just("leave"), st.integers(0, 9)),
        st.tuples(st.sampled_from(["finish", "fail"]), st.integers(0, 9)),
    ),
    max_size=12,
)


@given(steps=STEPS, breathe=st.booleans())
@settings(max_examples=200, deadline=None)
def test_whatever_happens_nobody_hangs_nothing_is_computed_twice_at_once_and_nothing_is_left(
    steps: list[tuple[str, object]], breathe: bool
) -> None:
    async def work() -> None:
        it, computation, callers = InFlight(), Computation(), list[tuple[Caller, set[bytes]]]()
        left: list[Caller] = []
        for step, what in steps:
            if step == "ask":
                assert isinstance(what, set)
                callers.append((asyncio.create_task(it.scores(QUERY, sorted(what), computation)), what))
            elif step == "leave" and callers:
                assert isinstance(what, int)
                left.append(callers[what % len(callers)][0])
                left[-1].cancel()
            elif computation.results and isinstance(what, int):
                which = what % len(computation.results)
                if step == "finish":
                    computation.finish(which)
                elif not computation.results[which].done():
                    computation.results[which].set_exception(ModelFailed("broken"))
            if breathe:
                await settled()
            running = [a for a, r in zip(computation.asked, computation.results, strict=True) if not r.done()]
            assert sum(map(len, running)) == len(set().union(*running))
        await settled()
        computation.finish()
        await until(lambda: all(caller.done() for caller, _ in callers))
        await settled()
        for caller, wanted in callers:
            if caller.cancelled():
                assert caller in left
            elif not caller.exception():
                assert set(caller.result()[0]) == wanted
        assert len(it) == 0

    run(work)
