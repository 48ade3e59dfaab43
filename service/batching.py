"""Batches without a timer: what waits while the model is busy is the next batch.

Knows: futures, the one thread that runs the model, the queue's bound. Does not know: what a row means, HTTP.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from service.errors import ModelFailed, Overloaded
from service.scoring import RowScores
from service.telemetry import Telemetry
from service.text import Row

logger = logging.getLogger(__name__)


class Runs(Protocol):
    """What scores a batch of rows; it blocks, and raises ModelFailed."""

    def run(self, rows: list[Row]) -> list[RowScores]:
        """One score a row, in order."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    row: Row
    scores: asyncio.Future[RowScores]
    since: float


class Batcher:
    """Scores rows in batches of about `batch_tokens` padded tokens; an async context manager.

    At most `queue_rows` rows wait. A row whose caller was cancelled is dropped before the model sees it. A batch that
    fails, fails its own rows; the loop goes on. On exit every row still waiting fails with Overloaded.
    """

    def __init__(self, model: Runs, telemetry: Telemetry, *, batch_tokens: int, queue_rows: int) -> None:
        self._model, self._telemetry = model, telemetry
        self._batch_tokens, self._queue_rows = batch_tokens, queue_rows
        self._waiting: list[_Waiting] = []
        self._wanted = asyncio.Event()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._loop_task: asyncio.Task[None] | None = None
        self._running: list[_Waiting] = []
        self.last_success = float("-inf")

    async def __aenter__(self) -> Self:
        self._loop_task = asyncio.create_task(self._loop(), name="batcher")
        self._loop_task.add_done_callback(_told_if_failed)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._loop_task = self._loop_task, None
        if task:
            task.cancel()
            await asyncio.wait([task])
        for waiting in (*self._running, *self._waiting):
            if not waiting.scores.done():
                waiting.scores.set_exception(Overloaded("the service is stopping"))
        self._waiting.clear()
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def score(self, rows: Sequence[Row]) -> list[RowScores]:
        """The scores of the rows, in their order. Raises Overloaded at once when they do not fit into the queue,
        ModelFailed when their batch failed.
        """
        if self._loop_task is None or self._loop_task.done():
            raise Overloaded("the service is stopping")
        if len(self._waiting) + len(rows) > self._queue_rows:
            raise Overloaded(f"{len(self._waiting)} rows are waiting for the model already")
        now, loop = time.perf_counter(), asyncio.get_running_loop()
        entries = [_Waiting(row, loop.create_future(), now) for row in rows]
        self._waiting += entries
        self._telemetry.queue_rows.set(len(self._waiting))
        self._wanted.set()
        try:
            return list(await asyncio.gather(*(entry.scores for entry in entries)))
        finally:
            for entry in entries:
                entry.scores.cancel()

    async def _loop(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wanted.wait()
            batch = self._running = self._take()
            if not batch:
                self._wanted.clear()
                continue
            try:
                scores = await loop.run_in_executor(self._executor, self._run, [entry.row for entry in batch])
                for entry, score in zip(batch, scores, strict=True):
                    if not entry.scores.done():
                        entry.scores.set_result(score)
                self.last_success = time.monotonic()
            except Exception as error:  # whatever it was, it must reach the callers and not the loop
                logger.exception("a batch of %d rows failed", len(batch))
                failure = error if isinstance(error, ModelFailed) else ModelFailed("the model failed on a batch")
                for entry in batch:
                    if not entry.scores.done():
                        entry.scores.set_exception(failure)

    def _run(self, rows: list[Row]) -> list[RowScores]:
        with self._telemetry.stage.labels("model").time():
            return self._model.run(rows)

    def _take(self) -> list[_Waiting]:
        """The next batch: the oldest row, and with it those nearest in length while the padded batch stays small."""
        alive = [entry for entry in self._waiting if not entry.scores.done()]
        if not alive:
            self._waiting = []
            self._telemetry.queue_rows.set(0)
            return []
        oldest = len(alive[0].row.input_ids)
        near = sorted(alive, key=lambda entry: (entry is not alive[0], abs(len(entry.row.input_ids) - oldest)))
        batch: list[_Waiting] = []
        longest = 0
        for entry in near:
            longest = max(longest, len(entry.row.input_ids))
            if batch and longest * (len(batch) + 1) > self._batch_tokens:
                break
            batch.append(entry)
        taken = set(map(id, batch))
        self._waiting = [entry for entry in alive if id(entry) not in taken]
        now = time.perf_counter()
        for entry in batch:
            self._telemetry.stage.labels("queue").observe(now - entry.since)
        self._telemetry.queue_rows.set(len(self._waiting))
        self._telemetry.batch_rows.observe(len(batch))
        self._telemetry.batch_tokens.observe(max(len(entry.row.input_ids) for entry in batch) * len(batch))
        return batch


def _told_if_failed(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception():
        logger.critical("the batcher has ended", exc_info=task.exception())
