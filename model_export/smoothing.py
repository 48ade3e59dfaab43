"""What layer norms give, made even before it is rounded: SmoothQuant (Xiao et al. 2023).

One or two channels reach five times as far as the others, and a scale that covers them leaves the others few steps. So
each channel is divided by a number and the rows of the matrices that read it are multiplied by the same: the product
stays, and less of it is lost in rounding. The residual reads the layer norm as it was.

Knows: the graph's layer norms and what reads them. Does not know: how ranges become scales, integers.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, helper, numpy_helper

from model_export.ranges import Ranges, encoder_matmuls, weights_of

LEAST = 1e-3
"""Of the largest: no channel counts as smaller, for what calibration did not see may come."""


def smooth(graph: ModelProto, measured: Mapping[str, Ranges], *, share: float) -> dict[str, Ranges]:
    """Even out what the encoder's matmuls read of layer norms; the ranges of all that they read from now on.

    Channel j is divided by max|x_j|^share / max|w_j|^(1 − share): `share` is how much of the unevenness goes over to
    the weights.
    """
    constants, found = weights_of(graph), dict(measured)
    norms = {output for node in graph.graph.node if node.op_type == "LayerNormalization" for output in node.output}
    readers = [node for node in encoder_matmuls(graph) if node.input[0] in norms]
    for source in dict.fromkeys(node.input[0] for node in readers):
        reading = [node for node in readers if node.input[0] == source]
        divisors = _divisors(
            measured[source], [numpy_helper.to_array(constants[node.input[1]]) for node in reading], share
        )
        even = f"{source}_even"
        graph.graph.initializer.append(numpy_helper.from_array(1 / divisors, f"{even}_by"))
        place = list(graph.graph.node).index(reading[0])
        graph.graph.node.insert(place, helper.make_node("Mul", [source, f"{even}_by"], [even]))
        found[even] = Ranges(measured[source].lowest / divisors, measured[source].highest / divisors)
        for node in reading:
            matrix = constants[node.input[1]]
            rows = numpy_helper.to_array(matrix) * divisors[:, None]
            matrix.CopyFrom(numpy_helper.from_array(rows, matrix.name))
            node.input[0] = even
    return found


def _divisors(ranges: Ranges, matrices: Sequence[NDArray[np.float32]], share: float) -> NDArray[np.float32]:
    """One for each channel."""
    reach = np.maximum(-ranges.lowest, ranges.highest)
    weight = np.abs(np.concatenate(matrices, axis=1)).max(axis=1)
    reach, weight = (np.maximum(each, LEAST * each.max()) for each in (reach, weight))
    divisors: NDArray[np.float32] = (reach**share / weight ** (1 - share)).astype(np.float32)
    return divisors
