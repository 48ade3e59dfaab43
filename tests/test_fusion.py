"""The fusion's file says what the network says, whatever the number of products, attributes and values."""

import numpy as np
import pytest
import torch

from model_export.fusion import PICTURES, Fusion, to_onnx
from service.pictures import Evidence, Pictures, feed


@pytest.fixture(scope="module")
def network() -> Fusion:
    torch.manual_seed(1)
    return Fusion(8, 16)


@pytest.fixture(scope="module")
def served(network: Fusion, tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    path = tmp_path_factory.mktemp("fusion") / PICTURES
    to_onnx(network, path)
    return Pictures(path, width=8, text_width=16, threshold=0.5)


def evidence(values: int, confidence: float) -> Evidence:
    draw = np.random.default_rng(values)
    name, entries, near = (draw.normal(size=shape).astype(np.float32) for shape in ((16,), (values, 16), (values,)))
    return Evidence(name, entries, near, confidence)


@pytest.mark.parametrize("products", [1, 2, 5])
@pytest.mark.parametrize("attributes", [1, 3])
def test_file_and_network_agree(network: Fusion, served: Pictures, products: int, attributes: int) -> None:
    images = np.random.default_rng(products).normal(size=(products, 8)).astype(np.float32)
    asked = [(place % products, evidence(1 + 2 * place, place / 10)) for place in range(attributes)]
    with torch.inference_mode():
        theirs = network(*(torch.from_numpy(array) for array in feed(images, asked).values()))
    for ours, other in zip(served.terms(images, asked), theirs, strict=True):
        np.testing.assert_allclose(ours, other.numpy(), atol=1e-4)


def test_together_and_alone_the_same_is_chosen(served: Pictures) -> None:
    images = np.random.default_rng(2).normal(size=(3, 8)).astype(np.float32)
    asked = [(place, evidence(4 + place, 0.5)) for place in range(3)]
    alone = [served.choose(images[place : place + 1], [(0, each)])[0] for place, each in asked]
    for together, one in zip(served.choose(images, asked), alone, strict=True):
        assert (together.place, together.source) == (one.place, one.source)
        assert together.confidence == pytest.approx(one.confidence, abs=1e-5)


def test_nothing_is_chosen_of_nothing(served: Pictures) -> None:
    assert served.choose(np.zeros((0, 8), np.float32), []) == []
