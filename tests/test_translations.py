"""Translations: every name with the English text of its meaning, but for the kinds that are kept aside."""

from pathlib import Path

import pytest
from tiny import KINDS, write_taxonomy

from model_export.sources import kept_aside
from model_export.translations import attribute_names, pairs


@pytest.fixture(scope="module")
def taxonomy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_taxonomy(tmp_path_factory.mktemp("taxonomy"))


def test_kinds_attributes_and_values_come_with_their_meaning(taxonomy: Path) -> None:
    found = set(pairs(taxonomy, "zh-CN", keep_aside=0))
    assert {("地毯", "rug"), ("帽子", "hat"), ("鞋跟高度", "heel height"), ("橙色", "orange")} <= found
    assert len(found) == len(KINDS) + 3 + 4


def test_kinds_that_are_kept_aside_do_not_come(taxonomy: Path) -> None:
    found = dict(pairs(taxonomy, "zh-CN", keep_aside=0.1))
    assert kept_aside("hat", 0.1) and "帽子" not in found
    assert {"地毯", "颜色", "橙色"} <= found.keys()


def test_attributes_are_known_by_their_english_names(taxonomy: Path) -> None:
    assert attribute_names(taxonomy, "zh-CN") == {"color": "颜色", "fabric": "面料", "heel height": "鞋跟高度"}
