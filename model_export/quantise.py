"""Stage 5: the fp32 graph as int8 for CPUs.

Scales of activations are either fixed from calibration data or taken row by row, never over a batch: so a logit does
not depend on what else is in it, which dynamic quantisation would break.
- the encoder's matmuls are static int8, but
- the second one of each feed-forward block, whose inputs have outliers, has 8-bit weights in blocks;
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
from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

from model_export import pretrained, records
from model_export.config import Config
from model_export.export import FP32, quiet_libraries
from model_export.records import Record
from model_export.rows import packed
from service.text import Feed, Tokenizer, collate

INT8 = "model.int8.onnx"
BLOCK = 128
INT8_ARITHMETIC = 4
"""MatMulNBits' accuracy level that also quantises its inputs, row by row."""
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


def quantise_after_gelu(graph: ModelProto, nodes: Sequence[str]) -> ModelProto:
    """Give these matmuls 8-bit weights in blocks; their inputs are scaled row by row at run time."""
    others = [node.name for node in graph.graph.node if node.op_type == "MatMul" and node.name not in nodes]
    how = DefaultWeightOnlyQuantConfig(
        block_size=BLOCK, is_symmetric=True, accuracy_level=INT8_ARITHMETIC, quant_format=QuantFormat.QOperator, bits=8
    )
    quantiser = MatMulNBitsQuantizer(graph, nodes_to_include=nodes, nodes_to_exclude=others, algo_config=how)
    quantiser.process()
    done: ModelProto = quantiser.model.model
    return done


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
    blocked = [node.name for node in after_gelu(graph)]
    static = [node.name for node in encoder_matmuls(graph) if node.name not in blocked]
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
        quantised = quantise_after_gelu(onnx.load(out / INT8), blocked)
    quantise_tables(quantised)
    onnx.save(quantised, out / INT8)
    return {
        "bytes": (out / INT8).stat().st_size,
        "calibration_records": len(calibration),
        "static": len(static),
        "blocks": len(blocked),
    }
