"""wrk, a closed loop in C: so many connections, each with one request under way, as fast as the server answers.

It measures throughput; its latencies are those of callers who wait for one another.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True, slots=True)
class Throughput:
    """What one run of wrk found; `failed` counts answers that are not 2xx or 3xx and broken or late connections."""

    per_second: float
    p50_ms: float
    p99_ms: float
    requests: int
    failed: int


def wrk(script: str, url: str, *, seconds: float, connections: int = 8) -> Throughput:
    """Run a script of this folder against a URL. Raises RuntimeError when wrk is missing or says nothing of use."""
    program = shutil.which("wrk")
    if not program:
        raise RuntimeError("wrk is not on PATH; Debian's package is called wrk")
    command = [
        program,
        "-t1",
        f"-c{connections}",
        f"-d{max(1, round(seconds))}s",
        "--latency",
        "-s",
        str(HERE / script),
        url,
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    if ended.returncode or "Requests/sec" not in ended.stdout:
        raise RuntimeError(f"{' '.join(command)}: {ended.stdout} {ended.stderr}")
    return read(ended.stdout)


def read(text: str) -> Throughput:
    """What wrk's report says."""
    broken = re.search(r"Socket errors: (.*)", text)
    others = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return Throughput(
        per_second=float(_found(r"Requests/sec: +([\d.]+)", text)[1]),
        p50_ms=_milliseconds(_found(r"50% +([\d.]+)(\w+)", text)),
        p99_ms=_milliseconds(_found(r"99% +([\d.]+)(\w+)", text)),
        requests=int(_found(r"(\d+) requests in", text)[1]),
        failed=sum(map(int, re.findall(r"\d+", broken[1] if broken else ""))) + int(others[1] if others else 0),
    )


def _found(pattern: str, text: str) -> re.Match[str]:
    found = re.search(pattern, text)
    if not found:
        raise RuntimeError(f"wrk's report has no {pattern!r}: {text}")
    return found


def _milliseconds(found: re.Match[str]) -> float:
    return float(found[1]) * MILLISECONDS[found[2]]
