"""Exporting: the graph says what the network says, for any number of rows, candidates and words."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from tiny import row, shop_records, tiny_config, tiny_graph, tiny_ranker, tiny_tokenizer, write_base

from model_export import records
from model_export.config import Config
from model_export.distilling import WEIGHTS
from model_export.export import CALIBRATION, FP32, TOKENIZER, export, load_trained
from model_export.verify import torch_difference
from service.model import Model, open_graph
from service.text import Row, collate

NAMES = ("color", "material", "shape", "price", "brand", "product type", "颜色")


class Stage(NamedTuple):
    """The whole stage, run once over what training left."""

    config: Config
    trained: Path
    out: Path


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    base, examples, trained, out = (tmp_path_factory.mktemp(name) for name in ("base", "examples", "trained", "out"))
    config = tiny_config(write_base(base))
    torch.save(tiny_ranker().state_dict(), trained / WEIGHTS)
    records.write(examples / "shop.dev.jsonl", shop_records())
    export(config, examples, trained, out)
    return Stage(config, trained, out)


@pytest.fixture(scope="module")
def graph(done: Stage) -> Model:
    return open_graph(done.out / FP32, device="cpu", threads=1)


def a_row(done: Stage, query: str, candidates: int) -> Row:
    return row(tiny_tokenizer(Path(done.config.base)), query, *NAMES[:candidates])


@pytest.mark.parametrize("query", ["rug", "large round blue wool rug for men and women"])
@pytest.mark.parametrize("candidates", [1, 2, 7])
def test_the_graph_says_what_the_network_says(done: Stage, graph: Model, query: str, candidates: int) -> None:
    assert torch_difference(tiny_ranker(), graph, [a_row(done, query, candidates)]) < 1e-4


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_the_graph_takes_any_number_of_rows(done: Stage, graph: Model, rows: int) -> None:
    part = [a_row(done, "red rug " * (1 + number), 1 + number) for number in range(rows)]
    feed = {name: torch.from_numpy(array) for name, array in collate(part).items()}
    with torch.inference_mode():
        logits = tiny_ranker()(**feed).logits.numpy()
    for place, found in enumerate(graph.run(part)):
        np.testing.assert_allclose(found.logits, logits[place, : 1 + place], atol=1e-4)


def test_an_export_is_the_same_every_time(done: Stage) -> None:
    assert (done.out / FP32).read_bytes() == tiny_graph()


def test_a_graph_tells_nothing_of_the_machine_that_made_it(done: Stage) -> None:
    assert str(Path(__file__).parents[1]).encode() not in (done.out / FP32).read_bytes()


def test_the_weights_that_training_kept_are_loaded(done: Stage) -> None:
    loaded, kept = load_trained(done.config, done.trained).state_dict(), tiny_ranker().state_dict()
    assert all(torch.equal(loaded[name], kept[name]) for name in kept)


def test_the_tokenizer_goes_with_the_graph(done: Stage) -> None:
    assert (done.out / TOKENIZER).read_bytes() == (Path(done.config.base) / TOKENIZER).read_bytes()


def test_the_temperature_is_left_beside_the_graph(done: Stage) -> None:
    assert json.loads((done.out / CALIBRATION).read_text(encoding="utf-8"))["temperature"] > 0


def test_no_gpu_file_is_made_when_none_was_asked_for(done: Stage) -> None:
    assert {path.name for path in done.out.iterdir()} == {FP32, TOKENIZER, CALIBRATION}
