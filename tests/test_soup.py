"""A run that is the mean of others: each weight is theirs on the mean, and runs that do not fit are refused by name."""

from pathlib import Path

import pytest
import torch
from tiny import tiny_config

from model_export.config import Config
from model_export.distilling import WEIGHTS, load, untrained
from model_export.network import PackedRanker
from model_export.soup import average, mean
from model_export.stage import StageFailed


def finished(config: Config, work: Path, seed: int) -> Path:
    """The work folder of a run whose weights are drawn by the seed."""
    torch.manual_seed(seed)
    ranker = untrained(config)
    for parameter in ranker.parameters():
        torch.nn.init.normal_(parameter)
    (work / "train").mkdir(parents=True)
    torch.save(ranker.state_dict(), work / "train" / WEIGHTS)
    return work


def test_every_weight_is_the_mean_of_the_runs(base: Path, tmp_path: Path) -> None:
    runs = [finished(tiny_config(base, work=tmp_path), tmp_path / str(seed), seed) for seed in range(3)]
    config = tiny_config(base, work=tmp_path, teacher=runs[0], mean_of=runs)
    assert average(config, tmp_path) == {"mean_of": [str(run) for run in runs]}
    parts: list[PackedRanker] = [load(untrained(config), run / "train") for run in runs]
    for found, *each in zip(
        load(untrained(config), tmp_path).parameters(), *(part.parameters() for part in parts), strict=True
    ):
        assert torch.allclose(found, torch.stack(each).mean(0), atol=1e-6)


def test_runs_of_different_shapes_have_no_mean() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        mean([{"a": torch.zeros(2)}, {"a": torch.zeros(3)}])
    with pytest.raises(ValueError, match="differ in shape"):
        mean([{"a": torch.zeros(2)}, {"b": torch.zeros(2)}])


def test_a_run_that_is_not_finished_is_named(base: Path, tmp_path: Path) -> None:
    run = finished(tiny_config(base, work=tmp_path), tmp_path / "one", 0)
    config = tiny_config(base, work=tmp_path, teacher=run, mean_of=[run, tmp_path / "other"])
    with pytest.raises(StageFailed, match=r"other/train/weights\.pt is missing: finish that run first"):
        average(config, tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        {"mean_of": ["a"], "teacher": "a"},
        {"mean_of": ["a", "b"]},
        {"mean_of": ["a", "b"], "teacher": "c"},
        {"mean_of": ["a", "b"], "teacher": "a", "layers": 1},
    ],
)
def test_a_mean_wants_two_runs_one_of_them_as_teacher_and_all_layers(
    base: Path, tmp_path: Path, options: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match="mean_of wants two runs or more"):
        tiny_config(base, work=tmp_path, **options)
