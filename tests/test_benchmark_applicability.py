"""Applicability: the questions of the taxonomy and the baseline of this suite."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_config, write_kinds

from model_export.benchmark import applicability
from model_export.config import Config
from model_export.records import Record


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Six hundred kinds, each with a colour and one of thirty attributes, in English and Chinese."""
    attributes = [{"id": f"a{n}", "name": f"Name {n}", "values": ["x"], "extends": None} for n in range(30)]
    kinds = [{"id": f"k{n}", "path": ["All", f"Kind {n}"], "attributes": [f"a{n % 30}"]} for n in range(600)]
    names = {
        "attributes": {f"a{n}": f"名 {n}" for n in range(30)},
        "categories": {f"k{n}": f"类 {n}" for n in range(600)},
        "values": {},
    }
    write_kinds(tmp_path, attributes, kinds, {"zh-CN": names, "de": names})
    source = {"reader": "taxonomy", "train": ".", "keep_aside": 0.6, "licence": "CC0-1.0", "rate": 1}
    return tiny_config(tmp_path, data=tmp_path, sources={"kinds": source})


def asked(config: Config, language: str) -> list[Record]:
    source = applicability.in_language(config.sources["kinds"], language)
    return applicability.questions(config, source, applicability.used(config, source))


def test_a_kind_is_asked_with_others_in_its_own_language(config: Config) -> None:
    for language, beginning in (("en", "name"), ("zh-CN", "名")):
        for record in asked(config, language):
            assert len(record.attributes) == 21
            assert sum(record.gains) == 1
            assert all(name.startswith(beginning) for name in record.attributes)


def test_the_same_kinds_are_kept_aside_in_both_languages(config: Config) -> None:
    kinds = [{record.query.split()[1] for record in asked(config, language)} for language in ("en", "zh-CN")]
    assert kinds[0] == kinds[1]


def test_languages_for_information_are_asked_for_fewer_kinds(config: Config) -> None:
    assert len(asked(config, "en")) > applicability.MOST_KINDS == len(asked(config, "de"))


def test_frequency_and_cosine_weigh_alike() -> None:
    record = Record("rug", ("color", "size", "voltage"), (1.0, 0.0, 0.0), (None,) * 3)
    counts = Counter({"color": 90, "size": 90, "voltage": 1})
    (found,) = applicability.frequency_and_cosine([record], counts, [np.array([0.3, 0.1, 0.1])])
    assert found[0] > found[1] > found[2]
    assert found.sum() == pytest.approx(0)


def test_names_that_are_all_alike_score_alike() -> None:
    record = Record("rug", ("color", "size"), (1.0, 0.0), (None,) * 2)
    (found,) = applicability.frequency_and_cosine([record], Counter(), [np.array([0.2, 0.2])])
    assert found.tolist() == [0, 0]
