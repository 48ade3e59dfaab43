"""The network that weighs a picture against a text, and its ONNX file.

Knows: the formula of `service.pictures`, the exporter. Does not know: products, how it is trained.
"""

import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from model_export.export import OPSET, quiet_libraries
from service.pictures import INPUTS, OUTPUTS

PICTURES, DESCRIPTION = "pictures.onnx", "pictures.json"
HIDDEN = 32
LARGEST_SCALE = 100.0
FIRST_SCALES = (10.0, 3.0, 10.0)
"""Of what a text states, of a text that states nothing, of a picture, before training."""


class Terms(NamedTuple):
    """The text's and the picture's part of each value's score (values,), and each attribute's gate (attributes,)."""

    text: Tensor
    image: Tensor
    gates: Tensor


class Fusion(nn.Module):
    """A linear projection of pictures to the space of texts, a gate for each attribute, three scales."""

    def __init__(self, image_width: int, text_width: int) -> None:
        super().__init__()
        self.projection = nn.Linear(image_width, text_width)
        last = nn.Linear(HIDDEN, 1)
        self.gate = nn.Sequential(nn.Linear(text_width + 2, HIDDEN), nn.GELU(), last)
        self.log_scales = nn.Parameter(torch.tensor(FIRST_SCALES).log())
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(
        self,
        images: Tensor,
        names: Tensor,
        confidences: Tensor,
        of_image: Tensor,
        entries: Tensor,
        similarities: Tensor,
        of_name: Tensor,
    ) -> Terms:
        """Shapes: (products, image width), (attributes, width), twice (attributes,), (values, width), twice (values,).

        `of_image` says which product an attribute is of, `of_name` which attribute a value is of.
        """
        states = (confidences > 0).to(names.dtype)
        told = torch.cat([names, confidences[:, None], states[:, None]], dim=1)
        gates = torch.sigmoid(self.gate(told))[:, 0]
        stated, silent, seen = self.log_scales.exp()
        text_scales = silent + (stated - silent) * states
        pictures = normalize(self.projection(images), dim=1)[of_image]
        text = ((1 - gates) * text_scales)[of_name] * similarities
        image = (gates * seen)[of_name] * (pictures[of_name] * entries).sum(dim=1)
        return Terms(text, image, gates)

    def hold(self) -> None:
        """Keep the scales from growing without end where training has no doubt left."""
        with torch.no_grad():
            self.log_scales.clamp_(max=math.log(LARGEST_SCALE))

    def cool(self, temperature: float) -> None:
        """Divide all scores by a temperature."""
        with torch.no_grad():
            self.log_scales.sub_(math.log(temperature))


def to_onnx(network: Fusion, path: Path) -> None:
    """Write it as one file, every number of products, attributes and values variable."""
    image_width, text_width = network.projection.in_features, network.projection.out_features
    sample = (
        torch.ones(2, image_width),
        torch.ones(3, text_width),
        torch.zeros(3),
        torch.tensor([0, 1, 1]),
        torch.ones(7, text_width),
        torch.zeros(7),
        torch.tensor([0, 0, 1, 1, 1, 2, 2]),
    )
    products, attributes, values = (torch.export.Dim(name) for name in ("products", "attributes", "values"))
    sizes = (products, attributes, attributes, attributes, values, values, values)
    with quiet_libraries():
        program = torch.onnx.export(
            network.eval(),
            sample,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_shapes=tuple({0: size} for size in sizes),
            external_data=False,
            verbose=False,
        )
    assert program is not None
    program.save(str(path))
