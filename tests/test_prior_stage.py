"""The prior: a name's mean odds over training queries as a logit, and one for the names that training hardly knows."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tiny import row, shop_records, tiny_config, tiny_graph, tiny_tokenizer

from model_export import prior, records
from model_export.config import Config
from model_export.prior import LEAST, PRIOR, QUERIES, Prior, average_logits, counted, known, sampled
from model_export.quantise import INT8
from model_export.records import Product, Record
from service.model import Model, open_graph

RARE = Record("blue lamp", ("shape", "price"), (1.0, 0.0), (None, None))


@pytest.fixture(scope="module")
def quantised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a graph; the stage does not see whether it is int8."""
    folder = tmp_path_factory.mktemp("quantised")
    (folder / INT8).write_bytes(tiny_graph())
    return folder


@pytest.fixture(scope="module")
def model(quantised: Path) -> Model:
    return open_graph(quantised / INT8, device="cpu", threads=1)


@pytest.fixture(scope="module")
def written(base: Path, quantised: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the stage leaves of twelve queries and one that alone asks for a shape."""
    examples, out = (tmp_path_factory.mktemp(name) for name in ("examples", "prior"))
    records.write(examples / "shop.train.jsonl", [*shop_records(), RARE])
    prior.write_prior(tiny_config(base), examples, quantised, out)
    return out


def test_a_record_that_teaches_through_its_products_alone_counts_no_name() -> None:
    product = Product(1.0, "Berber runner", ("red", None))
    assert not counted([Record("rug", ("color", "price"), (0.0, 0.0), (None, None), products=(product,))])


def test_a_name_counts_once_a_record_in_lower_case_where_it_has_a_gain() -> None:
    both = Record("red rug", ("Color", "color", "price"), (1.0, 1.0, 0.0), (None,) * 3)
    assert counted([both, both]) == {"color": 2}


def test_rare_names_are_not_in_the_table() -> None:
    assert known(Counter({"pile": LEAST, "depth": LEAST - 1})) == ["pile"]


def test_a_known_name_brings_its_other_spellings() -> None:
    assert "colour" in known(Counter({"color": LEAST}))


def test_queries_are_drawn_by_the_rates_of_the_sources(base: Path) -> None:
    shop = {"reader": "jsonl", "train": "a", "licence": "CC0-1.0"}
    config: Config = tiny_config(base, sources={"often": shop | {"rate": 3}, "seldom": shop | {"rate": 1}})
    train = {name: [Record(name, ("color",), (1.0,), (None,))] for name in config.sources}
    assert sampled(config, train).count("often") / QUERIES == pytest.approx(0.75, abs=0.1)


def test_the_logit_of_a_name_is_that_of_its_mean_odds(model: Model, base: Path) -> None:
    tokenizer, queries, names = tiny_tokenizer(base), ["red wool rug", "laptop"], ["color", "memory", "price"]
    alone = [[model.run([row(tokenizer, query, name)])[0].logits[0] for name in names] for query in queries]
    np.testing.assert_allclose(
        average_logits(model, tokenizer, queries, names), np.log(np.exp(alone).mean(axis=0)), rtol=1e-4, atol=1e-4
    )


def test_the_stage_writes_a_logit_for_each_known_name(written: Path) -> None:
    assert {"color", "material"} <= set(prior.read(written).logits) and "shape" not in prior.read(written).logits


def test_what_is_written_has_three_decimals(written: Path) -> None:
    content = json.loads((written / PRIOR).read_text(encoding="utf-8"))
    numbers = [content["default"], *content["logits"].values()]
    assert numbers == [round(number, 3) for number in numbers]


def test_the_default_is_the_mean_of_rare_names(written: Path, model: Model, base: Path) -> None:
    train = {"shop": [*shop_records(), RARE]}
    (mean,) = average_logits(model, tiny_tokenizer(base), sampled(tiny_config(base), train), ["shape"])
    assert prior.read(written).default == pytest.approx(mean, abs=2e-3)


def test_an_unknown_name_has_the_default() -> None:
    table = Prior(-1.0, {"color": 2.0})
    assert (table.of("Color"), table.of("pile")) == (2.0, -1.0)
