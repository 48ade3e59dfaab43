"""A bundle as what a run goes on from: its weights out of the graph, its vocabulary, and what does not fit."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from tiny import WORDS, shop_records, tiny_config, tiny_ranker, write_base, write_bundle, write_taxonomy
from torch import Tensor

from model_export import pretrained, records
from model_export.base import write_base as write_start
from model_export.bundled import WORDS as TABLE
from model_export.bundled import opened, start_of, weights
from model_export.config import SHIPPED, Config
from model_export.distilling import started
from model_export.export import HalfPrecision, to_onnx
from model_export.stage import StageFailed
from service.bundle import default_folder

PLAIN = TABLE.removeprefix("encoder.")
"""The same in a BERT without our heads."""


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether all weights are equal but for what fp16 rounds off."""
    return one.keys() == other.keys() and all(torch.allclose(one[n], other[n], atol=1e-3, rtol=1e-3) for n in one)


@pytest.fixture(scope="module")
def graph(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny network as a bundle's graph for GPUs."""
    path = tmp_path_factory.mktemp("graph") / "gpu.onnx"
    to_onnx(HalfPrecision(tiny_ranker()), tiny_config(base), path)
    return path


@pytest.fixture(scope="module")
def bundle(graph: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "tiny", gpu=graph.read_bytes())


def begun(config: Config, work: Path) -> Config:
    """The configuration after its stage `base`, in `work`."""
    (work / "sources").mkdir(parents=True)
    records.write(work / "sources" / "shop.train.jsonl", shop_records())
    pretrained.grown_folder(config).mkdir()
    write_start(config, work / "sources", pretrained.grown_folder(config))
    return config


def test_every_weight_is_read_back_by_its_name(graph: Path) -> None:
    assert same(weights(graph), tiny_ranker().state_dict())


def test_the_shipped_bundle_is_there_to_go_on_from(base: Path) -> None:
    start = start_of(tiny_config(base, start=SHIPPED))
    assert start == default_folder()
    found = weights(opened(start).paths["gpu"])
    assert {"importance.0.weight", "value_token.bias", "text.weight", TABLE} <= found.keys()
    assert len(found[TABLE]) == len(pretrained.vocabulary(start / pretrained.TOKENIZER))


def test_a_run_begins_with_the_bundles_weights(base: Path, bundle: Path, tmp_path: Path) -> None:
    config = begun(tiny_config(base, work=tmp_path, start=bundle), tmp_path)
    assert same(started(config).state_dict(), tiny_ranker().state_dict())


def test_without_a_bundle_a_run_begins_with_the_base(base: Path, tmp_path: Path) -> None:
    config = tiny_config(base, work=tmp_path)
    assert start_of(config) is None
    assert torch.equal(started(config).state_dict()[TABLE], pretrained.load_bert(base).state_dict()[PLAIN])


def smaller(folder: Path, pieces: int) -> Path:
    """The tiny base without the last of its word pieces."""
    write_base(folder)
    content = json.loads((folder / pretrained.TOKENIZER).read_text(encoding="utf-8"))
    content["model"]["vocab"] = dict(sorted(content["model"]["vocab"].items(), key=lambda item: item[1])[:-pieces])
    (folder / pretrained.TOKENIZER).write_text(json.dumps(content), encoding="utf-8")
    model = pretrained.load_bert(folder)
    model.resize_token_embeddings(len(content["model"]["vocab"]))
    model.save_pretrained(folder)
    return folder


def test_what_the_base_cannot_read_comes_from_the_bundle(bundle: Path, tmp_path: Path) -> None:
    base = smaller(tmp_path / "smaller", 3)
    config = begun(tiny_config(base, work=tmp_path, start=bundle), tmp_path)
    start = pretrained.start_folder(config)
    assert pretrained.vocabulary(start / pretrained.TOKENIZER) == pretrained.vocabulary(bundle / "tokenizer.json")
    own, theirs = (pretrained.load_bert(folder).state_dict()[PLAIN] for folder in (base, start))
    assert torch.equal(theirs[:-3], own)
    assert torch.allclose(theirs[-3:], tiny_ranker().state_dict()[TABLE][-3:], atol=1e-3)
    assert same(started(config).state_dict(), tiny_ranker().state_dict())


def test_characters_that_the_bundle_lacks_are_learned_as_ever(bundle: Path, tmp_path: Path, base: Path) -> None:
    write_taxonomy(tmp_path / "taxonomy")
    languages = {"taxonomy": "taxonomy", "names": ["zh-CN"], "steps": 2, "batch": 4}
    config = begun(tiny_config(base, work=tmp_path, data=tmp_path, start=bundle, languages=languages), tmp_path)
    begins = started(config).state_dict()[TABLE]
    known = len(tiny_ranker().state_dict()[TABLE])
    assert len(begins) == len(pretrained.vocabulary(pretrained.start_folder(config) / pretrained.TOKENIZER)) > known
    assert torch.allclose(begins[:known], tiny_ranker().state_dict()[TABLE], atol=1e-3)


def test_a_bundle_of_another_base_is_refused(bundle: Path, tmp_path: Path) -> None:
    other = write_base(tmp_path / "other", WORDS[1:])
    with pytest.raises(StageFailed, match="was made from another base than"):
        begun(tiny_config(other, work=tmp_path, start=bundle), tmp_path)


def test_a_bundle_of_other_layers_is_refused_with_the_way_out(base: Path, bundle: Path, tmp_path: Path) -> None:
    config = begun(tiny_config(base, work=tmp_path, start=bundle, layers=1), tmp_path)
    with pytest.raises(StageFailed, match="set layers to as many as it has"):
        started(config)


def test_a_bundle_without_its_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="holds no graph for GPUs"):
        opened(write_bundle(tmp_path / "bundle"))


def test_a_run_goes_on_from_one_thing_alone(base: Path) -> None:
    with pytest.raises(ValueError, match="start and teacher both say"):
        tiny_config(base, start=SHIPPED, teacher="runs/default")
