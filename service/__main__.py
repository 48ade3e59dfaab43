"""`python -m service`: read the settings, start the server. The only place that reads the environment.

Knows: the environment, the command line, uvicorn. Does not know: what the application is made of.
"""

import difflib
import logging
import os
import sys
from collections.abc import Sequence

import uvicorn
from pydantic import ValidationError
from pydantic_settings import BaseSettings, CliApp, SettingsConfigDict
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.app import create_app
from service.settings import Settings
from service.telemetry import JsonLines

PREFIX = "RANKER_"
SHUTDOWN_S = 30

logger = logging.getLogger("service")


class FromOutside(Settings, BaseSettings):
    """Serve weights of attributes for shopping queries over HTTP.

    Each setting is also read from the environment: RANKER_PORT is --port.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        cli_prog_name="python -m service",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_avoid_json=True,
        cli_hide_none_type=True,
        extra="forbid",
        frozen=True,
    )


def read_settings(arguments: Sequence[str]) -> Settings:
    """The settings that flags, the environment and the defaults give, in this order. Exits with a sentence if none."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    for name in os.environ:
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            nearest = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0)[0]
            sys.exit(f"{name} is no setting; the nearest is {nearest} (python -m service --help lists all)")
    try:
        found = CliApp.run(FromOutside, cli_args=list(arguments))
    except ValidationError as error:
        first = error.errors()[0]
        name = f"{PREFIX}{str(first['loc'][0]).upper()}" if first["loc"] else "the settings"
        sys.exit(f"{name}: {first['msg']}")
    return Settings.model_validate(found.model_dump())


class PlainStart:
    """Passes everything on, but of a start that failed by name only the sentence that says what is wrong."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection."""

        async def plain(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                kind, _, sentence = message["message"].strip().splitlines()[-1].partition(": ")
                if kind.startswith("service.errors."):
                    message = {**message, "message": sentence}
            await send(message)

        await self._app(scope, receive, plain if scope["type"] == "lifespan" else send)


def main() -> None:
    """Serve until a signal says stop: requests in flight are finished first."""
    settings = read_settings(sys.argv[1:])
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])
    logger.info("settings", extra={"fields": {"settings": settings.model_dump(mode="json")}})
    uvicorn.run(
        PlainStart(create_app(settings)),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )


if __name__ == "__main__":
    main()
