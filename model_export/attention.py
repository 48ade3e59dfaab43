"""Attention written out, so that a token's vector does not depend on where in the row its block stands.

A softmax sums its keys in an order that hangs on their places. A sum that differs in its last bit may round the other
way when the next matmul's input becomes uint8, and that has moved a logit by 0.2. A matrix product adds one key after
the other, and keys that are not seen add exactly 0: so the sum is taken as one more column of the product with the
values. (Up to 128 tokens a row; from there on onnxruntime adds parts of the product.)

Knows: the standard's Attention operator with a boolean mask. Does not know: int8.
"""

import numpy as np
from numpy.typing import ArrayLike
from onnx import ModelProto, NodeProto, helper, numpy_helper

UNSEEN = -1e9
"""Added to the score of a key that is not seen: its exponential is 0."""


def write_out(graph: ModelProto) -> None:
    """Replace every Attention by `exp(q k - max) [v, 1]`, all columns but the last divided by the last."""
    nodes = graph.graph.node
    attentions = [node for node in nodes if node.op_type == "Attention"]
    constants: dict[str, ArrayLike] = {
        "attention_last": np.array([-1]),
        "attention_end": np.array([2**31]),
        "attention_start": np.array([0]),
        "attention_widen": np.array([0, 0, 0, 0, 0, 0, 0, 1]),
        "attention_one": np.float32(1),
        "attention_zero": np.float32(0),
        "attention_unseen": np.float32(UNSEEN),
    }
    if attentions:
        graph.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items())
    masks: dict[str, str] = {}
    for node in attentions:
        (scale,) = (attribute.f for attribute in node.attribute if attribute.name == "scale")
        made = _attention(graph, node, scale, masks)
        place = list(nodes).index(node)
        nodes.remove(node)
        for offset, new in enumerate(made):
            nodes.insert(place + offset, new)


def _attention(graph: ModelProto, node: NodeProto, scale: float, masks: dict[str, str]) -> list[NodeProto]:
    """The nodes that take the place of one; the mask is turned into numbers once for all."""
    (query, key, value, mask), (output,) = node.input, node.output
    made: list[NodeProto] = []

    def add(operator: str, inputs: list[str], name: str, **attributes: object) -> str:
        made.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    if mask not in masks:
        masks[mask] = add("Where", [mask, "attention_zero", "attention_unseen"], f"{mask}_added")
    graph.graph.initializer.append(numpy_helper.from_array(np.float32(scale), f"{output}_scale"))
    turned = add("Transpose", [key], f"{output}_keys", perm=[0, 1, 3, 2])
    product = add("MatMul", [query, turned], f"{output}_product")
    scaled = add("Mul", [product, f"{output}_scale"], f"{output}_scaled")
    scores = add("Add", [scaled, masks[mask]], f"{output}_scores")
    highest = add("ReduceMax", [scores, "attention_last"], f"{output}_highest")
    below = add("Sub", [scores, highest], f"{output}_below")
    odds = add("Exp", [below], f"{output}_odds")
    columns = add("Pad", [value, "attention_widen", "attention_one"], f"{output}_columns")
    sums = add("MatMul", [odds, columns], f"{output}_sums")
    slices = ("attention_start", "attention_last"), ("attention_last", "attention_end")
    weighted, total = (
        add("Slice", [sums, start, end, "attention_last"], f"{output}_{name}")
        for name, (start, end) in zip(("weighted", "total"), slices, strict=True)
    )
    add("Div", [weighted, total], output)
    return made
