"""Composed queries: what is asked of them."""

from pathlib import Path

import pytest
from tiny import tiny_config, write_kinds

from model_export.benchmark import composed
from model_export.config import Config
from model_export.records import Record


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Sixty kinds, each with one attribute that all have and one of thirty others, in English and Chinese."""
    attributes = [{"id": f"a{n}", "name": f"Name{n}", "values": [f"value{n}"], "extends": None} for n in range(31)]
    kinds = [{"id": f"k{n}", "path": [f"Kind {n}"], "attributes": ["a30", f"a{n % 30}"]} for n in range(60)]
    names = {
        "attributes": {f"a{n}": f"名{n}" for n in range(31)},
        "categories": {f"k{n}": f"类{n}" for n in range(60)},
        "values": {f"a{n}__value{n}": f"值{n}" for n in range(31)},
    }
    write_kinds(tmp_path, attributes, kinds, {"zh-CN": names})
    source = {"reader": "taxonomy_values", "train": ".", "keep_aside": 0.5, "licence": "CC0-1.0", "rate": 1}
    chinese = source | {"language": "zh-CN", "english_names": 0.5}
    return tiny_config(tmp_path, data=tmp_path, sources={"made": source, "chinese": chinese})


@pytest.fixture
def asked(config: Config) -> list[Record]:
    return composed.halves(config, config.sources["made"])[1]


def test_what_is_stated_alone_has_a_gain(asked: list[Record]) -> None:
    assert asked
    for record in asked:
        stated = [name.replace("name", "value") in record.query.split() for name in record.attributes]
        assert record.gains == tuple(map(float, stated))


def test_the_kind_is_not_asked_for(asked: list[Record]) -> None:
    assert not any("product type" in record.attributes for record in asked)


def test_own_attributes_stand_against_twenty_others_of_whose_values_nobody_knows(asked: list[Record]) -> None:
    for record in asked:
        assert len(record.attributes) == len(set(record.attributes)) == 22
        assert record.values[2:] == (None,) * 20
        assert None not in record.values[:2]


def test_names_are_in_the_language_of_the_query(config: Config) -> None:
    train, asked = composed.halves(config, config.sources["chinese"])
    names = {name for record in (*train, *asked) for name in record.attributes}
    assert names == {f"名{n}" for n in range(31)}
