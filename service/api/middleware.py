"""What every request passes through: its id, its count and time, and a bound on its body.

Knows: ASGI. Does not know: routes, schemas.
"""

import os
import re
import time

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.telemetry import Telemetry, request_id

REQUEST_ID = "x-request-id"
_LENGTH = re.compile(r"[0-9]+")
_USABLE_ID = re.compile(r"[\x21-\x7e]{1,128}")


class RequestContext:
    """Gives each request an id (the caller's `X-Request-Id` where it is usable), counts it once and times it.

    Whoever reads more of a body than `max_body_bytes` gets HTTPException 413.
    """

    def __init__(self, app: ASGIApp, telemetry: Telemetry, max_body_bytes: int) -> None:
        self._app, self._telemetry, self._max_body_bytes = app, telemetry, max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an HTTP request on, anything else untouched."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.monotonic(), 500
        headers = dict(scope["headers"])
        given = headers.get(REQUEST_ID.encode(), b"").decode("latin-1")
        identity = given if _USABLE_ID.fullmatch(given) else os.urandom(16).hex()
        request_id.set(identity)
        scope.setdefault("state", {})["begun"] = begun
        told = (REQUEST_ID.encode(), identity.encode())

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), told]
            await send(message)

        announced = headers.get(b"content-length", b"").decode("latin-1")
        bounded = self._bounded(receive, int(announced[:18]) if _LENGTH.fullmatch(announced) else 0)
        try:
            await self._app(scope, bounded, send_with_id)
        finally:
            route = _route(scope)
            self._telemetry.requests.labels(route, str(status)).inc()
            if route.startswith("/v1/weights"):
                self._telemetry.stage.labels("total").observe(time.monotonic() - begun)  # its span is the server's

    def _bounded(self, receive: Receive, announced: int) -> Receive:
        read = 0

        async def bounded() -> Message:
            nonlocal read
            if announced > self._max_body_bytes:
                raise HTTPException(413)
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._max_body_bytes:
                raise HTTPException(413)
            return message

        return bounded


def _route(scope: Scope) -> str:
    """The route that a request was for, also where it was refused on its way there; all unknown paths are one."""
    if "route" in scope:
        return str(getattr(scope["route"], "path", "unknown"))
    known = (getattr(route, "path", "") for route in scope["app"].routes) if "app" in scope else ()
    return next((path for path in known if path == scope["path"]), "unknown")
