"""One network out of several that were trained: the mean of their weights, in place of training (a uniform soup,
Wortsman et al. 2022, "Model soups").

Knows: where finished runs have their weights. Does not know: whether the mean is better; `evaluate` tells.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model_export.config import Config
from model_export.distilling import WEIGHTS, kept
from model_export.stage import StageFailed


def mean(runs: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each tensor over the runs, summed in fp64. Raises ValueError for runs of different shapes."""
    shapes = [{name: tensor.shape for name, tensor in weights.items()} for weights in runs]
    if any(each != shapes[0] for each in shapes):
        raise ValueError("their networks differ in shape")
    return {
        name: torch.stack([weights[name].double() for weights in runs]).mean(0).to(tensor.dtype)
        for name, tensor in runs[0].items()
    }


def average(config: Config, out: Path) -> dict[str, Any]:
    """Run the stage `train` for a run that is a mean: `weights.pt`. Raises StageFailed for runs that do not fit."""
    runs = [run / "train" / WEIGHTS for run in config.mean_of]
    for path in runs:
        if not path.is_file():
            raise StageFailed(f"{path} is missing: finish that run first")
    try:
        torch.save(mean([kept(path) for path in runs]), out / WEIGHTS)
    except ValueError as error:
        raise StageFailed(f"no mean of {', '.join(map(str, runs))}: {error}") from error
    return {"mean_of": [str(run) for run in config.mean_of]}
