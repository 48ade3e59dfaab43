"""Stage 5: the fp32 graph as int8 for CPUs.

Static quantisation: scales are fixed from calibration data, so a logit does not depend on what else is in the batch.
Three things are done beside the library's quantiser, each for a measured reason (README, decisions):
- the second matmul of each feed-forward block gets SmoothQuant: its inputs' outliers are moved into the weights;
- embedding tables are int8 with a scale for each row;
- matmuls of the heads stay in fp32.

Knows: the graph's operators, onnxruntime's quantiser. Does not know: training, thresholds.
"""

import logging
import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from model_export import pretrained, records
from model_export.config import Config
from model_export.export import FP32
from model_export.records import Record
from service.text import PADDING_BLOCK, Feed, Tokenizer, collate, pack

INT8 = "model.int8.onnx"
SMOOTHING = 0.5
"""How much of an activation's range moves into the weights: SmoothQuant's alpha (Xiao et al. 2023)."""
MIN_TABLE_ROWS = 256


def feeds(tokenizer: Tokenizer, examples: Sequence[Record]) -> list[Feed]:
    """One feed a record, all of one shape, which the quantiser's histograms want: padded to the longest record."""
    together = collate(
        [
            pack(tokenizer.query(r.query), [tokenizer.attribute(a) for a in r.attributes], row_tokens=2**31)[0]
            for r in examples
        ]
    )
    shared = "query_positions"
    return [
        {name: array if name == shared else array[i : i + 1] for name, array in together.items()}
        for i in range(len(examples))
    ]


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, content: Sequence[Feed]) -> None:
        self._left: Iterator[Feed] = iter(content)

    def get_next(self) -> Feed | None:
        return next(self._left, None)


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


def smooth(graph: ModelProto, calibration: Sequence[Feed]) -> None:
    """Divide the inputs of the `after_gelu` matmuls by a factor for each channel and multiply it into the weights.

    The factor is `max|x|^a / max|w|^(1-a)` with a = SMOOTHING. The graph computes the same in fp32.
    """
    nodes = after_gelu(graph)
    ranges = _channel_ranges(graph, [node.input[0] for node in nodes], calibration)
    constants = weights_of(graph)
    for index, node in enumerate(nodes):
        weight = numpy_helper.to_array(constants[node.input[1]])
        largest = np.maximum(ranges[node.input[0]], 1e-3)
        factor = largest**SMOOTHING / np.maximum(np.abs(weight).max(axis=1), 1e-5) ** (1 - SMOOTHING)
        factor = (factor / np.exp(np.log(factor).mean())).astype(np.float32)
        constants[node.input[1]].CopyFrom(numpy_helper.from_array(weight * factor[:, None], node.input[1]))
        name = f"smoothed_{index}"
        graph.graph.initializer.append(numpy_helper.from_array(1 / factor, f"{name}_factor"))
        position = list(graph.graph.node).index(node)
        product = helper.make_node("Mul", [node.input[0], f"{name}_factor"], [name], name)
        graph.graph.node.insert(position, product)
        node.input[0] = name


def _channel_ranges(
    graph: ModelProto, tensors: Sequence[str], calibration: Sequence[Feed]
) -> dict[str, NDArray[np.float32]]:
    """The largest absolute value of each tensor's last axis over the calibration data, padding left out."""
    probed = ModelProto()
    probed.CopyFrom(graph)
    probed.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in tensors)
    session = ort.InferenceSession(probed.SerializeToString(), providers=["CPUExecutionProvider"])
    ranges: dict[str, NDArray[np.float32]] = {}
    for feed in calibration:
        real = feed["block_ids"] != PADDING_BLOCK
        for name, values in zip(tensors, session.run(list(tensors), feed), strict=True):
            found = np.abs(values[real]).max(axis=0)
            ranges[name] = np.maximum(ranges.get(name, found), found)
    return ranges


def quantise_tables(graph: ModelProto) -> None:
    """Store every large embedding table as int8 with one scale for each row: `Cast(Gather(q)) * Gather(scale)`."""
    constants = weights_of(graph)
    for node in [n for n in graph.graph.node if n.op_type == "Gather" and n.input[0] in constants]:
        tensor = constants[node.input[0]]
        if len(tensor.dims) != 2 or tensor.dims[0] < MIN_TABLE_ROWS or tensor.data_type != TensorProto.FLOAT:
            continue
        table, (indices,), (output,) = numpy_helper.to_array(tensor), node.input[1:], node.output
        scale = np.maximum(np.abs(table).max(axis=1, keepdims=True), 1e-8) / 127
        names = {part: f"{tensor.name}_{part}" for part in ("int8", "scale", "rows", "scales", "float")}
        graph.graph.initializer.remove(tensor)
        graph.graph.initializer.extend(
            [
                numpy_helper.from_array(np.rint(table / scale).astype(np.int8), names["int8"]),
                numpy_helper.from_array(scale.astype(np.float32), names["scale"]),
            ]
        )
        position = list(graph.graph.node).index(node)
        graph.graph.node.remove(node)
        for offset, made in enumerate(
            (
                helper.make_node("Gather", [names["int8"], indices], [names["rows"]]),
                helper.make_node("Gather", [names["scale"], indices], [names["scales"]]),
                helper.make_node("Cast", [names["rows"]], [names["float"]], to=TensorProto.FLOAT),
                helper.make_node("Mul", [names["float"], names["scales"]], [output]),
            )
        ):
            graph.graph.node.insert(position + offset, made)


def _sample(config: Config, examples: Path) -> list[Record]:
    """Training records of all sources alike, in no order."""
    draw = random.Random(config.seed)
    size = -(-config.quantising.calibration_records // len(config.sources))
    found = []
    for name in config.sources:
        train = list(records.read(examples / f"{name}.train.jsonl"))
        found += draw.sample(train, min(size, len(train)))
    return found


def quantise(config: Config, examples: Path, exported: Path, out: Path) -> dict[str, Any]:
    """Run the stage: `model.int8.onnx`."""
    calibration = feeds(pretrained.tokenizer(config), _sample(config, examples))
    graph = onnx.load(exported / FP32)
    smooth(graph, calibration)
    quantised_nodes = [node.name for node in encoder_matmuls(graph)]
    with tempfile.TemporaryDirectory() as folder:
        smoothed = Path(folder) / "smoothed.onnx"
        onnx.save(graph, smoothed)
        logging.getLogger().setLevel(logging.ERROR)
        quantize_static(
            smoothed,
            out / INT8,
            _Reader(calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["MatMul"],
            nodes_to_quantize=quantised_nodes,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": config.quantising.percentile, "QuantizeBias": False},
        )
    quantised = onnx.load(out / INT8)
    quantise_tables(quantised)
    onnx.checker.check_model(quantised)
    onnx.save(quantised, out / INT8)
    return {
        "bytes": (out / INT8).stat().st_size,
        "calibration_records": len(calibration),
        "matmuls": len(quantised_nodes),
    }
