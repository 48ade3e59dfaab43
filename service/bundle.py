"""The bundle: a folder with everything that serving needs and everything about where it came from.

    manifest.json     format, version, the hash and size of each file, what the model was made from, its limits
    tokenizer.json    the tokenizer
    model.int8.onnx   the graph for CPUs
    model.fp16.onnx   the graph for GPUs (may be missing)
    prior.json        a logit for each known attribute name, in lower case, for answers without the model
    pictures.onnx     the graph that weighs pictures against texts, see `pictures` (may be missing)

Knows: the manifest, its checks, how a version is made. Does not know: ONNX, how a bundle is trained.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from service.errors import BundleError

FORMAT = 4
MANIFEST = "manifest.json"
ROLES = ("tokenizer", "cpu", "gpu", "prior", "pictures")
REQUIRED_ROLES = ("tokenizer", "cpu", "prior")


class Formula(NamedTuple):
    """The constants of a product's score, see `relevance`; `join` is how near two names must be to mean the same."""

    overlap: float
    exclusion: float
    strength: float
    join: float


class Reference(NamedTuple):
    """What the bundle's dev data looked like to it: the share of word pieces of queries that the tokenizer does not
    know, the mean entropy of the weights over that of equal ones, and the calibration error of the top weight.
    """

    unknown_ratio: float
    entropy_ratio: float
    calibration_error: float


@dataclass(frozen=True, slots=True)
class Bundle:
    """A checked bundle. `version` is the hash of its content, `manifest` all that its manifest says; older ones lack
    the `reference`.

    `image_width` is how many numbers a picture's vector has, None in a bundle that reads no pictures; what is chosen by
    `image_threshold` or more of probability is sure enough to be stored.
    """

    name: str
    version: str
    temperature: float
    value_threshold: float
    formula: Formula
    max_query_tokens: int
    max_attribute_tokens: int
    paths: dict[str, Path]
    manifest: dict[str, Any]
    image_width: int | None = None
    image_threshold: float = 1.0
    reference: Reference | None = None


def default_folder() -> Path:
    """The bundle that ships in the package."""
    return Path(str(files("service"))) / "default_bundle"


def version_of(manifest: dict[str, Any]) -> str:
    """Twelve hex digits of the hash of the manifest without its version: every file's hash is in it."""
    content = {key: value for key, value in manifest.items() if key != "version"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:12]


def open_bundle(folder: Path) -> Bundle:
    """Read and check a bundle: every file is there with its size and hash, the manifest is whole.

    Raises BundleError, its message naming the file and what is wrong with it.
    """
    manifest = _manifest(folder)
    try:
        paths = {role: folder / entry["path"] for role, entry in manifest["files"].items() if role in ROLES}
        for role in REQUIRED_ROLES:
            if role not in paths:
                raise BundleError(f"the bundle {folder} lists no {role} file in its {MANIFEST}")
        for role, path in paths.items():
            _check(path, manifest["files"][role])
        for entry in ("base", "training_data", "metrics"):
            manifest[entry]
        if manifest["version"] != version_of(manifest):
            raise BundleError(f"{folder / MANIFEST} was altered: its content does not give its version")
        pictures = manifest["pictures"] if "pictures" in paths else None
        return Bundle(
            name=manifest["name"],
            version=manifest["version"],
            temperature=float(manifest["temperature"]),
            value_threshold=float(manifest["value_threshold"]),
            formula=Formula(**{name: float(manifest["ranking"][name]) for name in Formula._fields}),
            max_query_tokens=int(manifest["limits"]["max_query_tokens"]),
            max_attribute_tokens=int(manifest["limits"]["max_attribute_tokens"]),
            paths=paths,
            manifest=manifest,
            image_width=int(pictures["width"]) if pictures else None,
            image_threshold=float(pictures["threshold"]) if pictures else 1.0,
            reference=_reference(manifest.get("reference")),
        )
    except KeyError as error:
        raise BundleError(f"{folder / MANIFEST} has no entry {error}: package the bundle again") from error
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BundleError(f"{folder / MANIFEST} has an entry of the wrong kind ({error}): package it again") from error


def _reference(entry: Any) -> Reference | None:
    """A figure that could not be measured is null there, and NaN here."""
    if entry is None:
        return None
    figures = {name: entry[name] for name in Reference._fields}
    return Reference(**{name: math.nan if value is None else float(value) for name, value in figures.items()})


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BundleError(f"the bundle {folder} has no readable {MANIFEST}: {error.strerror}") from error
    except ValueError as error:
        raise BundleError(f"{path} is not JSON: package the bundle again") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else None
        raise BundleError(f"{path} is of format {found!r} and this service reads format {FORMAT}: package it again")
    return manifest


def _check(path: Path, entry: dict[str, Any]) -> None:
    if not path.is_file():
        raise BundleError(f"the bundle's file {path} is missing: copy the whole folder again")
    try:
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise BundleError(f"the bundle's file {path} cannot be read: {error.strerror}") from error
    if path.stat().st_size != entry["bytes"] or digest != entry["sha256"]:
        raise BundleError(f"the bundle's file {path} was altered: its hash is not the manifest's")
