"""The split by hash: a fact of the key alone, and never one key on both sides."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_config

from model_export import records
from model_export.config import Config
from model_export.records import Product, Record
from model_export.sources import kept_aside, write_sources
from model_export.stage import sha256

KINDS = [f"kind {number}" for number in range(60)]


def with_source(folder: Path, **options: Any) -> Config:
    source: dict[str, Any] = {"licence": "CC0-1.0", "rate": 1} | options
    return tiny_config(folder, data=folder, sources={"shop": source})


def halves(config: Config, out: Path) -> tuple[list[Record], list[Record]]:
    out.mkdir()
    write_sources(config, out)
    return list(records.read(out / "shop.train.jsonl")), list(records.read(out / "shop.dev.jsonl"))


@pytest.fixture
def taxonomy(tmp_path: Path) -> Config:
    """Sixty kinds of product, of each of which the reader makes three records."""
    lines: dict[str, list[dict[str, Any]]] = {
        "attributes": [{"id": "color", "name": "Color", "values": ["Red", "Blue"], "extends": None}],
        "categories": [{"id": kind, "path": [kind], "attributes": ["color"]} for kind in KINDS],
    }
    (tmp_path / "kinds").mkdir()
    for name, content in lines.items():
        text = "".join(json.dumps(line) + "\n" for line in content)
        (tmp_path / "kinds" / f"{name}.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    return with_source(tmp_path, reader="taxonomy_values", train="kinds", keep_aside=0.3)


def kinds(half: list[Record]) -> set[str]:
    """The words that state the product type, which is the key of a record of this reader."""
    spans = [(record.query, record.values[record.attributes.index("product type")]) for record in half]
    return {query[start:end] for query, found in spans for start, end in found or ()}


def test_the_half_of_a_key_is_the_same_on_every_machine() -> None:
    keys = ("red rug", "blue rug", "羊毛地毯", "lamp", "socks")
    assert [key for key in keys if kept_aside(key, 0.5)] == ["red rug", "羊毛地毯", "socks"]


@settings(deadline=None)
@given(key=st.text(st.characters(exclude_categories=["Cs"])))
def test_the_half_of_a_key_does_not_depend_on_its_case(key: str) -> None:
    assert kept_aside(key, 0.5) == kept_aside(key.casefold(), 0.5)


@settings(deadline=None)
@given(key=st.text(st.characters(exclude_categories=["Cs"])), shares=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_what_a_small_share_keeps_aside_a_larger_one_does_too(key: str, shares: tuple[float, float]) -> None:
    assert kept_aside(key, min(shares)) <= kept_aside(key, max(shares))


def test_about_the_share_that_was_asked_for_is_kept_aside() -> None:
    assert sum(kept_aside(f"query {number}", 0.1) for number in range(10_000)) == pytest.approx(1000, rel=0.1)


def test_records_of_one_key_never_stand_on_both_sides(taxonomy: Config, tmp_path: Path) -> None:
    train, dev = halves(taxonomy, tmp_path / "out")
    assert not kinds(train) & kinds(dev)


def test_every_record_stands_on_one_side(taxonomy: Config, tmp_path: Path) -> None:
    train, dev = halves(taxonomy, tmp_path / "out")
    assert len(train) + len(dev) == 3 * len(KINDS)


def test_both_sides_have_records(taxonomy: Config, tmp_path: Path) -> None:
    train, dev = halves(taxonomy, tmp_path / "out")
    assert train and dev


def test_the_counts_of_the_halves_are_told(taxonomy: Config, tmp_path: Path) -> None:
    train, dev = halves(taxonomy, tmp_path / "out")
    outcome = write_sources(taxonomy, tmp_path / "out")
    assert outcome["records"] == {"shop": {"train": len(train), "dev": len(dev)}}


def test_the_files_of_a_source_are_told_with_their_hashes(taxonomy: Config, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert write_sources(taxonomy, tmp_path / "out")["files"]["shop"] == {
        f"kinds/{name}.jsonl.gz": sha256(tmp_path / "kinds" / f"{name}.jsonl.gz")
        for name in ("attributes", "categories")
    }


def test_a_dev_file_is_told_beside_the_training_file(tmp_path: Path) -> None:
    for name in ("train", "dev"):
        records.write(tmp_path / f"{name}.jsonl", [])
    (tmp_path / "out").mkdir()
    config = with_source(tmp_path, reader="jsonl", train="train.jsonl", dev="dev.jsonl")
    assert list(write_sources(config, tmp_path / "out")["files"]["shop"]) == ["train.jsonl", "dev.jsonl"]


def test_a_catalogue_is_read_and_told_from_the_data_folder(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "ubi").mkdir()
    (tmp_path / "shop" / "products.jsonl.gz").write_bytes(gzip.compress(b""))
    for name in ("ubi_events.json", "ubi_queries.json"):
        (tmp_path / "ubi" / name).touch()
    (tmp_path / "out").mkdir()
    config = with_source(tmp_path, reader="ubi", train="ubi", catalogue="shop")
    files = write_sources(config, tmp_path / "out")["files"]["shop"]
    assert list(files) == ["ubi/ubi_events.json", "ubi/ubi_queries.json", "shop/products.jsonl.gz"]


def test_records_without_gains_are_written_with_their_products(tmp_path: Path) -> None:
    record = Record("rug", ("color",), (0.0,), (None,), products=(Product(1.0, "Berber", ("red",)),))
    records.write(tmp_path / "train.jsonl", [record])
    config = with_source(tmp_path, reader="jsonl", train="train.jsonl")
    assert halves(config, tmp_path / "out") == ([record], [])


def test_a_dev_file_is_taken_whole(tmp_path: Path) -> None:
    red, blue = (Record(f"{color} rug", ("color",), (1.0,), (None,)) for color in ("red", "blue"))
    records.write(tmp_path / "train.jsonl", [red])
    records.write(tmp_path / "dev.jsonl", [blue])
    config = with_source(tmp_path, reader="jsonl", train="train.jsonl", dev="dev.jsonl")
    assert halves(config, tmp_path / "out") == ([red], [blue])
