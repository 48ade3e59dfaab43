"""Optimising: what learns, how fast, and along which schedule."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import row, tiny_bert, tiny_ranker, tiny_tokenizer

from model_export.config import Training
from model_export.network import PackedRanker
from model_export.optimising import learning_rate, optimiser, with_lora
from model_export.train import merged
from service.text import collate


def test_the_rate_rises_in_a_line_over_the_warm_up() -> None:
    training = Training(steps=100, warm_up=0.1)
    assert [learning_rate(step, training) for step in range(10)] == pytest.approx([n / 10 for n in range(1, 11)])


def test_the_rate_falls_along_half_a_cosine() -> None:
    training = Training(steps=110, warm_up=10 / 110)
    assert [learning_rate(step, training) for step in (10, 35, 60, 110)] == pytest.approx(
        [1, 0.5 + math.sqrt(0.125), 0.5, 0]
    )


def test_the_rate_begins_whole_without_a_warm_up() -> None:
    assert learning_rate(0, Training(steps=10, warm_up=0)) == 1


@settings(deadline=None)
@given(steps=st.integers(1, 500), warm_up=st.floats(0, 0.99))
def test_the_rate_of_every_step_is_positive_and_at_most_whole(steps: int, warm_up: float) -> None:
    training = Training(steps=steps, warm_up=warm_up)
    assert all(0 < learning_rate(step, training) <= 1 for step in range(steps))


def rates(ranker: PackedRanker, options: Training) -> dict[str, float]:
    """The rate of each parameter that learns, by its name."""
    groups = optimiser(ranker, options).param_groups
    found = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    return {name: found[id(parameter)] for name, parameter in ranker.named_parameters() if id(parameter) in found}


FALLING = Training(encoder_rate=1e-4, head_rate=1e-2, layer_decay=0.5)


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("importance.0.weight", 1e-2),
        ("value_bias", 1e-2),
        ("encoder.encoder.layer.1.output.dense.weight", 1e-4),
        ("encoder.encoder.layer.0.attention.self.query.weight", 5e-5),
        ("encoder.embeddings.word_embeddings.weight", 2.5e-5),
    ],
)
def test_each_layer_has_half_the_rate_of_the_layer_above_it(name: str, rate: float) -> None:
    assert rates(tiny_ranker(), FALLING)[name] == pytest.approx(rate)


def test_without_a_decay_the_whole_encoder_has_one_rate() -> None:
    found = rates(tiny_ranker(), Training(encoder_rate=1e-4, head_rate=1e-2))
    assert {rate for name, rate in found.items() if name.startswith("encoder.")} == {1e-4}


def test_every_parameter_learns() -> None:
    ranker = tiny_ranker()
    assert rates(ranker, FALLING).keys() == dict(ranker.named_parameters()).keys()


LOW_RANK = Training(encoder_rate=1e-4, head_rate=1e-2, lora_rank=2, layer_decay=0.5)


def test_low_rank_updates_have_the_rates_of_their_layers() -> None:
    found = rates(with_lora(tiny_ranker(), LOW_RANK), LOW_RANK)
    by_layer = (
        {rate for name, rate in found.items() if ".layer.0." in name},
        {rate for name, rate in found.items() if ".layer.1." in name},
    )
    assert by_layer == ({5e-5}, {1e-4})


def test_of_the_encoder_only_low_rank_parts_learn() -> None:
    ranker = with_lora(tiny_ranker(), LOW_RANK)
    learns = [name for name, parameter in ranker.named_parameters() if parameter.requires_grad]
    inside = [name for name in learns if name.startswith("encoder.")]
    # Two matrices for each of six linear layers in each of two layers.
    assert len(inside) == 24 and all(".lora_" in name for name in inside)
    assert {name.partition(".")[0] for name in learns} == {
        name.partition(".")[0] for name in tiny_ranker().state_dict()
    }


def test_low_rank_parts_have_the_rank() -> None:
    ranker = with_lora(tiny_ranker(), LOW_RANK)
    assert {min(p.shape) for name, p in ranker.named_parameters() if ".lora_" in name} == {2}


def test_without_a_rank_the_network_stays_as_it_is() -> None:
    ranker = tiny_ranker()
    assert with_lora(ranker, FALLING).state_dict().keys() == tiny_ranker().state_dict().keys()


def test_merged_low_rank_updates_say_what_they_said_apart(base: Path) -> None:
    ranker = with_lora(tiny_ranker(), LOW_RANK).eval()
    draw = torch.Generator().manual_seed(1)
    for name, parameter in ranker.named_parameters():
        if ".lora_" in name:
            parameter.data = torch.randn(parameter.shape, generator=draw) * 0.1
    plain = PackedRanker(tiny_bert()).eval()
    plain.load_state_dict(merged(ranker))
    packed = collate([row(tiny_tokenizer(base), "red wool rug", "color", "price")])
    feed = {name: torch.from_numpy(array) for name, array in packed.items()}
    with torch.inference_mode():
        apart, together, before = (network(**feed).logits for network in (ranker, plain, tiny_ranker()))
    torch.testing.assert_close(together, apart, atol=1e-4, rtol=0)
    assert (together - before).abs().max() > 1e-2
