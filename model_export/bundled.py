"""A finished bundle as what a run goes on from: its tokenizer, and its weights read back out of the GPU's graph.

Knows: how the exporter names what a graph holds. Does not know: the network's classes, training.
"""

import shutil
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from model_export import pretrained
from model_export.config import SHIPPED, Config
from model_export.stage import StageFailed
from service.bundle import Bundle, default_folder, open_bundle

WORDS = "encoder.embeddings.word_embeddings.weight"
INSIDE = "ranker."
"""What the exporter puts before the names of a network that was halved."""


def start_of(config: Config) -> Path | None:
    """The folder of the bundle that a run goes on from, where it goes on from one."""
    if config.start is None:
        return None
    return default_folder() if config.start == SHIPPED else Path(config.start)


def opened(folder: Path) -> Bundle:
    """A bundle with a graph for GPUs, checked. Raises BundleError, and StageFailed without that graph."""
    bundle = open_bundle(folder)
    if "gpu" not in bundle.paths:
        raise StageFailed(f"the bundle {folder} holds no graph for GPUs, whose weights a run could go on from")
    return bundle


def weights(graph: Path) -> dict[str, Tensor]:
    """The weights of a graph of ours, by their names in the network, as fp32.

    A linear layer's matrix lost its name when the exporter turned it; it is known by the bias that follows its product.
    What is equal in two layers, as before any training, stands there once and is found once.
    """
    content = onnx.load(graph).graph
    held = {one.name: one for one in content.initializer}

    def read(name: str) -> Tensor:
        return torch.from_numpy(numpy_helper.to_array(held[name]).copy()).float()

    found = {name: read(name) for name in held if name.startswith(INSIDE)}
    products = {
        node.output[0]: matrix
        for node in content.node
        if node.op_type == "MatMul"
        for matrix in node.input
        if matrix in held
    }
    for node in content.node:
        matrices = [products[name] for name in node.input if name in products]
        biases = [name for name in node.input if name in found and name.endswith(".bias")]
        if node.op_type == "Add" and matrices and biases:
            found[biases[0].removesuffix("bias") + "weight"] = read(matrices[0]).T.contiguous()
    return {name.removeprefix(INSIDE): tensor for name, tensor in found.items()}


def adopt(config: Config, folder: Path) -> None:
    """Give the checkpoint in `folder`, a copy of the base, the tokenizer of the bundle that the run goes on from; the
    tokens that the base lacks get the bundle's vectors. Raises StageFailed for a bundle of another base.
    """
    start = start_of(config)
    assert start
    bundle = opened(start)
    before = pretrained.vocabulary(folder / pretrained.TOKENIZER)
    after = pretrained.vocabulary(bundle.paths["tokenizer"])
    table = weights(bundle.paths["gpu"])[WORDS]
    model = pretrained.load_bert(folder)
    size, width = model.embeddings.word_embeddings.weight.shape
    if not before.items() <= after.items() or table.shape[1] != width:
        raise StageFailed(f"the bundle {start} was made from another base than {config.base}")
    model.resize_token_embeddings(len(table), mean_resizing=False)
    model.embeddings.word_embeddings.weight.data[size:] = table[size:]
    model.save_pretrained(folder)
    shutil.copyfile(bundle.paths["tokenizer"], folder / pretrained.TOKENIZER)
