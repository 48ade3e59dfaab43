"""The routes, a few lines each.

Knows: which use case answers which path, and within which time. Does not know: how it is answered.
"""

import asyncio
from typing import Any, TypedDict, cast

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import ValidationError

from service.api import errors
from service.api.schemas import (
    BatchAnswer,
    BatchRequest,
    ErrorAnswer,
    HealthAnswer,
    ModelAnswer,
    ModelName,
    WeightsAnswer,
    WeightsRequest,
    weights_answer,
)
from service.errors import DeadlineExceeded, RankerError
from service.readiness import Readiness
from service.settings import Settings
from service.telemetry import Telemetry
from service.weighting import Weigher, Weighting


class State(TypedDict):
    """What the lifespan opened, for the routes."""

    settings: Settings
    telemetry: Telemetry
    weigher: Weigher
    readiness: Readiness
    model: ModelAnswer


router = APIRouter()
ERRORS: dict[int | str, dict[str, Any]] = {
    413: {"model": ErrorAnswer, "description": "The body is too large."},
    422: {"model": ErrorAnswer, "description": "The request does not fit; `field` says where."},
    500: {"model": ErrorAnswer, "description": "The model failed on this request."},
    503: {"model": ErrorAnswer, "description": "Too much is waiting; `Retry-After` says when to try again."},
    504: {"model": ErrorAnswer, "description": "The answer would come too late."},
}


def documented() -> list[tuple[str, str]]:
    """Every (path, status) that the routes may answer with."""
    routes = [route for route in router.routes if isinstance(route, APIRoute)]
    return [(route.path, str(status)) for route in routes for status in (200, *route.responses)]


def _state(request: Request) -> State:
    return cast(State, request.scope["state"])


async def _weigh(state: State, wanted: WeightsRequest) -> Weighting:
    rejected = state["telemetry"].rejected
    milliseconds = state["settings"].request_timeout_ms
    try:
        async with asyncio.timeout(milliseconds / 1000):
            return await state["weigher"].weigh(wanted.query, wanted.attributes, temperature=wanted.temperature)
    except TimeoutError as error:
        rejected.labels("deadline_exceeded").inc()
        raise DeadlineExceeded(f"no answer within {milliseconds} ms") from error
    except RankerError as error:
        rejected.labels(errors.MEANINGS[type(error)].code).inc()
        raise


def _name(state: State) -> ModelName:
    return ModelName(name=state["model"].name, version=state["model"].version)


@router.post("/v1/weights", responses=ERRORS, response_model_exclude_unset=True, tags=["weights"])
async def weights(wanted: WeightsRequest, request: Request) -> WeightsAnswer:
    """Weigh the attributes of one query."""
    state = _state(request)
    return weights_answer(await _weigh(state, wanted), wanted, _name(state))


@router.post("/v1/weights/batch", responses=ERRORS, response_model_exclude_unset=True, tags=["weights"])
async def weights_batch(batch: BatchRequest, request: Request) -> BatchAnswer:
    """Weigh the attributes of up to 64 queries; one that fails does not fail the others."""
    state = _state(request)

    async def result(item: object) -> WeightsAnswer | ErrorAnswer:
        try:
            wanted = WeightsRequest.model_validate(item)
            return weights_answer(await _weigh(state, wanted), wanted, _name(state))
        except (RankerError, ValidationError) as error:
            return errors.answer(error, request.state.request_id)

    return BatchAnswer.model_construct(results=await asyncio.gather(*map(result, batch.requests)))


@router.get("/v1/model", tags=["service"])
async def model(request: Request) -> ModelAnswer:
    """The bundle in service: version, limits, what it was trained on and how well it does."""
    return _state(request)["model"]


@router.get("/livez", tags=["service"])
async def livez() -> HealthAnswer:
    """The process answers."""
    return HealthAnswer()


@router.get("/readyz", responses={503: ERRORS[503]}, tags=["service"])
async def readyz(request: Request) -> HealthAnswer:
    """The model answers: a real forward pass succeeded lately, or does now."""
    await _state(request)["readiness"].check()
    return HealthAnswer()


@router.get("/metrics", tags=["service"], response_class=Response)
async def metrics(request: Request) -> Response:
    """Metrics in Prometheus' text form."""
    return Response(generate_latest(_state(request)["telemetry"].registry), media_type=CONTENT_TYPE_LATEST)
