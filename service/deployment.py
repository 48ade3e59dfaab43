"""Bundles in service: one at a time, and another put in its place without a request failing.

Knows: what a bundle needs to answer, who still works with it. Does not know: HTTP, who asks for a swap.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from service.batching import Batcher
from service.bundle import Bundle
from service.drift import tell_reference
from service.errors import StartError, SwapRefused
from service.extracting import Extractor
from service.model import Model
from service.ranking import Ranker
from service.readiness import Readiness
from service.telemetry import Telemetry
from service.weighting import Weigher

logger = logging.getLogger(__name__)

DRAIN_S = 60.0
"""How long requests may take to finish on a bundle that has been replaced."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A bundle with all that answers from it, made but not begun."""

    bundle: Bundle
    model: Model
    batcher: Batcher
    weigher: Weigher
    extractor: Extractor
    ranker: Ranker


class Deployment:
    """A bundle in service, and how many requests are at work with it."""

    def __init__(self, parts: Parts) -> None:
        self.bundle, self.model, self.weigher = parts.bundle, parts.model, parts.weigher
        self.extractor, self.ranker = parts.extractor, parts.ranker
        self._readiness = Readiness(parts.batcher)
        self._batcher = parts.batcher
        self._users = 0
        self._unused = asyncio.Event()
        self._unused.set()

    @contextmanager
    def used(self) -> Iterator[Self]:
        """While a request is at work with it, it stays open."""
        self._users += 1
        self._unused.clear()
        try:
            yield self
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()

    async def check(self) -> None:
        """Return when the model answers; raises NotReady. It counts as a request: a swap does not cut it off."""
        with self.used():
            await self._readiness.check()

    async def open(self) -> None:
        """Begin."""
        await self._batcher.__aenter__()

    async def close(self) -> None:
        """Wait for those at work, not for ever, and end."""
        try:
            async with asyncio.timeout(DRAIN_S):
                await self._unused.wait()
        except TimeoutError:
            logger.error("requests still work with bundle %s, which is closed now", self.bundle.version)
        await self._batcher.__aexit__(None, None, None)


class Deployments:
    """The bundle in service; an async context manager.

    `build` makes one from a folder: it may block, and raises StartError. `announce` is called with the folder of each
    that takes over.
    """

    def __init__(
        self,
        build: Callable[[Path], Parts],
        folder: Path,
        telemetry: Telemetry,
        *,
        announce: Callable[[Path], None] | None = None,
    ) -> None:
        self._build, self._telemetry, self._announce = build, telemetry, announce
        self._folder = self._at_start = folder
        self._swapping = asyncio.Lock()
        self._retired: set[asyncio.Task[None]] = set()
        self.current: Deployment

    async def __aenter__(self) -> Self:
        self.current = Deployment(self._build(self._folder))
        await self.current.open()
        self._tell(self.current, 1)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(self.current.close(), *self._retired, return_exceptions=True)

    @property
    def identity(self) -> tuple[str, str, str]:
        """Name and version of the bundle in service, and the device it is on."""
        return self.current.bundle.name, self.current.bundle.version, self.current.model.device

    async def swap(self, folder: Path | None = None) -> Deployment:
        """Load, check and warm the bundle of a folder (or of the same one again), then let it take over.

        Requests under way finish on the bundle they began with. Raises SwapRefused, and nothing has changed.
        """
        async with self._swapping:
            folder = folder or self._folder
            try:
                parts = await asyncio.to_thread(self._build, folder)
            except StartError as error:
                self._telemetry.swaps.labels("refused").inc()
                raise SwapRefused(f"{' '.join(str(error).split())}; the bundle in service stays") from error
            if parts.bundle.version == self.current.bundle.version:
                self._telemetry.swaps.labels("unchanged").inc()
                return self.current
            replacement, replaced = Deployment(parts), self.current
            await replacement.open()
            self.current, self._folder = replacement, folder
            self._tell(replaced, 0)
            self._tell(replacement, 1)
            self._telemetry.swaps.labels("taken").inc()
            until = self._until_when(folder)
            logger.info("bundle %s has taken over from %s%s", parts.bundle.version, replaced.bundle.version, until)
            retiring = asyncio.create_task(replaced.close(), name="retire")
            self._retired.add(retiring)
            retiring.add_done_callback(self._retired.discard)
            try:
                if self._announce:
                    self._announce(folder)
            except OSError as error:
                logger.error("the other processes could not be told of bundle %s: %s", parts.bundle.version, error)
            return replacement

    def _until_when(self, folder: Path) -> str:
        """What the log says of a folder that the next start will not know of."""
        known = folder.resolve() == self._at_start.resolve()
        return "" if known else f" until the next start; set RANKER_BUNDLE to {folder} to keep it"

    def _tell(self, deployment: Deployment, value: int) -> None:
        bundle = deployment.bundle
        self._telemetry.model.labels(bundle.name, bundle.version, deployment.model.device).set(value)
        if value:
            tell_reference(bundle.reference, self._telemetry)
