"""Training the fusion on made evidence: its loss, its gate, its temperature."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model_export.config import Pictures
from model_export.gating import Lesson, Lessons, listwise, probabilities, scored, trained
from service.pictures import Evidence

WIDTH, VALUES = 16, 6


@given(st.lists(st.lists(st.floats(-50, 50), min_size=1, max_size=5), min_size=1, max_size=4))
@settings(deadline=None)
def test_the_loss_is_the_mean_cross_entropy_of_each_attributes_values(scores: list[list[float]]) -> None:
    flat = torch.tensor([score for each in scores for score in each])
    owners = torch.tensor([place for place, each in enumerate(scores) for _ in each])
    truths = torch.tensor(np.cumsum([0, *(len(each) for each in scores[:-1])]))
    alone = [torch.nn.functional.cross_entropy(torch.tensor([each]), torch.tensor([0])) for each in scores]
    assert listwise(flat, owners, truths).item() == pytest.approx(float(np.mean(alone)), abs=1e-4)


@dataclass(frozen=True)
class Made:
    """Lessons of two names: of the first pictures tell the value, of the second nothing does."""

    images: NDArray[np.float32]
    names: NDArray[np.float32]
    entries: NDArray[np.float32]
    truths: NDArray[np.int64]

    def read(self, number: int) -> Lesson:
        product, name = divmod(number, 2)
        near = np.random.default_rng(number).normal(size=VALUES).astype(np.float32) * 0.1
        evidence = Evidence(self.names[name], self.entries[name], near, 0.0)
        return Lesson(self.images[product], evidence, int(self.truths[product, name]))


def made(products: int) -> Made:
    draw = np.random.default_rng(5)
    names, entries = draw.normal(size=(2, WIDTH)), draw.normal(size=(2, VALUES, WIDTH))
    truths = draw.integers(VALUES, size=(products, 2))
    directions = draw.normal(size=(VALUES, 12))
    images = directions[truths[:, 0]] + draw.normal(size=(products, 12)) * 0.5
    unit = [(each / np.linalg.norm(each, axis=-1, keepdims=True)).astype(np.float32) for each in (images, entries)]
    return Made(unit[0], (names / 4).astype(np.float32), unit[1], truths)


def test_the_gate_and_the_probabilities_mean_what_they_say() -> None:
    told, lessons = made(300), Lessons(range(300), range(300, 420), range(420, 600))
    network = trained(told.read, lessons, Pictures(steps=300, batch=32), 7)
    dev = scored(network, told.read, lessons.dev)
    seen, blind = dev[0::2], dev[1::2]
    assert np.mean([each.scores.argmax() == each.truth for each in seen]) >= 0.95
    assert np.mean([each.gate for each in seen]) > 0.8
    assert np.mean([each.gate for each in blind]) < 0.1
    for part in (seen, blind):
        sure = [probabilities(each.scores).max() for each in part]
        right = [each.scores.argmax() == each.truth for each in part]
        assert np.mean(sure) == pytest.approx(np.mean(right), abs=0.12)


def test_a_run_is_a_fact_of_its_lessons_and_seed() -> None:
    told, lessons = made(60), Lessons(range(60), range(60, 90), range(90, 120))
    one, other = (trained(told.read, lessons, Pictures(steps=20, batch=8), 7).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
