"""Batches without a timer: what waits while the model is busy is the next batch.

Threads take rows from the queue by themselves, so that no run waits for the event loop; with one thread a core, each
running batches of its own, no core waits for another (measured: 1.15 times what one run on two cores gives).

Knows: futures, the threads that run the model, the queue's bound, how long a token takes. Does not know: what a row
means, HTTP.
"""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from types import TracebackType
from typing import Protocol, Self

from service.cores import give_way
from service.errors import ModelFailed, Overloaded
from service.scoring import RowScores
from service.telemetry import Telemetry, request_id
from service.text import Row

logger = logging.getLogger(__name__)

PACE_SHARE, PACE_JUMP = 0.1, 4.0
"""How much the newest batch counts in what a token is expected to take, and how many times that it may count as."""
MARGIN = 1.5
"""A request is refused at once unless its deadline leaves it so many times the time that it is expected to take.

One that finds a thread with nothing to do is not: how else would it come out that the model is fast again?"""
CLOSE_S = 2.0


class Runs(Protocol):
    """What scores a batch of rows; it blocks, may be called from several threads at once, and raises ModelFailed."""

    def run(self, rows: list[Row]) -> list[RowScores]:
        """One score a row, in order."""
        ...


@dataclass(slots=True, eq=False)
class _Job:
    """Rows that somebody waits for together."""

    scores: asyncio.Future[list[RowScores]]
    rows: int
    request: str
    since: float
    found: dict[int, RowScores] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _Entry:
    row: Row
    tokens: int
    job: _Job
    place: int
    taken: float = math.nan
    done: float = math.nan

    @property
    def wanted(self) -> bool:
        return not self.job.scores.done()


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    entries: list[_Entry]
    tokens: int
    """With padding."""
    begun: float
    expected_s: float

    def left_s(self, now: float) -> float:
        """How much longer it will take. One that is late will be so for as long again, which covers one that hangs."""
        return abs(self.begun + self.expected_s - now)


class Batcher:
    """Scores rows in batches of about `batch_tokens` padded tokens on `threads` threads; an async context manager.

    At most `queue_rows` rows wait. Rows whose scores were cancelled are dropped before the model sees them. A batch
    that fails, fails its own rows; its thread goes on. On exit every row still there fails with Overloaded.

    With `idle_class` the threads run only where nothing else of the process's group wants to, else they are just nicer.
    """

    def __init__(
        self,
        model: Runs,
        telemetry: Telemetry,
        *,
        threads: int,
        batch_tokens: int,
        queue_rows: int,
        idle_class: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model, self._telemetry, self._clock = model, telemetry, clock
        self._batch_tokens, self._queue_rows = batch_tokens, queue_rows
        self._changed = threading.Condition()  # its lock may be taken again by who has it
        self._waiting: dict[_Entry, None] = {}
        self._tokens = 0
        self._shown = 0
        self._running: set[_Batch] = set()
        self._token_s = 0.0
        self._open = False
        self._parallel, self._idle_class = threads, idle_class
        self._threads: list[threading.Thread] = []
        self.last_success = float("-inf")

    async def __aenter__(self) -> Self:
        self._open, loop = True, asyncio.get_running_loop()
        self._threads = [
            threading.Thread(target=self._serve, args=(loop,), name=f"model-{number}", daemon=True)
            for number in range(self._parallel)
        ]
        for thread in self._threads:
            thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._open = False
            left = [*self._waiting, *(entry for batch in self._running for entry in batch.entries)]
            self._leave(list(self._waiting))
            self._changed.notify_all()
        for entry in left:
            if entry.wanted:
                entry.job.scores.set_exception(Overloaded("the service is stopping"))
        await asyncio.to_thread(self._join)

    def _join(self) -> None:
        deadline = time.monotonic() + CLOSE_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))  # one that hangs is left behind: it is a daemon

    @property
    def spare_threads(self) -> int:
        """How many threads have nothing to do."""
        return 0 if self._waiting else self._parallel - len(self._running)

    def idle(self) -> bool:
        """Whether no row waits and none is being scored."""
        return not (self._waiting or self._running)

    def score(self, rows: Sequence[Row], *, deadline: float = math.inf) -> asyncio.Future[list[RowScores]]:
        """The scores of the rows, in their order, some time; `deadline` as `time.monotonic` counts.

        Raises Overloaded as `admit` does. What is returned raises ModelFailed when their batch failed, and may be
        cancelled: the rows then leave the queue.
        """
        scores: asyncio.Future[list[RowScores]] = asyncio.get_running_loop().create_future()
        job = _Job(scores, len(rows), request_id.get(), self._clock())
        entries = [_Entry(row, len(row.input_ids), job, place) for place, row in enumerate(rows)]
        tokens = sum(entry.tokens for entry in entries)
        if not entries:
            scores.set_result([])
        with self._changed:
            self.admit(tokens, rows=len(rows), deadline=deadline)
            self._waiting |= dict.fromkeys(entries)
            self._tokens += tokens
            self._show()
            self._changed.notify(len(entries))
        scores.add_done_callback(partial(self._ended, entries))
        return scores

    def admit(self, tokens: int, *, rows: int = 1, deadline: float = math.inf) -> None:
        """Raises Overloaded when rows of so many tokens do not fit into the queue, or will not be scored in time."""
        with self._changed:
            if not self._open:
                raise Overloaded("the service is stopping")
            now = self._clock()
            wait_s = self._wait_s(now, tokens)
            if len(self._waiting) + rows > self._queue_rows:
                raise Overloaded(f"{len(self._waiting)} rows are waiting for the model already", wait_s)
            if not self.spare_threads and now + MARGIN * wait_s > deadline:
                raise Overloaded(f"the answer would take about {wait_s * 1000:.0f} ms, too long for it", wait_s)

    def _ended(self, entries: Sequence[_Entry], scores: asyncio.Future[list[RowScores]]) -> None:
        if scores.cancelled():
            with self._changed:
                self._leave([entry for entry in entries if entry in self._waiting])
        elif self._telemetry.traced:
            for entry in entries:
                if not math.isnan(entry.done):
                    self._telemetry.span("queue", entry.job.since, entry.taken)
                    self._telemetry.span("model", entry.taken, entry.done)

    def _leave(self, entries: Sequence[_Entry]) -> None:
        """Let these wait no longer."""
        for entry in entries:
            del self._waiting[entry]
            self._tokens -= entry.tokens
        self._show()

    def _show(self) -> None:
        """Tell how many rows wait, beside those of another batcher, which a bundle that is being replaced has."""
        self._telemetry.queue_rows.inc(len(self._waiting) - self._shown)
        self._shown = len(self._waiting)

    def _wait_s(self, now: float, tokens: int) -> float:
        """How long it will be until so many more tokens have been scored: whichever thread is free first takes what is
        next, so that one that hangs keeps nobody waiting while others go on, and the last batch runs by itself.
        """
        left = tokens + self._tokens
        last = min(self._batch_tokens, left)
        before = (left - last) * self._token_s
        free = sorted(batch.left_s(now) for batch in self._running)
        free = [0.0] * (self._parallel - len(free)) + free
        level = min((before + busy) / threads for threads, busy in enumerate(accumulate(free), 1))
        return level + last * self._token_s

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """One thread: run batch after batch, for as long as the batcher is open."""
        give_way(idle_class=self._idle_class)
        while batch := self._next():
            scores: list[RowScores] | ModelFailed
            try:
                scores = self._model.run([entry.row for entry in batch.entries])
                if len(scores) != len(batch.entries):
                    raise ModelFailed(f"the model gave {len(scores)} scores for {len(batch.entries)} rows")
            except Exception as error:  # noqa: BLE001 - whatever it was, it must reach the callers and not end the thread
                scores = self._failed(batch, error)
            self._account(batch, worked=not isinstance(scores, ModelFailed))
            try:
                loop.call_soon_threadsafe(_resolve, batch, scores)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return

    def _failed(self, batch: _Batch, error: Exception) -> ModelFailed:
        requests = sorted({entry.job.request for entry in batch.entries if entry.job.request})
        logger.error(
            "a batch of %d rows failed", len(batch.entries), exc_info=error, extra={"fields": {"request_ids": requests}}
        )
        return error if isinstance(error, ModelFailed) else ModelFailed("the model failed on a batch")

    def _account(self, batch: _Batch, *, worked: bool) -> None:
        ended = self._clock()
        for entry in batch.entries:
            entry.done = ended
        with self._changed:
            self._running.discard(batch)
            if worked:
                self.last_success = ended
                self._pace((ended - batch.begun) / batch.tokens)
        self._telemetry.stage.labels("model").observe(ended - batch.begun)

    def _pace(self, token_s: float) -> None:
        """Learn what a token takes; one batch that stood still does not turn away those that come after it."""
        if self._token_s:
            self._token_s += PACE_SHARE * (min(token_s, PACE_JUMP * self._token_s) - self._token_s)
        else:
            self._token_s = token_s

    def _next(self) -> _Batch | None:
        """Wait for rows and take a batch of them; None when the batcher has closed."""
        with self._changed:
            while self._open:
                entries = self._take()
                if entries:
                    tokens = max(entry.tokens for entry in entries) * len(entries)
                    batch = _Batch(entries, tokens, self._clock(), tokens * self._token_s)
                    self._running.add(batch)
                    break
                self._changed.wait()
            else:
                return None
        for entry in entries:
            entry.taken = batch.begun
            self._telemetry.stage.labels("queue").observe(batch.begun - entry.job.since)
        self._telemetry.batch_rows.observe(len(entries))
        self._telemetry.batch_tokens.observe(tokens)
        return batch

    def _take(self) -> list[_Entry]:
        """The oldest row, and with it those nearest in length, as long as the padded batch stays small and the
        other threads that have nothing to do get their share.
        """
        alive: list[_Entry] = []
        gone: list[_Entry] = []
        for entry in self._waiting:  # each is asked once, for scores are cancelled without our lock
            (alive if entry.wanted else gone).append(entry)
        share = -(-len(alive) // (self._parallel - len(self._running)))
        oldest = alive[0].tokens if alive else 0
        near = sorted(alive[1:], key=lambda entry: abs(entry.tokens - oldest))
        batch: list[_Entry] = alive[:1]
        longest = oldest
        for entry in near:
            longest = max(longest, entry.tokens)
            if len(batch) == share or longest * (len(batch) + 1) > self._batch_tokens:
                break
            batch.append(entry)
        self._leave(gone + batch)
        return batch


def _resolve(batch: _Batch, scores: list[RowScores] | ModelFailed) -> None:
    """Give every caller its own, in the event loop."""
    for index, entry in enumerate(batch.entries):
        if not entry.wanted:
            continue
        if isinstance(scores, ModelFailed):
            entry.job.scores.set_exception(scores)
            continue
        job = entry.job
        job.found[entry.place] = scores[index]
        if len(job.found) == job.rows:
            job.scores.set_result([job.found[place] for place in range(job.rows)])
