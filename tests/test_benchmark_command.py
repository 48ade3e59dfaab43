"""The whole command on a tiny bundle and a little data of every kind."""

import gzip
import hashlib
import json
import re
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_config, write_bundle

from model_export.__main__ import main
from model_export.benchmark import command
from model_export.benchmark.judge import Judge
from model_export.config import Config
from model_export.records import parse
from service.bundle import MANIFEST, open_bundle

COLORS, THINGS = ("red", "blue", "green", "navy", "black", "white"), ("rug", "shirt", "lamp", "table")
SOURCES: dict[str, dict[str, Any]] = {
    "queries": {"reader": "queryner", "train": "queries.jsonl", "dev": "queries.jsonl"},
    "titles": {"reader": "titles", "train": "titles.jsonl", "keep_aside": 0.5},
    "kinds": {"reader": "taxonomy", "train": "kinds", "keep_aside": 0.5},
    "made": {"reader": "taxonomy_values", "train": "kinds", "keep_aside": 0.5},
    "none": {"reader": "taxonomy_values", "train": "kinds again"},
    "shop": {"reader": "catalogue", "train": "chorus", "keep_aside": 0.5},
    "missing": {"reader": "titles", "train": "missing.jsonl"},
    "mine": {"reader": "jsonl", "train": "mine.jsonl", "keep_aside": 0.5},
    "kept": {"reader": "jsonl", "train": "kept.jsonl"},
    "chinese": {"reader": "taxonomy", "train": "kinds", "keep_aside": 0.5, "language": "zh-CN"},
}


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(line) + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)


def write_data(folder: Path) -> None:
    """A little of everything that is measured, ESCI aside."""
    pairs = [(color, thing) for color in COLORS for thing in THINGS]
    labels = ["B-color", "B-core_product_type"]
    write_lines(folder / "queries.jsonl", [{"tokens": pair, "labels": labels} for pair in pairs])
    write_lines(
        folder / "titles.jsonl",
        [{"input": " ".join(pair), "target_scores": {"Color": {pair[0]: 1}, "Voltage": {"n/a": 1}}} for pair in pairs],
    )
    (folder / "kinds").mkdir()
    names = [f"{color} name" for color in COLORS]
    attributes = [{"id": name, "name": name, "values": ["x"], "extends": None} for name in names]
    write_lines(folder / "kinds" / "attributes.jsonl.gz", attributes)
    kinds = [{"id": str(n), "path": [" ".join(pair)], "attributes": [names[n % 6]]} for n, pair in enumerate(pairs)]
    write_lines(folder / "kinds" / "categories.jsonl.gz", kinds)
    shutil.copytree(folder / "kinds", folder / "kinds again")
    mine = [{"query": " ".join(pair), "attributes": ["color", "price"], "gains": [1, 0]} for pair in pairs]
    write_lines(folder / "mine.jsonl", mine)
    write_lines(folder / "kept.jsonl", mine)
    (folder / "chorus").mkdir()
    products = [
        {"id": str(n), "title": " ".join(pair), "attr_t_color": pair[0], "supplier": "acme"}
        for n, pair in enumerate(pairs * 6)
    ]
    with zipfile.ZipFile(folder / "chorus" / "products-1.json.zip", "w") as archive:
        archive.writestr("products.json", json.dumps(products))
    ratings = [f"{color},{n},{3 * (pair[0] == color)}" for color in COLORS for n, pair in enumerate(pairs)]
    (folder / "chorus" / "ratings.csv").write_text("query,product_id,rating\n" + "\n".join(ratings), encoding="utf-8")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, base: Path) -> tuple[Path, Config]:
    """(folder of the bundle, config whose data lies beside it)."""
    data, bundle = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("bundle")
    write_data(data)
    write_bundle(bundle, temperature=1.0)
    sources = {name: {"licence": "CC0-1.0", "rate": 1} | options for name, options in SOURCES.items()}
    return bundle, tiny_config(base, data=data, sources=sources, ranking={"lists": ["esci", "chorus"]})


@pytest.fixture(scope="module")
def out(made: tuple[Path, Config], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What was measured of the bundle, and how far that is from its own graph."""
    bundle, config = made
    folder = tmp_path_factory.mktemp("out")
    command.evaluate(bundle, config, folder, fp32=bundle / "model.onnx")
    return folder


@pytest.fixture
def found(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / command.JSON).read_text(encoding="utf-8"))
    return content


def test_every_suite_that_has_data_is_measured(found: dict[str, Any]) -> None:
    assert list(found["suites"]) == [
        "mention, queries",
        "mention, queries, unseen names",
        "mention, queries, training spellings",
        "calibration, queries",
        "values, titles",
        "applicability, kinds, en",
        "calibration, kinds",
        "fill and spread, shop",
        "composed queries, made",
        "as asked, mine",
        "calibration, mine",
        "ranking products, chorus",
    ]


def test_what_has_no_data_is_named(found: dict[str, Any]) -> None:
    named = " ".join(found["left_out"])
    assert "missing.jsonl" in named
    assert "names.zh-CN.json.gz" in named
    assert "esci" in named
    assert "kept: no query of its dev half" in named
    assert "none: its dev half holds nothing to ask" in named
    assert "shop, asked by titles" in named
    assert "other names" in named  # to a network without pretraining all names are alike


def test_every_value_lies_in_its_interval(found: dict[str, Any]) -> None:
    measures = [measure for suite in found["suites"].values() for measure in suite.values()]
    assert all(m["n"] > 0 for m in measures)
    known = [m for m in measures if m["value"] is not None]
    assert len(known) > 30
    assert all(m["low"] <= m["value"] + 1e-5 for m in known)


def test_baselines_stand_beside_what_they_are_for(found: dict[str, Any]) -> None:
    suites = found["suites"]
    mention = {"equal weights", "type frequency", "prior", "pretrained cosine"}
    assert set(suites["mention, queries"]["nDCG"]["baselines"]) == mention
    assert set(suites["composed queries, made"]["top-1"]["baselines"]) == mention
    kinds = {"equal weights", "type frequency", "pretrained cosine", "frequency and cosine"}
    assert set(suites["applicability, kinds, en"]["nDCG"]["baselines"]) == kinds
    assert set(suites["fill and spread, shop"]["nDCG"]["baselines"]) == kinds | {"mean gain"}


def test_calibration_is_told_beside_what_it_is_where_no_query_has_a_say_in_its_own_temperature(
    found: dict[str, Any], out: Path
) -> None:
    told = {name: suite for name, suite in found["suites"].items() if name.startswith("calibration")}
    assert len(told) == 3
    for suite in told.values():
        told_by_entropy = ["entropy tells wrong, AUC", "entropy tells low nDCG, Spearman"]
        assert list(suite) == ["ECE", "ECE, T cross-validated", *told_by_entropy]
        assert suite["ECE"]["n"] == suite["ECE, T cross-validated"]["n"]
    assert "<td>ECE, T cross-validated</td>" in (out / command.PAGE).read_text(encoding="utf-8")


def test_every_split_is_told(found: dict[str, Any], out: Path) -> None:
    told = found["splits"]["of"]
    assert told.keys() == SOURCES.keys() | {"ranking products, chorus"}
    assert (told["shop"]["hash_of"], told["shop"]["share"]) == ("the kind", 0.5)
    page = (out / command.PAGE).read_text(encoding="utf-8")
    assert "<h2>Splits</h2>" in page
    assert "<td>the kind</td><td>0.5</td>" in page


def test_the_json_names_bundle_and_data(found: dict[str, Any], made: tuple[Path, Config]) -> None:
    manifest = json.loads((made[0] / MANIFEST).read_text())
    assert found["bundle"] == {"name": "tiny & new", "version": manifest["version"]}
    digest = hashlib.sha256((made[1].data / "queries.jsonl").read_bytes()).hexdigest()
    assert found["data"]["queries.jsonl"] == digest
    assert {"titles.jsonl", "kinds/categories.jsonl.gz", "chorus/ratings.csv"} < found["data"].keys()


def test_a_graph_is_no_different_from_itself(found: dict[str, Any]) -> None:
    differences = {(name, metric): v for name, suite in found["less_fp32"].items() for metric, v in suite.items()}
    assert differences
    assert {place: value for place, value in differences.items() if value} == {}


def test_the_page_is_whole_in_itself(out: Path, found: dict[str, Any]) -> None:
    page = (out / command.PAGE).read_text(encoding="utf-8")
    assert "http" not in page
    assert "<h1>tiny &amp; new" in page
    assert page.count("<svg") == len(found["suites"]) + 1
    assert re.findall(r"<h2>([^<]*)</h2>", page)[: len(found["suites"])] == list(found["suites"])


def test_the_same_bundle_and_data_give_the_same_files(
    made: tuple[Path, Config], out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, config = made
    command.evaluate(bundle, config, tmp_path, fp32=bundle / "model.onnx")
    for name in (command.JSON, command.PAGE):
        assert (tmp_path / name).read_text(encoding="utf-8") == (out / name).read_text(encoding="utf-8")
    table = capsys.readouterr().out
    assert "mention, queries, unseen names" in table
    assert "less fp32 +0.0000" in table


def test_the_answers_of_a_bundle_measure_as_the_bundle_does(
    made: tuple[Path, Config], found: dict[str, Any], tmp_path: Path
) -> None:
    bundle, config = made
    command.write_questions(bundle, config, tmp_path / "asked.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "asked.jsonl").read_text(encoding="utf-8").splitlines()]
    judge = Judge.of(open_bundle(bundle), bundle / "model.onnx")
    asked = [parse({name: line[name] for name in ("query", "attributes", "gains")}) for line in lines]
    for line, answer in zip(lines, judge.answers(asked, "asked"), strict=True):
        line["logits"] = [pair.logit for pair in answer.pairs]
        stated = [sorted(answer.stated(place), key=lambda v: -v.confidence) for place in range(len(line["attributes"]))]
        line["values"] = [[[value.start, value.end] for value in values] for values in stated]
    write_lines(tmp_path / "answers.jsonl", lines)
    command.evaluate(bundle, config, tmp_path, answers=tmp_path / "answers.jsonl")
    other = json.loads((tmp_path / command.JSON).read_text(encoding="utf-8"))
    assert other["bundle"]["name"] == "answers.jsonl"
    assert "ranking products: that is measured of a bundle alone" in other["left_out"]
    assert other["suites"] == {name: suite for name, suite in found["suites"].items() if "products" not in name}


def test_a_bundle_that_is_none_is_told_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["model_export", "evaluate", "--bundle", str(tmp_path), "--data", "."])
    with pytest.raises(SystemExit, match=r"^model_export: the bundle \S+ has no readable manifest\.json: "):
        main()


def test_answers_that_are_not_there_are_told_in_one_sentence(
    made: tuple[Path, Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["--bundle", str(made[0]), "--data", ".", "--answers", "none.jsonl"]
    monkeypatch.setattr(sys, "argv", ["model_export", "evaluate", *given])
    with pytest.raises(SystemExit, match=r"^model_export: the answers none\.jsonl cannot be read: No such file"):
        main()
