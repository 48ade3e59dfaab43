"""The routes, a few lines each.

Knows: which use case answers which path. Does not know: how it is answered.
"""

import asyncio
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST

from service.api import extraction, people, ranking, reranking, rules
from service.api.batches import each_for_itself
from service.api.direct import TIMEOUT_PARAMETER, DirectRoute, WhileConnected, counted
from service.api.errors import documented
from service.api.events import add_events
from service.api.schemas import (
    BatchAnswer,
    BatchRequest,
    BundleAnswer,
    BundleRequest,
    HealthAnswer,
    ModelAnswer,
    WeightsAnswer,
    WeightsRequest,
    weights_answer,
)
from service.api.showing import check_query_id, person_of, query_id_of
from service.api.state import state
from service.deployment import Deployment
from service.errors import SwapRefused
from service.settings import Settings


async def _weigh(
    request: Request,
    deployment: Deployment,
    wanted: WeightsRequest,
    deadline: float,
    while_scoring: WhileConnected | None = None,
) -> WeightsAnswer:
    """The answer to one request."""
    with counted(state(request)["telemetry"]):
        check_query_id(request, wanted.query_id)
        person = person_of(request, wanted.user_id)
        weighting = await deployment.weigher.weigh(
            wanted.query,
            wanted.attributes,
            temperature=wanted.temperature,
            deadline=deadline,
            fallback=wanted.fallback,
            explain=(wanted.top_k or len(wanted.attributes)) if wanted.explain else 0,
            kind=wanted.product_type,
            person=person,
            while_scoring=while_scoring,
        )
    answer = weights_answer(weighting, wanted, deployment.bundle)
    if query_id := query_id_of(request, wanted.query_id, wanted.query, weighting, wanted.top_k):
        answer["query_id"] = query_id
    return answer


async def weights(body: WeightsRequest, request: Request, deadline: float) -> WeightsAnswer:
    """Weigh the attributes of one query."""
    with state(request)["deployments"].current.used() as deployment:
        return await _weigh(request, deployment, body, deadline, WhileConnected(request))


async def weights_batch(body: BatchRequest, request: Request, deadline: float) -> BatchAnswer:
    """Weigh the attributes of up to 64 queries; one that fails does not fail the others."""
    with state(request)["deployments"].current.used() as deployment:

        async def answer(item: object) -> WeightsAnswer:
            return await _weigh(request, deployment, WeightsRequest.model_validate(item), deadline)

        return {"results": await each_for_itself(request, body.requests, answer)}


def _below(root: Path, path: str) -> Path | None:
    """The folder that a path names below the root; None where it leads elsewhere or is no path."""
    try:
        folder = (root / path).resolve()
    except (OSError, RuntimeError, ValueError):  # a link that leads to itself, a NUL
        return None
    return folder if folder.is_relative_to(root.resolve()) else None


async def bundle(body: BundleRequest, request: Request, deadline: float) -> BundleAnswer:  # noqa: ARG001
    """Load, check and warm another bundle, then let it take over; a bad one changes nothing."""
    opened = state(request)
    deployments, root = opened["deployments"], opened["settings"].bundle_root
    folder = _below(root, body.path) if root else None
    if folder is None:
        opened["telemetry"].swaps.labels("refused").inc()
        raise SwapRefused(f"{body.path} is not below the folder that RANKER_BUNDLE_ROOT names; nothing has changed")
    replaced = deployments.current.bundle.version
    now = (await deployments.swap(folder)).bundle
    return {"name": now.name, "version": now.version, "replaced": replaced}


async def model(request: Request) -> ModelAnswer:
    """The bundle in service: version, limits, what it was trained on and how well it does."""
    deployment = state(request)["deployments"].current
    bundle = deployment.bundle
    return ModelAnswer(
        name=bundle.name,
        version=bundle.version,
        device=deployment.model.device,
        temperature=bundle.temperature,
        value_threshold=bundle.value_threshold,
        pictures=bundle.manifest.get("pictures"),
        **{key: bundle.manifest[key] for key in ("limits", "base", "training_data", "metrics")},
    )


async def livez() -> HealthAnswer:
    """The process answers."""
    return HealthAnswer()


async def readyz(request: Request) -> HealthAnswer:
    """The model answers: a real forward pass succeeded lately, or does now."""
    await state(request)["deployments"].current.check()
    return HealthAnswer()


async def metrics(request: Request) -> Response:
    """Metrics in Prometheus' text form."""
    content = await asyncio.to_thread(state(request)["telemetry"].exposition)
    return Response(content, media_type=CONTENT_TYPE_LATEST)


def add_routes(app: FastAPI, settings: Settings) -> None:
    """Put the routes that these settings open into an app, before FastAPI's own, for routes are tried in order."""
    others = list(app.router.routes)
    app.router.routes.clear()
    asking: dict[str, Any] = {
        "methods": ["POST"],
        "route_class_override": DirectRoute,
        "responses": documented(401, 413, 422, 429, 500, 503, 504),
        "openapi_extra": {"parameters": [TIMEOUT_PARAMETER]},
    }
    app.router.add_api_route("/v1/weights", weights, tags=["weights"], **asking)
    app.router.add_api_route("/v1/weights/batch", weights_batch, tags=["weights"], **asking)
    app.router.add_api_route("/v1/rank", ranking.rank, tags=["products"], **asking)
    app.router.add_api_route("/rerank", reranking.rerank, tags=["products"], **asking)
    app.router.add_api_route("/v1/rerank", reranking.rerank, tags=["products"], **asking)
    app.router.add_api_route("/v2/rerank", reranking.cohere, tags=["products"], **asking)
    app.router.add_api_route("/v1/extract", extraction.extract, tags=["values"], **asking)
    app.router.add_api_route("/v1/extract/batch", extraction.extract_batch, tags=["values"], **asking)
    if settings.feedback:
        add_events(app)
    app.router.add_api_route("/v1/model", model, responses=documented(401, 429), tags=["service"])
    app.router.add_api_route("/livez", livez, tags=["service"])
    app.router.add_api_route("/readyz", readyz, responses=documented(503), tags=["service"])
    if settings.metrics_port is None:
        app.router.add_api_route(
            "/metrics", metrics, response_class=Response, responses=documented(401), tags=["service"]
        )
    if settings.feedback:
        _add_feedback(app, settings)
    if settings.admin_key:
        app.router.add_api_route(
            "/admin/bundle",
            bundle,
            methods=["POST"],
            route_class_override=DirectRoute,
            responses=documented(401, 413, 422, 504),
            tags=["admin"],
        )
        rules.add_routes(app)
    app.router.routes.extend(others)


def _add_feedback(app: FastAPI, settings: Settings) -> None:
    """What is there with feedback alone."""
    users: dict[str, Any] = {"responses": documented(401, 422, 429, 503), "tags": ["people"]}
    app.router.add_api_route("/v1/users/{user_id:path}", people.user, methods=["GET"], **users)
    app.router.add_api_route("/v1/users/{user_id:path}", people.forget_user, methods=["DELETE"], **users)
    if settings.admin_key:
        scopes: dict[str, Any] = {"responses": documented(401, 422, 503), "tags": ["admin"]}
        app.router.add_api_route("/admin/dynamics", people.dynamics, methods=["GET"], **scopes)
        app.router.add_api_route("/admin/dynamics", people.forget_dynamics, methods=["DELETE"], **scopes)


def series(app: FastAPI) -> list[tuple[str, str]]:
    """Every (path, status) that the app's routes may answer with."""
    routes = [route for route in app.routes if isinstance(route, APIRoute)]
    return [(route.path, str(status)) for route in routes for status in (route.status_code or 200, *route.responses)]
