"""What each error means to a caller: one body, one table from error class to status.

Knows: the error tree, status codes, FastAPI's own errors. Does not know: where errors come from.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from service.api.complaints import complaint
from service.api.middleware import REQUEST_ID
from service.api.schemas import ErrorAnswer
from service.errors import (
    BadInput,
    ClientGone,
    DeadlineExceeded,
    EventRefused,
    Later,
    LedgerAway,
    ModelFailed,
    NotReady,
    NoVocabulary,
    Overloaded,
    RankerError,
    RateLimited,
    RuleRefused,
    SwapRefused,
    Unauthorized,
)
from service.telemetry import request_id

logger = logging.getLogger(__name__)

STATUSES: dict[type[RankerError], int] = {
    BadInput: 422,
    NoVocabulary: 422,
    EventRefused: 422,
    RuleRefused: 422,
    SwapRefused: 422,
    Unauthorized: 401,
    RateLimited: 429,
    ClientGone: 499,
    ModelFailed: 500,
    LedgerAway: 503,
    Overloaded: 503,
    NotReady: 503,
    DeadlineExceeded: 504,
}
HTTP_ERRORS = {
    404: ("not_found", "there is nothing at this path; /docs lists what there is"),
    405: ("method_not_allowed", "this path does not take this method; /docs lists those it takes"),
    413: ("body_too_large", "the body is too large; send fewer or shorter requests"),
    421: ("host_unknown", "this service is not known by the name in the Host header"),
}
DESCRIPTIONS = {
    401: "No key was shown that may do this.",
    404: "There is nothing at this path.",
    413: "The body is too large.",
    422: "The request does not fit; `field` says where.",
    429: "More requests than this key may send; `Retry-After` says when to try again.",
    500: "The model failed on this request.",
    503: "Too much is waiting, or no answer can be had in time; `Retry-After` says when to try again.",
    504: "The answer did not come in time.",
}
NOT_JSON = ("json_invalid", "the body is not JSON in UTF-8")
INTERNAL = ("internal", "something went wrong here; the log has it under the request's id")


def answer(error: RankerError | ValidationError) -> ErrorAnswer:
    """The body for one of our errors, or for a request that does not fit its schema."""
    if isinstance(error, ValidationError):
        return _invalid(error.errors(include_url=False, include_input=False))
    return _answer(error.code, str(error), error.field if isinstance(error, BadInput) else None)


def response(error: RankerError) -> Response:
    """The whole answer for one of our errors."""
    told = _response(STATUSES[type(error)], answer(error))
    if isinstance(error, Later):
        told.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if isinstance(error, Unauthorized):
        told.headers["WWW-Authenticate"] = "Bearer"
    return told


def http_response(error: HTTPException) -> Response:
    """The whole answer for one of Starlette's errors."""
    code, message = HTTP_ERRORS.get(error.status_code, ("http_error", str(error.detail)))
    told = _response(error.status_code, _answer(code, message))
    told.headers.update(error.headers or {})
    return told


def _answer(code: str, message: str, field: str | None = None) -> ErrorAnswer:
    if field:
        return {"error": {"code": code, "message": message, "field": field, "request_id": request_id.get()}}
    return {"error": {"code": code, "message": message, "request_id": request_id.get()}}


def _invalid(errors: Sequence[Mapping[str, Any]]) -> ErrorAnswer:
    first = errors[0]
    if first["type"] == "json_invalid":
        return _answer(*NOT_JSON)
    field, sentence = complaint(first)
    return _answer(first["type"], f"{field}: {sentence}", field)


def _response(status: int, content: ErrorAnswer) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route may answer besides 200."""
    return {status: {"model": ErrorAnswer, "description": DESCRIPTIONS[status]} for status in statuses}


def install(app: FastAPI) -> None:
    """Have every error of the app answered in the one form."""

    @app.exception_handler(RankerError)
    async def ours(_: Request, error: RankerError) -> Response:
        return response(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        return _response(422, _invalid(error.errors()))

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        return http_response(error)

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> Response:
        logger.error("a request failed", exc_info=error)
        told = _response(500, _answer(*INTERNAL))
        told.headers[REQUEST_ID] = request_id.get()
        return told
