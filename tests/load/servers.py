"""The servers that are measured, each a process (or several) of its own on 127.0.0.1, over when its block is.

Knows: how each is started, when it is ready, how much memory it holds. Does not know: what is asked of them.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
QUIET = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0"}


class StartFailed(RuntimeError):
    """A server that ended, or was not ready in time; the text has the end of what it logged."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is ready."""

    url: str
    pid: int

    def memory_mb(self, what: str = "Rss") -> float:
        """Memory of the process and its descendants in MB: "Rss", or "Pss", which counts shared pages once."""
        rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in (self.pid, *descendants(self.pid))]
        return round(sum(int(text.split(f"\n{what}:")[1].split()[0]) for text in rollups) / 1000, 1)

    def metric(self, series: str) -> float:
        """The sum of the series at /metrics that begin so: "name", or "name{label=..."; 0 where there is none."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return float(sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(series)))


def descendants(pid: int) -> list[int]:
    """The children of a process, and theirs."""
    children = [
        int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()
    ]
    return children + [each for child in children for each in descendants(child)]


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def environment(**more: str) -> dict[str, str]:
    """This process's, without settings of the service, and with this checkout first on Python's path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RANKER_")}
    return kept | {"PYTHONPATH": str(ROOT)} | more


def service(logs: Path, *flags: str) -> AbstractContextManager[Server]:
    """This service on the CPU; flags as on its command line."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "service",
        "--port",
        str(port),
        "--device",
        "cpu",
        "--log-level",
        "warning",
        *flags,
    ]
    return started("service", command, port=port, ready="/readyz", logs=logs)


def empty_route(logs: Path) -> AbstractContextManager[Server]:
    """The empty route."""
    port = free_port()
    command = [sys.executable, str(ROOT / "tests/load/empty_route.py"), "--port", str(port)]
    return started("empty_route", command, port=port, ready="/readyz", logs=logs)


def infinity(logs: Path, venv: Path, model: Path) -> AbstractContextManager[Server]:
    """The peer, from the two folders that peer_infinity.sh makes."""
    port = free_port()
    command = [
        *(str(venv / "bin/infinity_emb"), "v2", "--model-id", str(model), "--served-model-name", "peer"),
        *("--engine", "torch", "--device", "cpu", "--no-bettertransformer", "--host", "127.0.0.1", "--port", str(port)),
        *("--log-level", "warning"),
    ]
    return started("infinity", command, port=port, ready="/health", logs=logs, seconds=120, more=QUIET)


@contextmanager
def started(
    name: str,
    command: list[str],
    *,
    port: int,
    ready: str,
    logs: Path,
    seconds: float = 60,
    more: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """A server, ready: its path `ready` answers 200. At the end it is told to stop; what is left of it is killed."""
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{name}.log"
    url = f"http://127.0.0.1:{port}"
    with log.open("ab") as sink:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(**(more or {})), stdout=sink, stderr=sink, start_new_session=True
        )
    try:
        deadline = time.monotonic() + seconds
        while not answers(url + ready):
            if process.poll() is not None or time.monotonic() > deadline:
                raise StartFailed(f"{' '.join(command)}: not ready. {log.read_text(errors='replace')[-600:]}")
            time.sleep(0.05)
        yield Server(url, process.pid)
    finally:
        end(process)


def end(process: "subprocess.Popen[bytes]", seconds: float = 20) -> None:
    """Tell a process that leads a session to stop; after that time, and its children at once then, kill."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def answers(url: str) -> bool:
    """Whether a URL answers 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status) == 200
    except (urllib.error.URLError, OSError):
        return False
