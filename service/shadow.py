"""A second bundle that scores a share of the requests that the first has answered, and tells nobody but the metrics.

It has one thread of its own, and that begins a row only while the first bundle's model has nothing to do. A row that it
has begun it finishes: a request that comes meanwhile finds one core busy for the time of one row of the second bundle.

Knows: which requests it takes, how far its weights are from those answered. Does not know: HTTP, caching, who asked.
"""

import logging
import random
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from service import scoring
from service.cores import give_way
from service.errors import ModelFailed
from service.scoring import RowScores
from service.telemetry import Telemetry
from service.text import LEAST_ROOM, ROW_TOKENS, QueryTokens, Row, Tokenizer, pack

logger = logging.getLogger(__name__)

MOST_WAITING = 64
PAUSE_S, CLOSE_S = 0.01, 2.0
"""How long it waits before it looks again whether the model is idle, and at the end for its thread."""


class Runs(Protocol):
    """What scores a batch of rows; it blocks, and raises ModelFailed."""

    def run(self, rows: list[Row]) -> list[RowScores]:
        """One score a row, in order."""
        ...


class _Answered(NamedTuple):
    """A request with the weights that were answered; `idle` says whether who answered it has nothing to do."""

    query: str
    attributes: tuple[str, ...]
    weights: tuple[float, ...]
    idle: Callable[[], bool]


class Shadow:
    """Compares a share of the weights answered with its own; a context manager.

    At most `MOST_WAITING` requests wait for an idle moment; those beyond are dropped and counted.
    """

    def __init__(
        self,
        model: Runs,
        tokenizer: Tokenizer,
        telemetry: Telemetry,
        *,
        temperature: float,
        share: float,
        idle_class: bool = False,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._model, self._tokenizer, self._telemetry = model, tokenizer, telemetry
        self._temperature, self._share, self._chance = temperature, share, chance
        self._idle_class = idle_class
        self._outcomes = telemetry.shadowed
        self._changed = threading.Condition()
        self._waiting: deque[_Answered] = deque()
        self._open = False
        self._thread = threading.Thread(target=self._serve, name="shadow", daemon=True)

    def __enter__(self) -> Self:
        self._open = True
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join(CLOSE_S)  # one that hangs is left behind: it is a daemon

    def beside(self, idle: Callable[[], bool]) -> "Beside":
        """What is told of each answer by a bundle in service; `idle` says whether its model has nothing to do."""
        return Beside(self, idle)

    def offer(self, query: str, attributes: Sequence[str], weights: Sequence[float], idle: Callable[[], bool]) -> None:
        """Take this request or not, by chance; it never waits."""
        if self._chance() >= self._share:
            return
        with self._changed:
            if not self._open or len(self._waiting) >= MOST_WAITING:
                self._outcomes["dropped"].inc()
                return
            self._waiting.append(_Answered(query, tuple(attributes), tuple(weights), idle))
            self._changed.notify()

    def _serve(self) -> None:
        give_way(idle_class=self._idle_class)
        try:
            while answered := self._next():
                self._compare(answered)
        finally:
            self._open = False  # whatever ended it: what comes now is dropped, and counted

    def _next(self) -> _Answered | None:
        with self._changed:
            while self._open and not self._waiting:
                self._changed.wait()
            return self._waiting.popleft() if self._open else None

    def _compare(self, answered: _Answered) -> None:
        weights = self._weights(answered)
        if weights is None:
            self._outcomes["failed"].inc()
        elif weights:
            same = scoring.order(weights)[0] == scoring.order(answered.weights)[0]
            self._outcomes["same_first" if same else "changed_first"].inc()
            self._telemetry.shadow_divergence.observe(scoring.jensen_shannon(answered.weights, weights))

    def _weights(self, answered: _Answered) -> list[float] | None:
        """Ours; None where the texts cannot be read or the model fails, none when the end came before."""
        query = self._tokenizer.query(answered.query)
        names = [self._tokenizer.attribute(name) for name in answered.attributes]
        if not query.starts or any(len(name) == 1 for name in names):
            return None
        scores: list[RowScores] = []
        for row in pack(query, names, row_tokens=_row_tokens(query)):
            if not self._find_idle(answered.idle):
                return []
            try:
                scores += self._model.run([row])
            except ModelFailed as error:
                logger.warning("the shadow bundle failed on a row", exc_info=error)
                return None
        return scoring.softmax(list(chain.from_iterable(each.logits.tolist() for each in scores)), self._temperature)

    def _find_idle(self, idle: Callable[[], bool]) -> bool:
        """Wait for an idle moment; whether one came before the end."""
        with self._changed:
            while self._open and not idle():
                self._changed.wait(PAUSE_S)
            return self._open


def _row_tokens(query: QueryTokens) -> int:
    return max(ROW_TOKENS, len(query.ids) + LEAST_ROOM)


@dataclass(frozen=True, slots=True)
class Beside:
    """The shadow of one bundle in service."""

    shadow: Shadow
    idle: Callable[[], bool]

    def saw(
        self, query: str, attributes: Sequence[str], tokens: QueryTokens, weights: Sequence[float], entropy: float
    ) -> None:
        """An answer by the model alone."""
        del tokens, entropy
        self.shadow.offer(query, attributes, weights, self.idle)
