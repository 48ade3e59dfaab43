"""Routes that read JSON bytes straight into their schema and answer JSON bytes, within the request's time.

FastAPI documents them like any other; what it would do between bytes and schema, by way of Python objects, is left
out: that took as long as all the rest of a request from the cache.

Knows: bodies, deadlines, callers who hang up. Does not know: what is asked.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, cast, get_type_hints

import orjson
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import BadInput, ClientGone, DeadlineExceeded, RankerError
from service.settings import Settings
from service.telemetry import Telemetry

TIMEOUT_HEADER = "x-request-timeout-ms"
WATCH_AFTER_S = 0.1
TIMEOUT_PARAMETER: dict[str, Any] = {
    "name": "X-Request-Timeout-Ms",
    "in": "header",
    "description": "Time for this request in milliseconds, where it is shorter than the service's own.",
    "schema": {"type": "integer", "minimum": 1},
}


class DirectRoute(APIRoute):
    """A POST whose endpoint takes `(body, request, deadline)`, the body being its schema's, and gives what orjson can
    write. `deadline` is as `time.monotonic` counts.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.dependant.query_params.clear()  # `deadline` would be documented as one
        self.app = self._straight()

    def _straight(self) -> ASGIApp:
        """What answers a request, in place of what FastAPI puts around an endpoint for its dependencies."""
        endpoint = self.endpoint
        schema = cast(type[BaseModel], get_type_hints(endpoint)["body"])

        async def straight(scope: Scope, receive: Receive, send: Send) -> None:
            request = Request(scope, receive)
            state: dict[str, Any] = request.scope["state"]
            telemetry: Telemetry = state["telemetry"]
            with counted(telemetry):
                deadline = state["begun"] + time_allowed(request, state["settings"])
                content = await whole_body(request, deadline)
            read = time.monotonic()
            try:
                body = schema.model_validate_json(content)
            except ValidationError as error:
                raise RequestValidationError(error.errors(include_url=False, include_input=False)) from error
            telemetry.observe("parse", read, time.monotonic())
            answer = await endpoint(body, request, deadline)
            await Response(orjson.dumps(answer), media_type="application/json")(scope, receive, send)

        return straight


@contextmanager
def counted(telemetry: Telemetry) -> Iterator[None]:
    """What goes wrong inside is counted by its reason."""
    try:
        yield
    except RankerError as error:
        telemetry.rejected.labels(error.code).inc()
        raise


async def whole_body(request: Request, deadline: float) -> bytes:
    """The body. Raises DeadlineExceeded, and ClientGone where the caller hangs up in the middle of it."""
    parts: list[bytes] = []
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            while True:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone("the caller has hung up")
                parts.append(message.get("body", b""))
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError as error:
        raise DeadlineExceeded("the body did not come within the request's time") from error


def time_allowed(request: Request, settings: Settings) -> float:
    """Seconds: the service's own limit, or the caller's where that is shorter. Raises BadInput."""
    given = request.headers.get(TIMEOUT_HEADER)
    if given is None:
        return settings.request_timeout_ms / 1000
    if not (given.isascii() and given.isdigit() and 0 < len(given) < 10 and int(given) > 0):
        raise BadInput("it is a whole number of milliseconds, at least 1", TIMEOUT_HEADER)
    return min(int(given), settings.request_timeout_ms) / 1000


class WhileConnected:
    """Work inside is cancelled when the caller hangs up, and raises ClientGone. The body has been read.

    It is looked after from 0.1 s on: most work is done by then, and a task for each would cost it dearly.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._gone = False
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._work = asyncio.current_task()
        self._begin = asyncio.get_running_loop().call_later(WATCH_AFTER_S, self._begin_to_watch)
        return self

    def _begin_to_watch(self) -> None:
        self._watcher = asyncio.create_task(self._watch(), name="connected")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._begin.cancel()
        if self._watcher:
            self._watcher.cancel()
            self._watcher = None  # it knows us: what knows each other waits for the garbage collector
        if self._gone and kind is asyncio.CancelledError and self._work and not self._work.uncancel():
            raise ClientGone("the caller has hung up") from error

    async def _watch(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        if self._work:
            self._work.cancel()
