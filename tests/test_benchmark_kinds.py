"""Fill and spread: which kinds of a catalogue are asked about, with which candidates, beside which baselines."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_benchmark_command import write_lines
from test_catalogue_readers import SWITCH, TONER, many
from test_catalogues import write_chorus
from tiny import tiny_config

from model_export.benchmark import kinds
from model_export.benchmark.kinds import Question
from model_export.config import Config
from model_export.records import Record
from model_export.sources import kept_aside

SHARE = 0.25
ASIDE, TRAINED = "toner cartridge", "network switch"
PLURAL = "toner cartridges"


def configured(folder: Path, *taxonomy: str) -> Config:
    """Switches that train, toner cartridges in two colors that are kept aside, and kinds of a taxonomy."""
    colors, titles = ["Black", "Cyan"], [f"Xerox {n} toner cartridge Original Black" for n in range(40)]
    toners = many(TONER, 40, attr_t_printing_colours=colors, attr_n_yield=[1000.0, 2500.0], title=titles)
    write_chorus(folder, *many(SWITCH, 40), *toners)
    (folder / "taxonomy").mkdir()
    write_lines(
        folder / "taxonomy" / "attributes.jsonl.gz", [{"id": "a", "name": "Color", "values": [], "extends": None}]
    )
    categories = [{"id": name, "path": ["All", name], "attributes": ["a"]} for name in taxonomy]
    write_lines(folder / "taxonomy" / "categories.jsonl.gz", categories)
    shared: dict[str, Any] = {"licence": "CC0-1.0", "rate": 1}
    sources = {
        "shop": {"reader": "catalogue", "train": ".", "keep_aside": SHARE},
        "kinds": {"reader": "taxonomy", "train": "taxonomy"},
    }
    return tiny_config(folder, data=folder, sources={name: shared | options for name, options in sources.items()})


def asked(config: Config) -> list[Question]:
    return kinds.unseen(config, config.sources["shop"], kinds.trained_on(config))[0]


def question(*names: str, kind: str = "kind", gains: tuple[float, ...] = (1.0, 0.0)) -> Question:
    return Question(kind, Record(kind, names, gains, (None,) * len(names)))


def test_the_kinds_of_these_tests_are_where_the_tests_want_them() -> None:
    assert [kept_aside(kind, SHARE) for kind in (ASIDE, TRAINED)] == [True, False]


def test_only_kinds_kept_aside_are_asked_about(tmp_path: Path) -> None:
    assert [each.kind for each in asked(configured(tmp_path))] == [ASIDE]


def test_a_kind_that_another_source_trains_on_in_the_plural_is_named_and_not_asked_about(tmp_path: Path) -> None:
    config = configured(tmp_path, PLURAL)
    assert kinds.unseen(config, config.sources["shop"], kinds.trained_on(config)) == ([], [ASIDE])


def test_titles_ask_for_what_they_do_not_state(tmp_path: Path) -> None:
    config = configured(tmp_path)
    (kind,) = asked(config)
    by_titles = kinds.by_titles(config, config.sources["shop"], [kind])
    assert len(by_titles) == kinds.MOST_TITLES
    assert {"brand", "printing colours"} < set(kind.record.attributes)
    for each in by_titles:
        assert each.kind == ASIDE
        assert "toner cartridge" in each.record.query
        assert "brand" not in each.record.attributes
    colors = {"printing colours" in each.record.attributes for each in by_titles}
    assert colors == {True, False}  # the titles say black; half of the products are


def test_the_same_titles_are_drawn_again(tmp_path: Path) -> None:
    config = configured(tmp_path)
    source = config.sources["shop"]
    assert kinds.by_titles(config, source, asked(config)) == kinds.by_titles(config, source, asked(config))


def test_frequency_counts_kinds_and_mean_gain_their_gains() -> None:
    known = [question("color", "size", gains=(0.1, 0.9)).record, question("color", "weight", gains=(0.1, 0.0)).record]
    each = question("color", "size", "weight", gains=(1.0, 0.5, 0.0))
    found = kinds.baselines([each], known, [np.array([0.1, 0.2, 0.3])])
    assert found[kinds.FREQUENCY][0] == pytest.approx(np.log([2.5 / 0.5, 1.5 / 1.5, 0.5 / 2.5]))
    assert found["mean gain"][0] == pytest.approx([0.2, 0.9, 0.0])
    assert found["equal weights"][0].tolist() == [0, 0, 0]


def test_a_kind_counts_once_however_many_titles_it_has() -> None:
    right, wrong = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    questions = [question("a", "b", kind="rug"), *(question("a", "b", kind="lamp") for _ in range(9))]
    suite = kinds.ranking(
        questions, [right, *[wrong] * 9], {name: [wrong] * 10 for name in (kinds.FREQUENCY, kinds.BOTH)}
    )
    missed = 1 / np.log2(3)
    assert suite["nDCG"].n == 2
    assert suite["nDCG"].value == pytest.approx((1 + missed) / 2)
    assert suite["nDCG"].baselines[kinds.FREQUENCY] == pytest.approx(missed)
    assert suite["nDCG: gain on type frequency"].value == pytest.approx((1 - missed) / 2)


def test_only_the_first_ten_count_where_that_is_asked() -> None:
    names = tuple(f"name {n}" for n in range(12))
    each = question(*names, gains=(1.0,) + (0.0,) * 11)
    last = np.arange(12.0)
    suite = kinds.ranking([each], [last], {name: [last] for name in (kinds.FREQUENCY, kinds.BOTH)})
    assert suite["nDCG@10"].value == 0 < suite["nDCG"].value
