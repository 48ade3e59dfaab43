"""How the fusion of texts and pictures is trained: listwise, over the values that an attribute may have.

The projection learns from most products, gate and scales from the others: a projection fits much of what it has seen
by heart, and a gate that saw the same would trust pictures even where they tell nothing.

Knows: losses, rates, the temperature. Does not know: products, where evidence comes from, files.
"""

import copy
import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_export.config import Pictures
from model_export.fusion import Fusion
from model_export.stage import StageFailed
from service.pictures import Evidence, feed

ALONE = 0.3
"""Share of the steps in which the projection learns alone, from where it tells nothing."""
EVALUATIONS = 10
TEMPERATURES = np.geomspace(0.1, 10, 81)


class Lesson(NamedTuple):
    """A product's picture (width,), what its text says of one attribute, and the place of the right value."""

    image: NDArray[np.float32]
    evidence: Evidence
    truth: int


class Lessons(NamedTuple):
    """What the projection, the gate and scales, and the choice among evaluations are made by: numbers of lessons."""

    projection: Sequence[int]
    gate: Sequence[int]
    dev: Sequence[int]


Read = Callable[[int], Lesson]
"""Gives a lesson by its number: all together they would fill the memory with values' vectors."""


def trained(read: Read, lessons: Lessons, options: Pictures, seed: int) -> Fusion:
    """The fusion whose loss on the dev lessons was smallest, calibrated on these. Raises StageFailed."""
    with _one_thread():
        return _trained(read, lessons, options, seed)


@contextmanager
def _one_thread() -> Iterator[None]:
    """So little work is only slowed down by sharing it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _trained(read: Read, lessons: Lessons, options: Pictures, seed: int) -> Fusion:
    torch.manual_seed(seed)
    draw = random.Random(f"{seed}/pictures")
    first = read(lessons.dev[0])
    network = Fusion(len(first.image), len(first.evidence.name))
    projection = torch.optim.AdamW(network.projection.parameters(), options.rate, weight_decay=options.weight_decay)
    gate = torch.optim.AdamW([*network.gate.parameters(), network.log_scales], options.gate_rate, weight_decay=0.01)
    best, kept = math.inf, copy.deepcopy(network.state_dict())
    for step in range(1, options.steps + 1):
        for optimiser, numbers in ((projection, lessons.projection), (gate, lessons.gate)):
            if optimiser is projection or step > ALONE * options.steps:
                _step(network, optimiser, [read(number) for number in draw.choices(numbers, k=options.batch)])
        if step % max(1, options.steps // EVALUATIONS) == 0:
            loss = _negative_log_likelihood(scored(network, read, lessons.dev), 1.0)
            if loss < best:
                best, kept = loss, copy.deepcopy(network.state_dict())
    if not math.isfinite(best):
        raise StageFailed("training the pictures gave no finite loss: take a smaller pictures.rate")
    network.load_state_dict(kept)
    _calibrate(network, scored(network, read, lessons.dev))
    return network.eval()


def _step(network: Fusion, optimiser: torch.optim.Optimizer, lessons: Sequence[Lesson]) -> None:
    network.zero_grad()
    tensors, truths = _tensors(lessons)
    terms = network(*tensors.values())
    loss = listwise(terms.text + terms.image, tensors["of_name"], truths)
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    network.hold()


def _tensors(lessons: Sequence[Lesson]) -> tuple[dict[str, Tensor], Tensor]:
    """What the network takes, and the places of the right values among all."""
    images = np.stack([lesson.image for lesson in lessons])
    taken = feed(images, [(place, lesson.evidence) for place, lesson in enumerate(lessons)])
    sizes = [len(lesson.evidence.entries) for lesson in lessons]
    starts = np.cumsum([0, *sizes[:-1]])
    truths = starts + np.array([lesson.truth for lesson in lessons])
    return {name: torch.from_numpy(array) for name, array in taken.items()}, torch.from_numpy(truths)


def listwise(scores: Tensor, of_name: Tensor, truths: Tensor) -> Tensor:
    """The mean over attributes of the cross-entropy of a softmax over each one's values.

    `scores` and `of_name` (values,), `truths` (attributes,).
    """
    nothing = torch.full((len(truths),), -math.inf)
    top = nothing.scatter_reduce(0, of_name, scores.detach(), "amax")
    total = torch.zeros(len(truths)).index_add(0, of_name, (scores - top[of_name]).exp())
    return (total.log() + top - scores[truths]).mean()


class Scored(NamedTuple):
    """A dev lesson's scores (values,), the place of the right one, and the gate."""

    scores: NDArray[np.float64]
    truth: int
    gate: float


def scored(network: Fusion, read: Read, numbers: Sequence[int]) -> list[Scored]:
    """What the network says of lessons, one by one."""
    found = []
    with torch.inference_mode():
        for number in numbers:
            lesson = read(number)
            tensors, _ = _tensors([lesson])
            terms = network(*tensors.values())
            scores = (terms.text + terms.image).double().numpy()
            found.append(Scored(scores, lesson.truth, float(terms.gates[0])))
    return found


def probabilities(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """The softmax."""
    raised: NDArray[np.float64] = np.exp(scores - scores.max())
    raised /= raised.sum()
    return raised


def _negative_log_likelihood(dev: Sequence[Scored], temperature: float) -> float:
    losses = []
    for each in dev:
        scaled = each.scores / temperature
        top = scaled.max()
        losses.append(float(np.log(np.exp(scaled - top).sum()) + top - scaled[each.truth]))
    return math.fsum(losses) / len(losses)


def _calibrate(network: Fusion, dev: Sequence[Scored]) -> None:
    """Have the probabilities mean what they say on dev lessons, as well as one temperature can."""
    network.cool(float(min(TEMPERATURES, key=lambda temperature: _negative_log_likelihood(dev, float(temperature)))))
