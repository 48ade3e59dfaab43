"""Splits: what is told of them is what happens."""

from pathlib import Path
from typing import Any

from tiny import tiny_config

from model_export.benchmark import splits
from model_export.config import Config
from model_export.readers import KEYS, READERS


def configured(folder: Path, **sources: dict[str, Any]) -> Config:
    shared = {"licence": "CC0-1.0", "rate": 1}
    return tiny_config(folder, sources={name: shared | options for name, options in sources.items()})


def test_every_reader_has_a_key() -> None:
    assert KEYS.keys() == READERS.keys()


def test_a_source_with_a_dev_file_has_no_hash_and_another_has_its_key_and_share(tmp_path: Path) -> None:
    config = configured(
        tmp_path,
        queries={"reader": "queryner", "train": "a.jsonl", "dev": "b.jsonl"},
        shop={"reader": "catalogue", "train": "shop", "keep_aside": 0.1},
    )
    assert [(s.source, s.train, s.dev, s.key, s.share) for s in splits.of_sources(config)] == [
        ("queries", "a.jsonl", "b.jsonl", "", 0.0),
        ("shop", "shop", "shop", "the kind", 0.1),
    ]


def test_judged_lists_are_dev_where_nothing_trains_on_them(tmp_path: Path) -> None:
    config = configured(tmp_path, shop={"reader": "catalogue", "train": "esci", "keep_aside": 0.1})
    assert splits.of_lists(config, "esci").to_json() == {
        "reader": "judgments",
        "train": "",
        "dev": "esci",
        "hash_of": None,
        "share": 1.0,
    }


def test_judged_lists_that_train_are_split_by_the_query(tmp_path: Path) -> None:
    config = configured(tmp_path, judged={"reader": "judgments", "train": "esci", "keep_aside": 0.4})
    found = splits.of_lists(config, "esci")
    assert (found.train, found.key, found.share) == ("esci", "the query", 0.4)
