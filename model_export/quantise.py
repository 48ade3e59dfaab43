"""Stage 5: the fp32 graph as int8 for CPUs.

Scales of activations are fixed from calibration data, never taken over a batch: so a logit does not depend on what
else is in it, which dynamic quantisation would break.
- the encoder's matmuls are static int8, but
- the second one of each feed-forward block, whose inputs have outliers, multiplies in fp32 with weights kept as int8;
- large embedding tables are int8 with a scale for each row; the heads stay in fp32.

Knows: the graph's operators, onnxruntime's quantisers. Does not know: training, thresholds.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from model_export import pretrained, records
from model_export.config import Config
from model_export.export import FP32, quiet_libraries
from model_export.records import Record
from model_export.rows import packed
from service.text import Feed, Tokenizer, collate

INT8 = "model.int8.onnx"
MIN_TABLE_ROWS = 256


def feeds(tokenizer: Tokenizer, examples: Sequence[Record]) -> list[Feed]:
    """One feed a record, all of one shape, which the quantiser's histograms want: padded to the longest record."""
    together = collate([packed(tokenizer, record)[1] for record in examples])
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


def store_weights(graph: ModelProto, nodes: Sequence[NodeProto]) -> None:
    """Store these matmuls' weights as int8 with one scale for each output: `Cast(q) * scale`.

    They multiply in fp32: onnxruntime computes the product once, when it loads the graph.
    """
    constants = weights_of(graph)
    for node in nodes:
        q, scale = _as_int8(graph, constants[node.input[1]], axis=0)
        made = [
            helper.make_node("Cast", [q], [f"{q}_float"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{q}_float", scale], [node.input[1]]),
        ]
        _insert(graph, node, made)


def store_tables(graph: ModelProto) -> None:
    """Store every large embedding table as int8 with one scale for each row: `Cast(Gather(q)) * Gather(scale)`."""
    constants = weights_of(graph)
    for node in [n for n in graph.graph.node if n.op_type == "Gather" and n.input[0] in constants]:
        table = constants[node.input[0]]
        if len(table.dims) != 2 or table.dims[0] < MIN_TABLE_ROWS or table.data_type != TensorProto.FLOAT:
            continue
        (indices,), (output,) = node.input[1:], node.output
        q, scale = _as_int8(graph, table, axis=1)
        made = [
            helper.make_node("Gather", [q, indices], [f"{q}_rows"]),
            helper.make_node("Gather", [scale, indices], [f"{scale}_rows"]),
            helper.make_node("Cast", [f"{q}_rows"], [f"{q}_float"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{q}_float", f"{scale}_rows"], [output]),
        ]
        _insert(graph, node, made)
        graph.graph.node.remove(node)


def _as_int8(graph: ModelProto, tensor: TensorProto, *, axis: int) -> tuple[str, str]:
    """Replace a constant matrix by an int8 one and its scales, one for each slice along the other axis; their names."""
    values = numpy_helper.to_array(tensor)
    scale = np.maximum(np.abs(values).max(axis=axis, keepdims=True), 1e-8) / 127
    names = f"{tensor.name}_int8", f"{tensor.name}_scale"
    graph.graph.initializer.remove(tensor)
    graph.graph.initializer.append(numpy_helper.from_array(np.rint(values / scale).astype(np.int8), names[0]))
    graph.graph.initializer.append(numpy_helper.from_array(scale.astype(np.float32), names[1]))
    return names


def _insert(graph: ModelProto, before: NodeProto, nodes: Sequence[NodeProto]) -> None:
    position = list(graph.graph.node).index(before)
    for offset, node in enumerate(nodes):
        graph.graph.node.insert(position + offset, node)


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
    precise = [node.name for node in after_gelu(graph)]
    static = [node.name for node in encoder_matmuls(graph) if node.name not in precise]
    with quiet_libraries():
        quantize_static(
            exported / FP32,
            out / INT8,
            _Reader(calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["MatMul"],
            nodes_to_quantize=static,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": config.quantising.percentile},
        )
    quantised = onnx.load(out / INT8)
    store_weights(quantised, after_gelu(quantised))
    store_tables(quantised)
    onnx.save(quantised, out / INT8)
    return {
        "bytes": (out / INT8).stat().st_size,
        "calibration_records": len(calibration),
        "static": len(static),
        "weights_alone": len(precise),
    }
