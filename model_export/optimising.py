"""What the optimiser moves and how fast: rates by layer, low-rank updates, what is held, the schedule.

Knows: the names of a BERT's parameters. Does not know: losses, data, when a step is made.
"""

import math
import re

import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from model_export.config import Training
from model_export.network import PackedRanker

LAYER = re.compile(r"encoder\.layer\.(\d+)\.")
LORA_SCALE = 2.0


def optimiser(ranker: nn.Module, options: Training) -> torch.optim.AdamW:
    """AdamW over all that learns, each layer of the encoder with its own rate."""
    numbers = [int(found[1]) for name, _ in ranker.named_parameters() if (found := LAYER.search(name))]
    layers = 1 + max(numbers, default=-1)
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in ranker.named_parameters():
        if parameter.requires_grad:
            groups.setdefault(_rate(name, layers, options), []).append(parameter)
    return torch.optim.AdamW(
        [{"params": parameters, "lr": rate} for rate, parameters in groups.items()],
        weight_decay=options.weight_decay,
        fused=True,
    )


def _rate(name: str, layers: int, options: Training) -> float:
    if not name.startswith("encoder."):
        return options.head_rate
    found = LAYER.search(name)
    below_top = layers - 1 - int(found[1]) if found else layers
    return float(options.encoder_rate * options.layer_decay**below_top)


def embedding_alone(ranker: PackedRanker) -> PackedRanker:
    """The same network, all held but what makes the text embedding of the encoder's mean."""
    ranker.requires_grad_(requires_grad=False)
    ranker.text.requires_grad_()
    return ranker


def with_lora(ranker: PackedRanker, options: Training) -> PackedRanker:
    """The same network, its encoder held but for low-rank updates of its linear layers (Hu et al. 2021)."""
    if options.lora_rank:
        adapted = LoraConfig(
            r=options.lora_rank, lora_alpha=round(LORA_SCALE * options.lora_rank), target_modules="all-linear"
        )
        ranker.encoder = get_peft_model(ranker.encoder, adapted)
    return ranker


def learning_rate(step: int, training: Training) -> float:
    """The factor on every rate: a linear rise over the warm-up, then half a cosine to 0."""
    rise = max(1, round(training.steps * training.warm_up))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, training.steps - rise)))
