"""How a stage runs: one folder out, a `stage.json` in it, and nothing done twice.

Knows: fingerprints, temporary folders, when a stage may be skipped. Does not know: what any stage does.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

RECORD = "stage.json"


class StageFailed(RuntimeError):
    """A stage could not do its work; the message says what is wrong and the way out."""


def sha256(path: Path) -> str:
    """The hash of a file's content, in hex."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def hashes(inputs: Iterable[Path]) -> dict[str, str]:
    """The hash of every file among the inputs, folders walked through, by the input's place and the path within it.

    So the same content has the same hashes wherever it lies. Raises StageFailed for a missing input.
    """
    found: dict[str, str] = {}
    for place, path in enumerate(inputs):
        if not path.exists():
            raise StageFailed(f"{path} is missing: give it, or run the stage that makes it")
        files = sorted(p for p in path.rglob("*") if p.is_file() and p.name != RECORD) if path.is_dir() else [path]
        found |= {f"{place}/{file.relative_to(path.parent)}": sha256(file) for file in files}
    return found


def make(folder: Path) -> None:
    """Make a folder where there is none. Raises StageFailed: to be asked before the work whose results go there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StageFailed(f"{folder} cannot be a folder: {error.strerror}; name another") from error


def code(*modules: str) -> dict[str, str]:
    """The hashes of modules of this package: a stage runs again when what it is made of changes.

    A package among them counts with all its modules. One of the service is named with it, as "service/text".
    """
    ours = Path(__file__).parent
    found: dict[str, str] = {}
    for name in modules:
        folder = ours.parent if name.startswith("service/") else ours
        files = sorted((folder / name).glob("*.py")) or [folder / f"{name}.py"]
        found |= {str(file.relative_to(folder).with_suffix("")): sha256(file) for file in files}
    return found


def run(
    name: str,
    folder: Path,
    *,
    config: dict[str, Any],
    inputs: Iterable[Path],
    work: Callable[[Path], dict[str, Any]],
    resumable: bool = False,
) -> bool:
    """Run one stage unless `folder` already holds what these inputs and this config give; True if it ran.

    `work` writes into a temporary folder, which takes the place of `folder` when it is done, and returns what
    belongs into the stage's record (counts, metrics). A resumable stage finds what a killed run left there.
    """
    fingerprint = {"config": config, "inputs": hashes(inputs)}
    record = folder / RECORD
    if record.exists():
        previous = json.loads(record.read_text(encoding="utf-8"))
        if {key: previous.get(key) for key in fingerprint} == json.loads(json.dumps(fingerprint)):
            print(f"{name}: nothing has changed, skipped", flush=True)
            return False
    begun = time.monotonic()
    digest = hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()[:16]
    unfinished = folder.with_name(f".{folder.name}.{digest}" if resumable else f".{folder.name}.new")
    if not resumable:
        shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True, exist_ok=True)
    print(f"{name}: running", flush=True)
    outcome = work(unfinished)
    stamp = fingerprint | {"outcome": outcome, "seconds": round(time.monotonic() - begun, 1)}
    (unfinished / RECORD).write_text(json.dumps(stamp, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.replace(folder)
    print(f"{name}: done in {stamp['seconds']} s, in {folder}", flush=True)
    return True
