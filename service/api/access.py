"""Who may ask, and how often: names of the host, keys, a rate for each key.

Knows: headers, keys, buckets of tokens. Does not know: what is asked.
"""

import hmac
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from hashlib import sha256

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api import errors
from service.errors import RankerError, RateLimited, Unauthorized
from service.telemetry import Telemetry

OPEN = ("/livez", "/readyz", "/docs", "/openapi.json")
"""Paths for which no key is wanted."""
ADMIN, COUNTED = "/admin", ("/v1/", "/v2/", "/rerank")
CALLERS_KNOWN = 10_000
ROUNDING = 1e-6
"""Of a request: who has waited as long as it was told must not fail on the clock's last digits."""


class Keys:
    """A set of keys. Comparing takes the same time whatever is shown, but for its length."""

    def __init__(self, keys: Collection[str]) -> None:
        self._digests = [sha256(key.encode()).digest() for key in keys]

    def __len__(self) -> int:
        return len(self._digests)

    def known(self, key: bytes) -> bool:
        """Whether it is one of them, in UTF-8."""
        shown = sha256(key).digest()
        return sum(hmac.compare_digest(shown, digest) for digest in self._digests) > 0


class Rate:
    """At most `per_second` requests a second for each caller, on the whole; up to a second's worth of them at once.

    Of the callers, the 10,000 seen last are remembered.
    """

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._burst, self._clock = per_second, max(1.0, per_second), clock
        self._callers: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> None:
        """Count a request. Raises RateLimited, with the time until the next may come."""
        now = self._clock()
        left, since = self._callers.pop(caller, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._per_second)
        allowed = left >= 1 - ROUNDING
        self._callers[caller] = (left - allowed, now)
        if len(self._callers) > CALLERS_KNOWN:
            self._callers.popitem(last=False)
        if not allowed:
            raise RateLimited(
                f"more than {self._per_second:g} requests a second came with this key or from this address",
                (1 - left) / self._per_second,
            )


class Access:
    """Lets through what may come: to /admin with the admin key if there is one, elsewhere with any where there are."""

    def __init__(
        self,
        app: ASGIApp,
        telemetry: Telemetry,
        *,
        keys: Keys,
        admin: Keys,
        rate: Rate | None,
        hosts: Collection[str] = (),
    ) -> None:
        self._app, self._telemetry = app, telemetry
        self._keys, self._admin, self._rate = keys, admin, rate
        self._hosts = [host.lower().strip("[]") for host in hosts]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope)
        except RankerError as error:
            self._telemetry.rejected.labels(error.code).inc()
            await errors.response(error)(scope, receive, send)
        except HTTPException as error:
            await errors.http_response(error)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers, path = Headers(scope=scope), scope["path"]
        if path in OPEN:
            return
        if self._hosts and not _named(headers.get("host", ""), self._hosts):
            raise HTTPException(421)
        key = _shown(headers)
        wanted = self._admin if self._admin and path.startswith(ADMIN) else self._keys
        if wanted and not wanted.known(key):
            raise Unauthorized("show a key that may do this, as Authorization: Bearer KEY or X-Api-Key: KEY")
        if self._rate and path.startswith(COUNTED):
            client = scope.get("client") or ("",)
            self._rate.take(sha256(key).hexdigest() if self._keys else client[0])


def _shown(headers: Headers) -> bytes:
    """The key in a request's headers as its bytes, none where it shows none."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return (headers.get("x-api-key") or (key.strip() if scheme.lower() == "bearer" else "")).encode("latin-1")


def _named(host: str, allowed: Collection[str]) -> bool:
    """Whether a Host header is one of these names, of which `*.example.com` stands for all below it."""
    name, _, port = host.lower().rpartition(":")
    name = (name if name and port.isdecimal() else host.lower()).strip("[]")
    return any(name == pattern or (pattern[:2] == "*." and name[1:].endswith(pattern[1:])) for pattern in allowed)
