"""The composition root: settings in, a FastAPI application out.

Knows: which parts there are and in which order they open and close. Does not know: what any of them does.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, start_http_server
from pydantic import SecretStr
from starlette.middleware.cors import CORSMiddleware

from service import workers
from service.api import errors
from service.api.access import Access, Keys, Rate
from service.api.middleware import RequestContext
from service.api.routes import add_routes, series
from service.batching import Batcher
from service.bundle import Bundle, default_folder, open_bundle
from service.cache.connection import connect
from service.cache.levels import PairCache
from service.cache.memory import MemoryCache
from service.cache.redis import RedisCache
from service.cache.rules import RedisRules
from service.cache.vectors import VectorCache
from service.cores import in_group, usable_cores
from service.deployment import Deployments, Parts
from service.drift import Drift
from service.embedding import Embedder
from service.errors import StartError, SwapRefused
from service.extracting import Extractor
from service.feedback.cohorting import Alike
from service.feedback.dynamics import Dynamics
from service.feedback.folding import Folder
from service.feedback.ledger import Ledger
from service.feedback.snapshots import Snapshots
from service.inflight import InFlight
from service.keeping import (
    check_feedback,
    cohorting_of,
    dynamics_options,
    feedback_key,
    folder_of,
    ledger_of,
    redis_cache,
)
from service.matching.parsing import Parser
from service.matching.units import Units
from service.model import Model, open_model
from service.pictures import open_pictures
from service.prior import open_prior
from service.ranking import Ranker
from service.rulebook import Rulebook
from service.settings import Settings
from service.shadow import Shadow
from service.telemetry import Telemetry
from service.text import Tokenizer
from service.tracing import tracing
from service.weighting import Weigher

logger = logging.getLogger(__name__)

DESCRIPTION = """A shopping query and candidate attributes in, weights that sum to one out.

Where the service wants a key, show it as `Authorization: Bearer KEY` or `X-Api-Key: KEY`."""
BATCH_TOKENS = {"cpu": 256, "cuda": 16_384}
"""On a CPU a larger batch is no faster (4 rows give what 8 give) and makes its first row wait for its last."""


def create_app(
    settings: Settings, *, shared: Path | None = None, reload_signal: signal.Signals | None = None
) -> FastAPI:
    """The application; its lifespan opens the bundle, the cache and what else the settings ask for, and closes it.

    `shared` is a folder that it has in common with other processes of one service. On `reload_signal` the folder of
    the bundle in service is read again. Raises StartError, as does the lifespan.
    """
    check_feedback(settings)
    key = feedback_key(settings)
    stack = AsyncExitStack()
    provider = stack.enter_context(tracing()) if settings.traces else None
    telemetry = Telemetry(tracer=provider.get_tracer("service") if provider else None, shared=shared)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with stack, AsyncExitStack() as of_this_loop:
            try:
                opened = await _open(settings, telemetry, of_this_loop, shared)
            except StartError as error:
                raise StartError(" ".join(str(error).split())) from error
            if reload_signal:
                _on_signal(reload_signal, opened["deployments"])
            logger.info("ready: bundle %s %s on %s", *opened["deployments"].identity)
            yield {"settings": settings, "telemetry": telemetry, "feedback_key": key, **opened}

    app = FastAPI(
        title="Attribute Ranker",
        description=DESCRIPTION,
        version="1",
        lifespan=lifespan,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # ours are in `telemetry` and `tracing`
    )
    _add_middleware(app, settings, telemetry, provider)
    add_routes(app, settings)
    for path, status in series(app):
        telemetry.requests.labels(path, status)
    errors.install(app)
    return app


def _add_middleware(app: FastAPI, settings: Settings, telemetry: Telemetry, provider: Any) -> None:
    """From the inside out: what was added last sees a request first."""
    keys, admin = (Keys(_listed(s.get_secret_value() if s else "")) for s in (settings.api_keys, settings.admin_key))
    rate = Rate(settings.rate_limit / settings.workers) if settings.rate_limit else None
    hosts = _listed(settings.allowed_hosts)
    if keys or admin or rate or hosts:
        app.add_middleware(Access, telemetry=telemetry, keys=keys, admin=admin, rate=rate, hosts=hosts)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=_listed(settings.cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
        )
    if provider:
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

        app.add_middleware(
            OpenTelemetryMiddleware,
            tracer_provider=provider,
            exclude_spans=["receive", "send"],
            excluded_urls="/v1/users/,/admin/dynamics",  # their addresses hold a person's id or a query
        )
    app.add_middleware(RequestContext, telemetry=telemetry, max_body_bytes=settings.max_body_bytes)


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.replace("\n", ",").split(",") if part.strip()]


@contextmanager
def metrics_served(settings: Settings, registry: CollectorRegistry) -> Iterator[None]:
    """Metrics on their own port, where the settings name one. Raises StartError."""
    if not settings.metrics_port:
        yield
        return
    try:
        server, thread = start_http_server(settings.metrics_port, settings.host, registry)
    except OSError as error:
        raise StartError(f"RANKER_METRICS_PORT {settings.metrics_port} cannot be used: {error.strerror}") from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Opened(TypedDict):
    """What has a lifetime."""

    deployments: Deployments
    ledger: Ledger | None
    rulebook: Rulebook
    dynamics: Dynamics | None


async def _open(settings: Settings, telemetry: Telemetry, stack: AsyncExitStack, shared: Path | None) -> _Opened:
    if not shared:
        stack.enter_context(metrics_served(settings, telemetry.registry))
    client = connect(settings.redis_url.get_secret_value()) if settings.redis_url else None
    redis = await stack.enter_async_context(redis_cache(client, settings, telemetry)) if client else None
    rules = RedisRules(client, prefix=settings.redis_prefix) if client else None
    feedback = ledger_of(client, redis, settings, telemetry) if settings.feedback else None
    ledger = await stack.enter_async_context(feedback) if feedback else None
    snapshots = await stack.enter_async_context(Snapshots(ledger)) if ledger else None
    alike = await stack.enter_async_context(Alike(ledger, every_s=settings.personal_cohorts_s)) if ledger else None
    dynamics = (
        Dynamics(snapshots, dynamics_options(settings), cohorts=lambda: alike.cohorts) if snapshots and alike else None
    )

    rulebook = await stack.enter_async_context(Rulebook(telemetry, file=settings.rules, store=rules))
    parser = Parser(Units.read())
    shadow = (
        stack.enter_context(_shadow(settings.shadow_bundle, settings, telemetry)) if settings.shadow_bundle else None
    )

    def build(folder: Path) -> Parts:
        return _build(folder, settings, telemetry, redis, parser, dynamics, rulebook, shadow)

    folder = (shared and workers.chosen(shared)) or settings.bundle or default_folder()
    announce = partial(workers.tell, shared) if shared else None
    deployments = await stack.enter_async_context(Deployments(build, folder, telemetry, announce=announce))
    if ledger and settings.fold:
        await stack.enter_async_context(folder_of(ledger, settings, telemetry))
        await stack.enter_async_context(cohorting_of(ledger, settings))
    return {"deployments": deployments, "ledger": ledger, "dynamics": dynamics, "rulebook": rulebook}


@asynccontextmanager
async def ledger_of_others(settings: Settings) -> AsyncIterator[Ledger]:
    """Where other processes keep feedback. Raises StartError."""
    if not settings.redis_url:
        raise StartError("RANKER_REDIS_URL is needed: what is kept in process no other process can read")
    async with _shared_ledger(settings.redis_url, settings, Telemetry()) as ledger:
        yield ledger


@asynccontextmanager
async def folding(settings: Settings) -> AsyncIterator[Folder]:
    """What folds the events of other processes, to be run. Raises StartError."""
    if not settings.redis_url:
        raise StartError("folding alone needs RANKER_REDIS_URL: events that are kept in process are folded there")
    telemetry = Telemetry()
    with metrics_served(settings, telemetry.registry):
        async with _shared_ledger(settings.redis_url, settings, telemetry) as ledger, cohorting_of(ledger, settings):
            yield folder_of(ledger, settings, telemetry)


@asynccontextmanager
async def _shared_ledger(url: SecretStr, settings: Settings, telemetry: Telemetry) -> AsyncIterator[Ledger]:
    client = connect(url.get_secret_value())
    async with (
        redis_cache(client, settings, telemetry) as redis,
        ledger_of(client, redis, settings, telemetry) as ledger,
    ):
        yield ledger


def _opened(folder: Path, settings: Settings) -> tuple[Bundle, Model, Tokenizer]:
    """A checked bundle with its model and tokenizer. Raises StartError."""
    bundle = open_bundle(folder)
    model = open_model(bundle, device=settings.device, threads=1, gpu_memory_mb=settings.gpu_memory_mb)
    tokenizer = Tokenizer(
        bundle.paths["tokenizer"],
        max_query_tokens=bundle.max_query_tokens,
        max_attribute_tokens=bundle.max_attribute_tokens,
    )
    return bundle, model, tokenizer


def _shadow(folder: Path, settings: Settings, telemetry: Telemetry) -> Shadow:
    """The bundle that scores a share of the requests beside the one in service. Raises StartError."""
    bundle, model, tokenizer = _opened(folder, settings)
    telemetry.shadow_model.labels(bundle.name, bundle.version, model.device).set(1)
    logger.info("shadow: bundle %s %s on %s", bundle.name, bundle.version, model.device)
    return Shadow(
        model,
        tokenizer,
        telemetry,
        temperature=bundle.temperature,
        share=settings.shadow_share,
        idle_class=in_group(),
    )


def _build(
    folder: Path,
    settings: Settings,
    telemetry: Telemetry,
    redis: RedisCache | None,
    parser: Parser,
    dynamics: Dynamics | None,
    rulebook: Rulebook,
    shadow: Shadow | None,
) -> Parts:
    """A bundle with its model, tokenizer, caches and batcher. Raises StartError."""
    bundle, model, tokenizer = _opened(folder, settings)
    kind = model.device.partition(":")[0]
    cores = settings.threads or usable_cores()
    threads = max(1, cores // settings.workers) if kind == "cpu" else 1
    batch_tokens = settings.batch_tokens or BATCH_TOKENS[kind]
    batcher = Batcher(
        model,
        telemetry,
        threads=threads,
        batch_tokens=batch_tokens,
        queue_rows=settings.queue_rows,
        idle_class=in_group() and cores > settings.workers,  # else event loops may leave the model no core
    )
    drift = Drift(tokenizer.unknown, telemetry)
    weigher = Weigher(
        tokenizer,
        batcher,
        PairCache(
            MemoryCache(settings.cache_pairs, memory=settings.cache_mb * 1_000_000),
            redis,
            telemetry,
            version=bundle.version,
        ),
        InFlight(),
        open_prior(bundle.paths["prior"], tokenizer),
        telemetry,
        temperature=bundle.temperature,
        value_threshold=bundle.value_threshold,
        dynamics=dynamics,
        rules=rulebook,
        witnesses=[drift, *([shadow.beside(batcher.idle)] if shadow else [])],
    )
    embedder = Embedder(
        tokenizer,
        batcher,
        VectorCache(
            MemoryCache(settings.cache_texts, memory=settings.cache_texts_mb * 1_000_000),
            redis,
            telemetry,
            version=bundle.version,
            width=model.width,
        ),
        telemetry,
        width=model.width,
        part_tokens=threads * batch_tokens // 2,  # half a batch for each thread: others wait for less than a whole one
    )
    ranker = Ranker(weigher, embedder, parser, bundle.formula, tokenizer.plain, telemetry)
    pictures = open_pictures(bundle, model.width)
    extractor = Extractor(weigher, embedder, parser, pictures=pictures, plain=tokenizer.plain)
    return Parts(bundle, model, batcher, weigher, extractor, ranker)


def _on_signal(number: signal.Signals, deployments: Deployments) -> None:
    """Read the bundle again when the signal comes; what is wrong with it goes to the log."""
    swaps: set[asyncio.Task[None]] = set()

    async def swap() -> None:
        try:
            await deployments.swap()
        except SwapRefused as error:
            logger.error("%s", error)

    def ended(task: asyncio.Task[None]) -> None:
        swaps.discard(task)
        if not task.cancelled() and task.exception():
            logger.error("taking over the bundle failed", exc_info=task.exception())

    def begin() -> None:
        task = asyncio.create_task(swap(), name="swap")
        swaps.add(task)
        task.add_done_callback(ended)

    with contextlib.suppress(NotImplementedError):  # Windows has no such signals
        asyncio.get_running_loop().add_signal_handler(number, begin)
