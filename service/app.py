"""The composition root: settings in, a FastAPI application out.

Knows: which parts there are and in which order they open and close. Does not know: what any of them does.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI

from service.api import errors
from service.api.middleware import RequestContext
from service.api.routes import State, documented, router
from service.api.schemas import ModelAnswer
from service.batching import Batcher
from service.bundle import Bundle, default_folder, open_bundle
from service.cache.levels import PairCache
from service.cache.memory import MemoryCache
from service.cache.redis import RedisCache
from service.errors import StartError
from service.model import Model, open_model
from service.readiness import Readiness
from service.settings import Settings
from service.telemetry import Telemetry
from service.text import Tokenizer
from service.weighting import Weigher

logger = logging.getLogger(__name__)

DESCRIPTION = "A shopping query and candidate attributes in, weights that sum to one out."


def create_app(settings: Settings) -> FastAPI:
    """The application; its lifespan opens the bundle, the model, the cache and the batcher, and closes them again.

    Raises nothing itself; the lifespan raises StartError.
    """
    telemetry = Telemetry()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with AsyncExitStack() as stack:
            try:
                state = await _open(settings, telemetry, stack)
            except StartError as error:
                raise StartError(" ".join(str(error).split())) from error
            logger.info("ready: bundle %s %s on %s", *_identity(state["model"]))
            yield dict(state)

    app = FastAPI(
        title="Attribute Ranker", description=DESCRIPTION, version="1", lifespan=lifespan, redirect_slashes=False
    )
    app.add_middleware(RequestContext, telemetry=telemetry, max_body_bytes=settings.max_body_bytes)
    app.include_router(router)
    for path, status in documented():
        telemetry.requests.labels(path, status)
    errors.install(app)
    return app


async def _open(settings: Settings, telemetry: Telemetry, stack: AsyncExitStack) -> State:
    bundle = open_bundle(settings.bundle or default_folder())
    model = open_model(bundle, device=settings.device, threads=settings.threads)
    answer = _model_answer(bundle, model)
    telemetry.model.labels(*_identity(answer)).set(1)
    second = await stack.enter_async_context(_redis(settings, bundle, telemetry)) if settings.redis_url else None
    batcher = await stack.enter_async_context(
        Batcher(model, telemetry, batch_tokens=settings.batch_tokens, queue_rows=settings.queue_rows)
    )
    weigher = Weigher(
        Tokenizer(
            bundle.paths["tokenizer"],
            max_query_tokens=bundle.max_query_tokens,
            max_attribute_tokens=bundle.max_attribute_tokens,
        ),
        batcher,
        PairCache(MemoryCache(settings.cache_pairs), second, telemetry),
        telemetry,
        temperature=bundle.temperature,
        value_threshold=bundle.value_threshold,
    )
    return State(settings=settings, telemetry=telemetry, weigher=weigher, readiness=Readiness(batcher), model=answer)


def _redis(settings: Settings, bundle: Bundle, telemetry: Telemetry) -> RedisCache:
    assert settings.redis_url is not None
    return RedisCache(
        settings.redis_url.get_secret_value(),
        telemetry,
        version=bundle.version,
        prefix=settings.redis_prefix,
        timeout=settings.redis_timeout_ms / 1000,
        ttl_s=settings.redis_ttl_s,
        connections=settings.redis_connections,
    )


def _model_answer(bundle: Bundle, model: Model) -> ModelAnswer:
    return ModelAnswer(
        name=bundle.name,
        version=bundle.version,
        device=model.device,
        temperature=bundle.temperature,
        value_threshold=bundle.value_threshold,
        **{key: bundle.manifest[key] for key in ("limits", "base", "training_data", "metrics")},
    )


def _identity(model: ModelAnswer) -> tuple[str, str, str]:
    return model.name, model.version, model.device
