"""The bundle: what is written is opened by the service, and says what it is made from."""

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tiny import tiny_config

from model_export.benchmark.constants import CONSTANTS
from model_export.config import Config
from model_export.export import FP16, TOKENIZER
from model_export.fusion import DESCRIPTION, PICTURES
from model_export.package import write_bundle
from model_export.prior import PRIOR
from model_export.quantise import INT8
from model_export.stage import RECORD, StageFailed
from model_export.verify import METRICS
from service.bundle import Bundle, open_bundle

FITTED = {"overlap": 0.1, "exclusion": 0.2, "strength": 0.3, "join": 0.7}
SOURCE = {"reader": "jsonl", "train": "shop.jsonl", "licence": "CC-BY-4.0", "rate": 1}


class Folders(NamedTuple):
    """What the stage reads. A bundle's files are not opened while it is packaged, so any content is good."""

    sources: Path
    exported: Path
    quantised: Path
    verified: Path
    measured: Path
    fitted: Path
    pictured: Path


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    made = Folders(*(tmp_path / name for name in Folders._fields))
    for folder in made:
        folder.mkdir()
    (made.exported / TOKENIZER).write_text("{}", encoding="utf-8")
    (made.exported / FP16).write_bytes(b"the graph in fp16")
    (made.quantised / INT8).write_bytes(b"the graph in int8")
    (made.measured / PRIOR).write_text("{}", encoding="utf-8")
    (made.fitted / CONSTANTS).write_text(json.dumps(FITTED), encoding="utf-8")
    stamp = {"outcome": {"files": {"shop": {"shop.jsonl": "0123abcd"}}}}
    (made.sources / RECORD).write_text(json.dumps(stamp), encoding="utf-8")
    verified(made)
    return made


def verified(folders: Folders, missed: Sequence[str] = ()) -> None:
    """Write what `verify` leaves of the files as they are now."""
    graphs = (folders.quantised / INT8, folders.exported / FP16)
    content = {
        "temperature": 1.5,
        "metrics": {"fp32": {"shop": {"ndcg": 0.9}}, "int8": {"shop": {"ndcg": 0.8}}},
        "missed": list(missed),
        "verified": {path.name: sha256(path) for path in graphs},
    }
    (folders.verified / METRICS).write_text(json.dumps(content), encoding="utf-8")


def config(base: Path, folders: Folders, **options: Any) -> Config:
    return tiny_config(base, data=folders.exported.parent, **({"sources": {"shop": SOURCE}} | options))


def bundle(config: Config, folders: Folders, name: str = "bundle") -> Bundle:
    out = folders.exported.parent / name
    out.mkdir()
    write_bundle(config, *folders, out)
    return open_bundle(out)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_bundle_has_the_constants_that_were_fitted(base: Path, folders: Folders) -> None:
    assert bundle(config(base, folders), folders).formula._asdict() == FITTED


def test_the_service_opens_what_was_written(base: Path, folders: Folders) -> None:
    found = bundle(config(base, folders, max_query_tokens=50, value_threshold=0.4), folders)
    assert (found.name, found.temperature, found.value_threshold, found.max_query_tokens) == ("tiny", 1.5, 0.4, 50)


def test_the_stage_tells_the_version(base: Path, folders: Folders, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    outcome = write_bundle(config(base, folders), *folders, tmp_path / "out")
    assert outcome == {"version": open_bundle(tmp_path / "out").version}


def test_the_manifest_lists_the_hash_and_size_of_every_file(base: Path, folders: Folders) -> None:
    found = bundle(config(base, folders, gpu_file=True), folders)
    assert found.manifest["files"] == {
        role: {"path": path.name, "sha256": sha256(path), "bytes": path.stat().st_size}
        for role, path in found.paths.items()
    }


def test_a_bundle_has_a_gpu_file_when_one_was_asked_for(base: Path, folders: Folders) -> None:
    assert set(bundle(config(base, folders, gpu_file=True), folders).paths) == {"tokenizer", "cpu", "gpu", "prior"}


def test_a_bundle_has_no_gpu_file_when_none_was_asked_for(base: Path, folders: Folders) -> None:
    assert set(bundle(config(base, folders, gpu_file=False), folders).paths) == {"tokenizer", "cpu", "prior"}


def test_a_bundle_reads_pictures_where_that_was_trained(base: Path, folders: Folders) -> None:
    (folders.pictured / PICTURES).write_bytes(b"the graph of pictures")
    (folders.pictured / DESCRIPTION).write_text('{"width": 512, "threshold": 0.8, "metrics": {}}', encoding="utf-8")
    (folders.exported.parent / "seen.jsonl").write_text("{}", encoding="utf-8")
    options = {"catalogue": "seen.jsonl", "licence": "CC-BY-4.0"}
    found = bundle(config(base, folders, pictures=options), folders)
    assert (found.image_width, found.image_threshold) == (512, 0.8)
    assert found.paths["pictures"].read_bytes() == b"the graph of pictures"
    assert found.manifest["training_data"][-1] == {
        "name": "pictures",
        "reader": "pictures",
        "licence": "CC-BY-4.0",
        "files": {"seen.jsonl": hashlib.sha256(b"{}").hexdigest()},
    }


def test_a_bundle_holds_nothing_that_its_manifest_does_not_list(base: Path, folders: Folders) -> None:
    found = bundle(config(base, folders), folders)
    listed = {path.name for path in found.paths.values()} | {"manifest.json"}
    assert {path.name for path in found.paths["cpu"].parent.iterdir()} == listed


def test_the_manifest_names_the_licence_of_the_base_and_the_hash_of_its_weights(base: Path, folders: Folders) -> None:
    found = bundle(config(base, folders), folders).manifest["base"]
    assert (found["licence"], found["sha256"]) == ("CC0-1.0", sha256(base / "model.safetensors"))


def test_the_manifest_names_the_licence_and_the_hashes_of_the_training_data(base: Path, folders: Folders) -> None:
    assert bundle(config(base, folders), folders).manifest["training_data"] == [
        {
            "name": "shop",
            "reader": "jsonl",
            "licence": "CC-BY-4.0",
            "files": {"shop.jsonl": "0123abcd"},
        }
    ]


def test_the_metrics_are_those_of_the_file_that_is_served(base: Path, folders: Folders) -> None:
    assert bundle(config(base, folders), folders).manifest["metrics"] == {"shop": {"ndcg": 0.8}}


def test_the_bundle_tells_what_its_dev_data_looked_like(base: Path, folders: Folders) -> None:
    figures = {"unknown_ratio": 0.01, "entropy_ratio": 0.6, "calibration_error": None}
    path = folders.verified / METRICS
    path.write_text(json.dumps(json.loads(path.read_text()) | {"reference": figures}), encoding="utf-8")
    found = bundle(config(base, folders), folders).reference
    assert found is not None
    assert (found.unknown_ratio, found.entropy_ratio) == (0.01, 0.6)
    assert math.isnan(found.calibration_error)


def test_a_run_that_was_verified_before_there_was_a_reference_has_none(base: Path, folders: Folders) -> None:
    assert bundle(config(base, folders), folders).reference is None


def test_the_same_files_have_the_same_version(base: Path, folders: Folders) -> None:
    one, other = (bundle(config(base, folders), folders, name).version for name in ("one", "other"))
    assert one == other


def test_another_graph_has_another_version(base: Path, folders: Folders) -> None:
    before = bundle(config(base, folders), folders, "one").version
    (folders.quantised / INT8).write_bytes(b"another graph")
    verified(folders)
    assert bundle(config(base, folders), folders, "other").version != before


def test_files_that_missed_a_limit_are_not_packaged(base: Path, folders: Folders, tmp_path: Path) -> None:
    verified(folders, missed=["int8: nDCG lost is 0.5, allowed is at most 0.002"])
    with pytest.raises(StageFailed, match=r"the bundle is refused: int8: nDCG lost is 0\.5"):
        write_bundle(config(base, folders), *folders, tmp_path)


def test_a_file_that_changed_since_it_was_verified_is_not_packaged(
    base: Path, folders: Folders, tmp_path: Path
) -> None:
    (folders.quantised / INT8).write_bytes(b"another graph")
    with pytest.raises(StageFailed, match="is not the file that was verified"):
        write_bundle(config(base, folders), *folders, tmp_path)


def test_the_manifest_does_not_tell_where_the_base_lay(base: Path, folders: Folders) -> None:
    assert str(base.parent) not in json.dumps(bundle(config(base, folders), folders).manifest)
