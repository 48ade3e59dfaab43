"""The configuration file: the shipped one is whole, and what cannot be used is refused by its option."""

from pathlib import Path

import pytest

from model_export import config as configuration
from model_export.__main__ import SHIPPED
from model_export.config import BadConfig

SMALLEST = """
name = "shop"
[sources.shop]
reader = "jsonl"
train = "shop.jsonl"
licence = "CC0-1.0"
rate = 1
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "run.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_the_shipped_configuration_is_whole() -> None:
    assert configuration.load(SHIPPED).name == "attribute-ranker-en-zh"


def test_a_configuration_needs_a_name_and_a_source(tmp_path: Path) -> None:
    assert configuration.load(written(tmp_path, SMALLEST)).sources["shop"].train == Path("shop.jsonl")


def test_other_languages_and_every_loss_but_those_of_the_heads_are_off_by_default(tmp_path: Path) -> None:
    config = configuration.load(written(tmp_path, SMALLEST))
    training = config.training
    off = (training.embedding_loss, training.averaging, training.r_drop, training.lora_rank)
    assert (config.languages.taxonomy, config.sources["shop"].perturbation, *off) == (None, 0, 0, 0, 0, 0)


def test_a_file_that_is_not_utf_8_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_bytes(b'name = "\xff"')
    with pytest.raises(BadConfig, match=r"run\.toml is not TOML: .*codec can't decode"):
        configuration.load(tmp_path / "run.toml")


def test_data_and_work_given_by_the_caller_replace_the_files(tmp_path: Path) -> None:
    config = configuration.load(written(tmp_path, 'data = "a"\n' + SMALLEST), data=Path("b"), work=Path("c"))
    assert (config.data, config.work) == (Path("b"), Path("c"))


def test_data_and_work_of_the_file_stay_when_the_caller_gives_none(tmp_path: Path) -> None:
    config = configuration.load(written(tmp_path, 'data = "a"\nwork = "d"\n' + SMALLEST))
    assert (config.data, config.work) == (Path("a"), Path("d"))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("name = ", "is not TOML"),
        ("seed = 1\n" + SMALLEST.replace('name = "shop"', ""), ", name: "),
        (SMALLEST.replace("rate = 1", "rate = 0"), ", sources.shop.rate: "),
        (SMALLEST.replace('"jsonl"', '"csv"'), ", sources.shop.reader: "),
        (SMALLEST + "keep_aside = 1.0", ", sources.shop.keep_aside: "),
        (SMALLEST + "[training]\nstep = 5", ", training.step: "),
        (SMALLEST + "[training]\naveraging = 1.0", ", training.averaging: "),
        (SMALLEST + "[training]\nlayer_decay = 0.0", ", training.layer_decay: "),
        (SMALLEST + '[training]\nsample_weighting = "some"', ", training.sample_weighting: "),
        (SMALLEST + '[pictures]\ncatalogue = "seen.jsonl"', ", pictures: "),
        (SMALLEST + "[pictures]\nthreshold = 1.0", ", pictures.threshold: "),
        (SMALLEST + "[languages]\nbatch = 1", ", languages.batch: "),
        (SMALLEST + 'language = "xx"', ", sources.shop.language: "),
        (SMALLEST + "perturbation = 1.0\n[training]\nlora_rank = 2", ".toml: perturbation moves"),
        (SMALLEST + "[training]\nembedding_only = true\nlora_rank = 2", ".toml: lora_rank is for the encoder"),
        (
            SMALLEST + "[training]\nembedding_only = true\nranking_loss = 0",
            ".toml: embedding_only learns from the order",
        ),
        ('mean_of = ["runs/a"]\n' + SMALLEST, ".toml: mean_of wants two runs"),
        ("value_threshold = 1.5\n" + SMALLEST, ", value_threshold: "),
        ('name = "shop"\n[sources]', ", sources: "),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(BadConfig) as refusal:
        configuration.load(written(tmp_path, text))
    assert named in str(refusal.value)


TWICE = SMALLEST + "[sources.twin]" + SMALLEST.partition("[sources.shop]")[2]


def test_sources_of_one_file_must_keep_the_same_share_of_it_aside(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"sources\.twin must keep aside the share"):
        configuration.load(written(tmp_path, TWICE + "keep_aside = 0.1"))


def test_sources_may_share_a_file_that_is_split_once(tmp_path: Path) -> None:
    assert set(configuration.load(written(tmp_path, TWICE)).sources) == {"shop", "twin"}


def test_a_refusal_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"run\.toml"):
        configuration.load(written(tmp_path, "seed = 1"))


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"cannot read .*nowhere\.toml"):
        configuration.load(tmp_path / "nowhere.toml")


def test_options_may_be_replaced_one_by_one(tmp_path: Path) -> None:
    given = ["training.steps=5", "training.sample_weighting=self-paced", "base = some/folder", "sources.shop.rate=2.5"]
    config = configuration.load(written(tmp_path, SMALLEST), replaced=given)
    assert (config.training.steps, config.training.sample_weighting) == (5, "self-paced")
    assert (config.base, config.sources["shop"].rate) == ("some/folder", 2.5)


@pytest.mark.parametrize("option", ["training.steps", "=5", "training.steps.more=5", "training.pace=5"])
def test_what_replaces_nothing_is_refused_by_name(tmp_path: Path, option: str) -> None:
    with pytest.raises(BadConfig, match=option.partition("=")[0] or "NAME=VALUE"):
        configuration.load(written(tmp_path, SMALLEST + "[training]\nsteps = 9\n"), replaced=[option])
