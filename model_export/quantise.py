"""Stage 6: the fp32 graph as int8 for CPUs.

Scales of activations are fixed from calibration data, never taken over a batch: so a logit does not depend on what
else is in it, which dynamic quantisation would break.
- the encoder's matmuls are static int8 and give fp32; what they read of layer norms is made even first (`smoothing`);
- a few channels of a GELU's output reach far beyond the others, on [CLS] above all: what the scale cuts off them is
  multiplied in fp32 and added;
- large embedding tables are int8 with a scale for each row; the heads stay in fp32.

Knows: the graph's operators and what onnxruntime makes of them. Does not know: training, thresholds.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from model_export import attention, pretrained, ranges, records
from model_export.config import Config
from model_export.export import FP32
from model_export.ranges import LEVELS, Ranges, after_gelu, encoder_matmuls, weights_of
from model_export.records import Record
from model_export.rows import packed
from model_export.smoothing import smooth
from service.text import Feed, Tokenizer, collate

INT8 = "model.int8.onnx"
MIN_TABLE_ROWS = 256


def feeds(tokenizer: Tokenizer, examples: Sequence[Record]) -> list[Feed]:
    """One feed a record, without padding, whose values nobody reads."""
    return [collate([packed(tokenizer, record)[1]]) for record in examples]


def make_static(graph: ModelProto, measured: dict[str, Ranges], *, outliers: int) -> None:
    """Quantise the encoder's matmuls: uint8 inputs with one scale, int8 weights with one for each output.

    Onnxruntime fuses the four nodes of each into one that multiplies in int8. `outliers` channels of each GELU are left
    out of the scale; `add_excess` adds what it cuts off them.
    """
    constants, gelus = weights_of(graph), {node.input[0] for node in after_gelu(graph)}
    rounded: dict[str, str] = {}
    for node in encoder_matmuls(graph):
        source, weights = node.input
        cut = measured[source].outliers(outliers if source in gelus else 0)
        scale, zero = measured[source].scale(cut)
        if len(cut):
            add_excess(graph, node, cut, limit=(LEVELS - int(zero)) * scale)
        if source not in rounded:
            rounded[source] = _round_trip(graph, node, scale, zero)
        node.input[0] = rounded[source]
        q, scales = _as_int8(graph, constants[weights], axis=0)
        _insert(graph, node, [helper.make_node("DequantizeLinear", [q, scales], [weights], axis=1)])


def _round_trip(graph: ModelProto, node: NodeProto, scale: np.float32, zero: np.uint8) -> str:
    """Round what a matmul reads to uint8 and back; the result's name."""
    name = node.input[0]
    constants = _constant(graph, f"{name}_scale", scale), _constant(graph, f"{name}_zero", zero)
    made = [
        helper.make_node("QuantizeLinear", [name, *constants], [f"{name}_uint8"]),
        helper.make_node("DequantizeLinear", [f"{name}_uint8", *constants], [f"{name}_rounded"]),
    ]
    _insert(graph, node, made)
    return f"{name}_rounded"


def add_excess(graph: ModelProto, node: NodeProto, channels: ArrayLike, *, limit: np.float32) -> None:
    """Add to a matmul what it loses when its input is cut off at `limit`: `relu(x[channels] - limit) @ w[channels]`."""
    (source, weights), (product,) = node.input, node.output
    rows = numpy_helper.to_array(weights_of(graph)[weights])[np.asarray(channels)]
    made = [
        helper.make_node(
            "Gather", [source, _constant(graph, f"{source}_outliers", channels)], [f"{source}_far"], axis=-1
        ),
        helper.make_node("Sub", [f"{source}_far", _constant(graph, f"{source}_limit", limit)], [f"{source}_over"]),
        helper.make_node("Relu", [f"{source}_over"], [f"{source}_excess"]),
        helper.make_node(
            "MatMul", [f"{source}_excess", _constant(graph, f"{weights}_outliers", rows)], [f"{product}_excess"]
        ),
    ]
    _insert(graph, node, made)
    node.output[0] = f"{product}_within"
    total = helper.make_node("Add", [f"{product}_within", f"{product}_excess"], [product])
    graph.graph.node.insert(list(graph.graph.node).index(node) + 1, total)


def part_residuals(graph: ModelProto) -> None:
    """Write the additions before layer norms as `Sum`.

    Of `Add` and `LayerNormalization` onnxruntime makes one SkipLayerNormalization, which on CPUs takes 118 us for 62
    tokens, where the two take 18 us (1.31).
    """
    makers = {node.output[0]: node for node in graph.graph.node}
    for norm in [node for node in graph.graph.node if node.op_type == "LayerNormalization"]:
        maker = makers.get(norm.input[0])
        if maker is not None and maker.op_type == "Add":
            maker.op_type = "Sum"


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
    """Replace a constant matrix by an int8 one and its scales, one for each slice along the other axis; their names.

    Scales of columns are (columns,), those of rows (rows, 1).
    """
    values = numpy_helper.to_array(tensor)
    scale = np.maximum(np.abs(values).max(axis=axis, keepdims=axis == 1), 1e-8) / 127
    names = f"{tensor.name}_int8", f"{tensor.name}_scale"
    graph.graph.initializer.remove(tensor)
    _constant(graph, names[0], np.rint(values / scale).astype(np.int8))
    _constant(graph, names[1], scale.astype(np.float32))
    return names


def _constant(graph: ModelProto, name: str, value: ArrayLike) -> str:
    graph.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return name


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
    outcome = {
        "calibration_records": len(calibration),
        "static": len(encoder_matmuls(graph)),
        "with_excess": len(after_gelu(graph)) if config.quantising.outliers else 0,
    }
    measured = ranges.measure(graph, calibration)
    if config.quantising.smoothing:
        measured = smooth(graph, measured, share=config.quantising.smoothing)
    make_static(graph, measured, outliers=config.quantising.outliers)
    store_tables(graph)
    part_residuals(graph)
    attention.write_out(graph)
    onnx.save(graph, out / INT8)
    return {"bytes": (out / INT8).stat().st_size, **outcome}
