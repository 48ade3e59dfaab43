"""`python -m service`: read the settings, start the server. The only place that reads the environment.

`python -m service fold` folds the events that servers with `RANKER_FOLD=0` take, and serves nothing. `python -m service
events --out FOLDER` writes the log of folded events into files.

Knows: the environment, the command line, uvicorn. Does not know: what the application is made of.
"""

import argparse
import asyncio
import contextlib
import difflib
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from socket import socket
from tempfile import TemporaryDirectory
from typing import Any

import uvicorn
from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, CliApp, SettingsConfigDict
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from service.app import create_app, folding, ledger_of_others, metrics_served
from service.errors import LedgerAway, StartError
from service.feedback.saving import EVENTS, QUERIES, Saved, save
from service.protocol import WholeAnswers
from service.settings import Settings
from service.telemetry import SHARED_FOLDER, JsonLines, forget, over_workers, refusals

PREFIX, FROM_FILE = "RANKER_", "_FILE"
SHUTDOWN_S, WORKER_START_S, KEEP_ALIVE_S = 30, 60, 75
WORKER_PAUSE_S, MOST_WORKER_PAUSE_S = 1, 60
"""Between starts of workers, at least; it doubles while they fail."""
FOLD, SAVE = "fold", "events"
GARBAGE_THRESHOLDS = 5_000, 20, 50
SECRETS = [name for name, field in Settings.model_fields.items() if field.annotation == SecretStr | None]

logger = logging.getLogger("service")


class FromOutside(Settings, BaseSettings):
    """Serve weights of attributes for shopping queries over HTTP.

    Each setting is also read from the environment: RANKER_PORT is --port. Secrets may be in files: RANKER_API_KEYS_FILE
    names one.
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
    from_files = {f"{PREFIX}{name.upper()}{FROM_FILE}": f"{PREFIX}{name.upper()}" for name in SECRETS}
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | set(from_files)
    for name in list(os.environ):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            nearest = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0)[0]
            sys.exit(f"{name} is no setting; the nearest is {nearest} (python -m service --help lists all)")
        if name.upper() in from_files and os.environ[name]:
            os.environ[from_files[name.upper()]] = _content(name)
    try:
        found = CliApp.run(FromOutside, cli_args=list(arguments))
    except ValidationError as error:
        first = error.errors()[0]
        name = f"{PREFIX}{str(first['loc'][0]).upper()}" if first["loc"] else "the settings"
        sys.exit(f"{name}: {first['msg']}")
    return Settings.model_validate(found.model_dump())


def _content(name: str) -> str:
    """What is in the file that a variable names; exits with a sentence if that is nothing, for secrets close doors."""
    try:
        content = Path(os.environ[name]).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", "it is not in UTF-8")
        sys.exit(f"{name} names a file that cannot be read: {why}")
    return content or sys.exit(f"{name} names a file with nothing in it")


class PlainStart:
    """Passes everything on, but of a start that failed by name only the sentence that says what is wrong.

    When the start is done, what it made is no more looked at for garbage, and the rest less often: that took a fifth
    of the event loop's time under load. What a bundle leaves behind is freed without it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection."""

        async def plain(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                kind, _, sentence = message["message"].strip().splitlines()[-1].partition(": ")
                if kind.startswith("service.errors."):
                    message = {**message, "message": sentence}
            elif message["type"] == "lifespan.startup.complete":
                gc.collect()
                gc.freeze()
                gc.set_threshold(*GARBAGE_THRESHOLDS)
            await send(message)

        await self._app(scope, receive, plain if scope["type"] == "lifespan" else send)


def application(settings: Settings, shared: Path | None = None) -> ASGIApp:
    """What a process serves. Where several share a folder, the one above them handles SIGHUP: it replaces each."""
    _log(settings)
    hangup = _hangup_ignored()
    return PlainStart(create_app(settings, shared=shared, reload_signal=None if shared else hangup))


def _hangup_ignored() -> signal.Signals | None:
    """SIGHUP, where there is such a signal: one that comes early, or to a worker, or to what folds, ends nothing."""
    hangup: signal.Signals | None = getattr(signal, "SIGHUP", None)
    if hangup:
        signal.signal(hangup, signal.SIG_IGN)
    return hangup


def _log(settings: Settings) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)


def main() -> None:
    """Serve or fold until a signal says stop: requests in flight, or a batch, are finished first. Or write the log."""
    if sys.argv[1:2] == [FOLD]:
        _fold(read_settings(sys.argv[2:]))
        return
    if sys.argv[1:2] == [SAVE]:
        _save(sys.argv[2:])
        return
    settings = read_settings(sys.argv[1:])
    try:
        app = application(settings)
    except StartError as error:
        sys.exit(str(error))
    logger.info("settings", extra={"fields": {"settings": settings.model_dump(mode="json")}})
    options: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "log_config": None,
        "access_log": False,
        "timeout_keep_alive": KEEP_ALIVE_S,
        "timeout_graceful_shutdown": SHUTDOWN_S,
        "http": WholeAnswers,
    }
    if settings.workers == 1:
        uvicorn.run(app, **options)
    else:
        _serve_many(settings, options)


def _fold(settings: Settings) -> None:
    _log(settings)
    _hangup_ignored()

    async def fold() -> None:
        async with folding(settings) as folder:
            for number in (signal.SIGTERM, signal.SIGINT):
                with contextlib.suppress(NotImplementedError):  # Windows has no such signals
                    asyncio.get_running_loop().add_signal_handler(number, folder.end)
            logger.info("folding events")
            await folder.run()

    try:
        asyncio.run(fold())
    except StartError as error:
        sys.exit(str(error))


def _save(arguments: Sequence[str]) -> None:
    """Write the log of folded events; settings as for serving."""
    parser = argparse.ArgumentParser(
        prog="python -m service events",
        description=f"Write the log of folded events as {EVENTS} and {QUERIES}, an object a line, ids hashed. "
        "Settings are those of the service.",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the files, which are replaced")
    given, rest = parser.parse_known_args(arguments)
    settings = read_settings(rest)
    _log(settings)

    async def work() -> Saved:
        async with ledger_of_others(settings) as ledger:
            return await save(ledger, given.out)

    try:
        saved = asyncio.run(work())
    except (StartError, LedgerAway) as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"--out {given.out} cannot be written: {error.strerror}")
    print(f"{saved.events} events and {saved.queries} queries written, {saved.unreadable} unreadable: {given.out}")


class Supervisor(Multiprocess):
    """uvicorn's, but for four things: it stops while it replaces workers, too; it notices at once when a worker ends
    before it serves; once all have served, one that cannot start again takes none of the others with it, and is tried
    less and less often; and a bundle that workers could not begin with is counted as refused.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket], shared: Path) -> None:
        super().__init__(config, sockets)
        self._shared, self._served = shared, False
        self._count_refused = refusals()
        self._newest: Process | None = None
        self._began, self._pause = 0.0, WORKER_PAUSE_S
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.should_exit.set())

    def keep_subprocess_alive(self) -> None:
        """Start another worker for each that has ended."""
        for index, process in enumerate(self.processes):
            process.child_conn.close()  # the end of the pipe is with the worker alone, so that it ends with it
            if self.should_exit.is_set() or process.is_alive(timeout=self.config.timeout_worker_healthcheck):
                continue
            if process.exitcode is None:
                process.kill()
                process.join()
            failed = process.exitcode == STARTUP_FAILURE
            if failed and not self._served:
                self.should_exit.set()
            elif time.monotonic() >= self._began + (self._pause if failed else WORKER_PAUSE_S):
                self._replace(index, failed=failed)
        if not self._served and all(process.is_ready(timeout=0.1) for process in self.processes):
            self._served = True
            logger.info("all %s workers serve", len(self.processes))
        if self._newest and self._newest.is_ready(timeout=0.1):
            self._newest, self._pause = None, WORKER_PAUSE_S

    def handle_hup(self) -> None:
        """Replace all workers, as long as those that come begin."""
        before = list(self.processes)
        super().handle_hup()
        if not self.should_exit.is_set() and any(process in before for process in self.processes):
            logger.error("the bundle was refused: no worker could begin with it, and those that serve stay")
            self._count_refused()

    def _replace(self, index: int, *, failed: bool) -> None:
        """Start another worker for one that has ended, perhaps before it served."""
        ended = self.processes[index]
        self._pause = min(2 * self._pause, MOST_WORKER_PAUSE_S) if failed else WORKER_PAUSE_S
        fields = {"pause_s": self._pause} if failed else {}
        logger.error("worker %s has ended with %s: another begins", ended.pid, ended.exitcode, extra={"fields": fields})
        if failed:
            forget(self._shared, ended.pid)
        self._began = time.monotonic()
        self._newest = self.processes[index] = Process(self.config, self.sockets)
        self._newest.start()


def _serve_many(settings: Settings, options: dict[str, Any]) -> None:
    """Serve from processes that share a socket and a folder, in which they add up their metrics."""
    with ExitStack() as stack:
        shared = Path(stack.enter_context(TemporaryDirectory(prefix="attribute-ranker-")))
        os.environ[SHARED_FOLDER] = str(shared)
        try:
            stack.enter_context(metrics_served(settings, over_workers(shared)))
        except StartError as error:
            sys.exit(str(error))
        config = uvicorn.Config(
            partial(application, settings, shared),
            factory=True,
            workers=settings.workers,
            timeout_worker_healthcheck=WORKER_START_S,
            **options,
        )
        supervisor = Supervisor(config, [stack.enter_context(closing(config.bind_socket()))], shared)
        supervisor.run()
        if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
            sys.exit(STARTUP_FAILURE)


if __name__ == "__main__":
    from service.__main__ import main as under_its_name  # workers could not find `application` in "__main__"

    under_its_name()
