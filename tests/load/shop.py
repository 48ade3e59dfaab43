"""A shop in one process: the shipped bundle ranks, a ledger in memory takes the events, time passes as it is told.

All is the service's own, but HTTP, the clock and the moments when cohorts are made: answers come from its ranker,
events go through its intake and are folded into evidence that its next answers read.

Knows: what the service is composed of. Does not know: who shops there, what for.
"""

import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

from service.api.showing import shown_product
from service.app import BATCH_TOKENS
from service.batching import Batcher
from service.bundle import Bundle, default_folder, open_bundle
from service.cache.levels import PairCache
from service.cache.memory import MemoryCache
from service.cache.vectors import VectorCache
from service.cores import usable_cores
from service.embedding import Embedder
from service.feedback import shown
from service.feedback.cohorting import Alike, Cohorting
from service.feedback.dynamics import Dynamics
from service.feedback.folding import Folder
from service.feedback.intake import Intake
from service.feedback.keys import hashed, user_key
from service.feedback.memory import MemoryLedger
from service.feedback.shown import Shown
from service.feedback.snapshots import STALE_S, Snapshots
from service.feedback.ubi import Rules
from service.inflight import InFlight
from service.keeping import dynamics_options, feedback_limits
from service.matching.parsing import Parser
from service.matching.products import Product
from service.matching.units import Units
from service.model import open_model
from service.prior import open_prior
from service.ranking import Ranker
from service.settings import Settings
from service.telemetry import Telemetry
from service.text import Tokenizer
from service.weighting import Weigher

SECRET = b"simulated"
BEGIN = 1_735_689_600.0


class Clock:
    """Seconds since 1970, which pass when they are told to."""

    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self.now += seconds


@dataclass(frozen=True, slots=True)
class Machine:
    """What all shops have in common: the bundle, its model and what is known of texts and pairs."""

    bundle: Bundle
    tokenizer: Tokenizer
    batcher: Batcher
    pairs: PairCache
    embedder: Embedder
    parser: Parser
    telemetry: Telemetry


@asynccontextmanager
async def machine() -> AsyncIterator[Machine]:
    """The shipped bundle on the CPU."""
    bundle, telemetry, threads = open_bundle(default_folder()), Telemetry(), usable_cores()
    model = open_model(bundle, device="cpu", threads=1, gpu_memory_mb=256)
    tokenizer = Tokenizer(
        bundle.paths["tokenizer"],
        max_query_tokens=bundle.max_query_tokens,
        max_attribute_tokens=bundle.max_attribute_tokens,
    )
    tokens = BATCH_TOKENS["cpu"]
    async with Batcher(model, telemetry, threads=threads, batch_tokens=tokens, queue_rows=4096) as batcher:
        pairs = PairCache(MemoryCache(200_000, memory=10**9), None, telemetry, version=bundle.version)
        texts = MemoryCache(200_000, memory=10**9)
        vectors = VectorCache(texts, None, telemetry, version=bundle.version, width=model.width)
        part = threads * tokens // 2
        embedder = Embedder(tokenizer, batcher, vectors, telemetry, width=model.width, part_tokens=part)
        yield Machine(bundle, tokenizer, batcher, pairs, embedder, Parser(Units.read()), telemetry)


@dataclass(frozen=True, slots=True)
class Answer:
    """Products by their places in the request, best first, and the weights by name; events refer to `query_id`."""

    query_id: str
    order: tuple[int, ...]
    weights: Mapping[str, float]


class Shop:
    """A service with feedback that nobody has used yet; an async context manager."""

    def __init__(self, machine: Machine, settings: Settings) -> None:
        self.clock = Clock()
        bundle, self._telemetry = machine.bundle, machine.telemetry
        limits, options = feedback_limits(settings), dynamics_options(settings)
        self.ledger = MemoryLedger(limits, self._telemetry, clock=self.clock)
        self._snapshots = Snapshots(self.ledger, clock=self.clock)
        self._cohorts_s, self._cohorts_at = settings.personal_cohorts_s, BEGIN
        self._alike = Alike(self.ledger, every_s=self._cohorts_s, clock=self.clock)
        self.dynamics = Dynamics(self._snapshots, options, self.clock, cohorts=lambda: self._alike.cohorts)
        weigher = Weigher(
            machine.tokenizer,
            machine.batcher,
            machine.pairs,
            InFlight(),
            open_prior(bundle.paths["prior"], machine.tokenizer),
            self._telemetry,
            temperature=bundle.temperature,
            value_threshold=bundle.value_threshold,
            dynamics=self.dynamics,
        )
        self._ranker = Ranker(
            weigher, machine.embedder, machine.parser, bundle.formula, machine.tokenizer.plain, self._telemetry
        )
        rules = Rules(SECRET, settings.feedback_late_s, settings.feedback_early_s)
        self._intake = Intake(self.ledger, self._telemetry, rules, self.clock)
        self._folder = Folder(self.ledger, self._telemetry, limits.half_lives, consumer="replay", clock=self.clock)
        self._cohorting = Cohorting(
            self.ledger,
            limits.half_lives,
            options.shrinkage,
            most=settings.personal_cohorts,
            every_s=self._cohorts_s,
            clock=self.clock,
        )
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> Self:
        await self._snapshots.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._snapshots.__aexit__(None, None, None)

    def settle(self) -> None:
        """Let so much time pass that answers read what was folded."""
        self.clock.wait(STALE_S + 1)

    async def answer(self, query: str, products: Sequence[Product], user: str = "") -> Answer:
        """Rank the products for a user, "" for nobody in particular."""
        person = user_key(hashed(user, SECRET)) if user else ""
        ranking = await self._ranker.rank(query, products, person=person)
        query_id, weighting = f"{next(self._numbers):032x}", ranking.weighting
        if weighting and weighting.bent and weighting.behaviour:
            alone = {each.attribute: weighting.bent.alone[each.position] for each in weighting.attributes}
            told = [shown_product(str(one.index), products[one.index], one) for one in ranking.products]
            scopes, explored = weighting.behaviour.scopes, weighting.bent.explored
            key = shown.key(query_id, products=True)
            self.ledger.show(key, shown.encode(Shown(scopes, alone, told, explored)))
        weights = {each.attribute: each.weight for each in weighting.attributes} if weighting else {}
        return Answer(query_id, tuple(each.index for each in ranking.products), weights)

    async def take(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Take events and fold them."""
        await self._intake.take(events)
        while await self._folder.fold():
            pass
        if self.clock() >= self._cohorts_at:
            self._cohorts_at = self.clock() + self._cohorts_s
            await self._cohorting.make()
            await self._alike.read()
