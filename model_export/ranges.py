"""What the encoder's matmuls read, measured on training records: the range of each channel, and a scale that covers it.

Knows: where the encoder's matmuls are in the graph, how a range becomes the scale and zero point of uint8.
Does not know: how a graph is rewritten.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto

from service.text import Feed

LEVELS = 255


@dataclass(frozen=True, slots=True)
class Ranges:
    """The lowest and the highest value of each channel of a tensor, the last axis being the channels: (channels,)."""

    lowest: NDArray[np.float32]
    highest: NDArray[np.float32]

    def outliers(self, count: int) -> NDArray[np.int64]:
        """The channels that reach highest, in order of place."""
        return np.sort(np.argsort(-self.highest, kind="stable")[:count])

    def scale(self, cut: Sequence[int] | NDArray[np.int64] = ()) -> tuple[np.float32, np.uint8]:
        """One scale and zero point whose 256 steps reach from the lowest value to the highest of the channels not cut.

        Zero is one of the steps.
        """
        highest = max(0.0, float(np.delete(self.highest, cut).max(initial=0.0)))
        lowest = min(0.0, float(self.lowest.min()))
        scale = max(highest - lowest, 1e-8) / LEVELS
        return np.float32(scale), np.uint8(round(-lowest / scale))


def weights_of(graph: ModelProto) -> dict[str, TensorProto]:
    """The graph's constant tensors by name."""
    return {tensor.name: tensor for tensor in graph.graph.initializer}


def encoder_matmuls(graph: ModelProto) -> list[NodeProto]:
    """The matmuls with a constant matrix that come before the heads, which begin by gathering candidates."""
    nodes, constants = list(graph.graph.node), weights_of(graph)
    heads = next(index for index, node in enumerate(nodes) if node.op_type == "GatherElements")
    return [node for node in nodes[:heads] if node.op_type == "MatMul" and node.input[1] in constants]


def after_gelu(graph: ModelProto) -> list[NodeProto]:
    """Those of them that read a GELU's output: the second ones of the feed-forward blocks."""
    gelus = {output for node in graph.graph.node if node.op_type == "Gelu" for output in node.output}
    return [node for node in encoder_matmuls(graph) if node.input[0] in gelus]


def measure(graph: ModelProto, feeds: Iterable[Feed]) -> dict[str, Ranges]:
    """The ranges of everything that the encoder's matmuls read, by the tensor's name, over all feeds."""
    names = list(dict.fromkeys(node.input[0] for node in encoder_matmuls(graph)))
    showing = ModelProto()
    showing.CopyFrom(graph)
    showing.graph.output.extend(ValueInfoProto(name=name) for name in names)
    session = onnxruntime.InferenceSession(showing.SerializeToString(), providers=["CPUExecutionProvider"])
    found: dict[str, Ranges] = {}
    for feed in feeds:
        for name, values in zip(names, session.run(names, feed), strict=True):
            channels = values.reshape(-1, values.shape[-1])
            lowest, highest = channels.min(axis=0), channels.max(axis=0)
            if name in found:
                lowest, highest = np.minimum(lowest, found[name].lowest), np.maximum(highest, found[name].highest)
            found[name] = Ranges(lowest, highest)
    return found
