"""A bundle that is not whole is refused with one sentence naming what is wrong."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from service.bundle import FORMAT, Bundle, Formula, open_bundle, version_of
from service.errors import BundleError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small bundle whose graph is not looked at."""
    files = {"tokenizer": "tokenizer.json", "cpu": "model.int8.onnx", "prior": "prior.json"}
    entries = {}
    for role, name in files.items():
        (tmp_path / name).write_text(role)
        content = (tmp_path / name).read_bytes()
        entries[role] = {"path": name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    limits = {"max_query_tokens": 384, "max_attribute_tokens": 128}
    write(
        tmp_path,
        {
            "format": FORMAT,
            "name": "t",
            "files": entries,
            "temperature": 1,
            "value_threshold": 0.5,
            "ranking": {"overlap": 0.1, "exclusion": 0.2, "strength": 0.3, "join": 0.8},
            "limits": limits,
            "base": {},
            "training_data": [],
            "metrics": {},
        },
    )
    return tmp_path


def write(folder: Path, manifest: dict[str, Any]) -> None:
    manifest["version"] = version_of(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def manifest_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return content


def test_a_whole_bundle_opens(folder: Path) -> None:
    assert open_bundle(folder).version == manifest_of(folder)["version"]


def test_a_moved_bundle_keeps_its_version(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    moved = tmp_path_factory.mktemp("moved") / "bundle"
    shutil.copytree(folder, moved)
    assert open_bundle(moved).version == open_bundle(folder).version


@pytest.mark.parametrize(("role", "most"), [("cpu", 30_000_000), ("gpu", 50_000_000)])
def test_the_shipped_graphs_are_small(bundle: Bundle, role: str, most: int) -> None:
    assert bundle.paths[role].stat().st_size <= most


def test_the_shipped_manifest_names_data_and_licences(bundle: Bundle) -> None:
    assert all(source["licence"] and source["files"] for source in bundle.manifest["training_data"])


@pytest.mark.parametrize("name", ["tokenizer.json", "model.int8.onnx", "prior.json", "manifest.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleError, match=name):
        open_bundle(folder)


@pytest.mark.parametrize("name", ["tokenizer.json", "model.int8.onnx", "prior.json"])
def test_an_altered_file_is_named(folder: Path, name: str) -> None:
    (folder / name).write_text("another content")
    with pytest.raises(BundleError, match=f"{name} was altered"):
        open_bundle(folder)


@pytest.mark.parametrize("role", ["tokenizer", "cpu", "prior"])
def test_a_file_that_is_not_listed_is_named(folder: Path, role: str) -> None:
    manifest = manifest_of(folder)
    del manifest["files"][role]
    write(folder, manifest)
    with pytest.raises(BundleError, match=f"lists no {role} file"):
        open_bundle(folder)


def test_another_format_is_named(folder: Path) -> None:
    write(folder, manifest_of(folder) | {"format": 1})
    with pytest.raises(BundleError, match="of format 1"):
        open_bundle(folder)


def test_an_altered_manifest_is_refused(folder: Path) -> None:
    (folder / "manifest.json").write_text(json.dumps(manifest_of(folder) | {"temperature": 9}))
    with pytest.raises(BundleError, match="altered"):
        open_bundle(folder)


@pytest.mark.parametrize(
    "entry", ["files", "temperature", "limits", "name", "version", "base", "training_data", "metrics"]
)
def test_a_missing_entry_is_named(folder: Path, entry: str) -> None:
    manifest = manifest_of(folder)
    del manifest[entry]
    manifest = manifest if entry == "version" else manifest | {"version": version_of(manifest)}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=entry):
        open_bundle(folder)


@pytest.mark.parametrize("content", ["", "[]", "{", '"text"'])
def test_a_manifest_that_is_none_is_refused(folder: Path, content: str) -> None:
    (folder / "manifest.json").write_text(content)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        open_bundle(folder)


@pytest.mark.parametrize("value", ["much", None, [], 10**400])
def test_an_entry_of_the_wrong_kind_is_refused(folder: Path, value: object) -> None:
    write(folder, manifest_of(folder) | {"temperature": value})
    with pytest.raises(BundleError, match="wrong kind"):
        open_bundle(folder)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="it stands for a file whose reading fails")
def test_a_file_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").symlink_to("/proc/self/mem")
    with pytest.raises(BundleError, match=r"tokenizer\.json"):
        open_bundle(folder)


def test_the_constants_of_a_products_score_are_read(folder: Path) -> None:
    assert open_bundle(folder).formula == Formula(overlap=0.1, exclusion=0.2, strength=0.3, join=0.8)


def test_a_bundle_without_one_of_them_is_refused_by_its_name(folder: Path) -> None:
    write(folder, manifest_of(folder) | {"ranking": {"overlap": 0.1}})
    with pytest.raises(BundleError, match="no entry 'exclusion'"):
        open_bundle(folder)
