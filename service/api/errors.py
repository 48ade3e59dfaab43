"""What each error means to a caller: one body, one table from error class to status.

Knows: the error tree, status codes, FastAPI's own errors. Does not know: where errors come from.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from service.api.middleware import REQUEST_ID
from service.api.schemas import ErrorAnswer, ErrorDetail
from service.errors import BadInput, DeadlineExceeded, ModelFailed, NotReady, Overloaded, RankerError

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 1


class Meaning(NamedTuple):
    """How an error is told: the status, and the code in its body."""

    status: int
    code: str


MEANINGS: dict[type[RankerError], Meaning] = {
    BadInput: Meaning(422, "unreadable"),
    Overloaded: Meaning(503, "overloaded"),
    DeadlineExceeded: Meaning(504, "deadline_exceeded"),
    ModelFailed: Meaning(500, "model_failed"),
    NotReady: Meaning(503, "not_ready"),
}
HTTP_ERRORS = {
    404: ("not_found", "there is nothing at this path; /docs lists what there is"),
    405: ("method_not_allowed", "this path does not take this method; /docs lists those it takes"),
    413: ("body_too_large", "the body is too large; send fewer or shorter requests"),
}
NOT_JSON = ("json_invalid", "the body is not JSON in UTF-8")
INTERNAL = ("internal", "something went wrong here; the log has it under the request's id")


def answer(error: RankerError | ValidationError, request_id: str) -> ErrorAnswer:
    """The body for one of our errors, or for a request that does not fit its schema."""
    if isinstance(error, ValidationError):
        return _invalid(error.errors(include_url=False, include_input=False), request_id)
    field = error.field if isinstance(error, BadInput) else None
    return _answer(MEANINGS[type(error)].code, str(error), request_id, field)


def _answer(code: str, message: str, request_id: str, field: str | None = None) -> ErrorAnswer:
    place = {"field": field} if field else {}
    return ErrorAnswer(error=ErrorDetail(code=code, message=message, request_id=request_id, **place))


def _invalid(errors: Sequence[Mapping[str, Any]], request_id: str) -> ErrorAnswer:
    first = errors[0]
    if first["type"] == "json_invalid":
        return _answer(*NOT_JSON, request_id)
    place = [str(part) for part in first["loc"] if part != "body"] or [first.get("ctx", {}).get("field", "body")]
    field = ".".join(place).encode("utf-8", "backslashreplace").decode()[:200]
    return _answer(first["type"], f"{field}: {first['msg']}", request_id, field)


def _response(status: int, content: ErrorAnswer) -> Response:
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else None
    return Response(content.model_dump_json(exclude_none=True), status, headers=headers, media_type="application/json")


def install(app: FastAPI) -> None:
    """Have every error of the app answered in the one form."""

    @app.exception_handler(RankerError)
    async def ours(request: Request, error: RankerError) -> Response:
        return _response(MEANINGS[type(error)].status, answer(error, request.state.request_id))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return _response(422, _invalid(error.errors(), request.state.request_id))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        status = 422 if error.status_code == 400 else error.status_code  # 400: FastAPI could not read the body
        code, message = HTTP_ERRORS.get(status, NOT_JSON if status == 422 else ("http_error", str(error.detail)))
        told = _response(status, _answer(code, message, request.state.request_id))
        told.headers.update(error.headers or {})
        return told

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        request_id = request.state.request_id
        logger.error("a request failed", exc_info=error, extra={"fields": {"request_id": request_id}})
        told = _response(500, _answer(*INTERNAL, request_id))
        told.headers[REQUEST_ID] = request_id
        return told
