"""Stage 5: the trained network as ONNX graphs in fp32 and fp16, and the temperature that calibrates its weights.

Knows: the exporter, the names the graph must declare. Does not know: int8, bundles.
"""

import json
import logging
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from model_export import evaluation, pretrained, records
from model_export.batches import collated
from model_export.config import Config
from model_export.distilling import load, untrained
from model_export.network import PackedRanker, Scores
from model_export.pretrained import TOKENIZER
from model_export.records import Record
from service.model import INPUTS, OUTPUTS, open_graph

OPSET = 23
FP32, FP16 = "model.fp32.onnx", "model.fp16.onnx"
CALIBRATION = "calibration.json"

# What the exporter is shown; every size in it becomes a variable of the graph.
SAMPLE = (
    Record("red wool rug", ("color", "heel height", "material"), (1, 0, 1), (None, None, None)),
    Record("16 gb laptop", ("memory", "brand"), (1, 0), (None, None)),
)


class HalfPrecision(nn.Module):
    """The network in fp16 with fp32 answers: what goes in and comes out is the same for every file of a bundle."""

    def __init__(self, ranker: PackedRanker) -> None:
        super().__init__()
        self.ranker = ranker.half()

    def forward(self, *feed: Tensor) -> Scores:
        """As PackedRanker."""
        return Scores(*(output.float() for output in self.ranker(*feed)))


def load_trained(config: Config, trained: Path) -> PackedRanker:
    """The network with the weights that training kept."""
    return load(untrained(config), trained)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep what libraries say of themselves, errors aside, from the reader of a run."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def to_onnx(network: nn.Module, config: Config, path: Path) -> None:
    """Write a network as one ONNX file, every size of its inputs variable."""
    feed = collated(pretrained.tokenizer(config), SAMPLE).feed
    sizes = {name: dict.fromkeys(range(feed[name].dim()), torch.export.Dim.AUTO) for name in INPUTS}
    named = tuple(sizes.values())
    with quiet_libraries():
        program = torch.onnx.export(
            network,
            tuple(feed[name] for name in INPUTS),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_shapes=(named,) if isinstance(network, HalfPrecision) else named,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # where each comes from, with this machine's paths
    program.save(str(path))


def export(config: Config, examples: Path, trained: Path, out: Path) -> dict[str, Any]:
    """Run the stage."""
    to_onnx(load_trained(config, trained), config, out / FP32)
    if config.gpu_file:
        to_onnx(HalfPrecision(load_trained(config, trained)), config, out / FP16)
    shutil.copyfile(pretrained.start_folder(config) / TOKENIZER, out / TOKENIZER)
    model, tokenizer = open_graph(out / FP32, device="cpu"), pretrained.tokenizer(config)
    dev = [record for name in config.sources for record in records.read(examples / f"{name}.dev.jsonl") if record.ranks]
    temperature = evaluation.fit_temperature(
        evaluation.predict(model, tokenizer, dev, threshold=config.value_threshold)
    )
    (out / CALIBRATION).write_text(json.dumps({"temperature": temperature}) + "\n", encoding="utf-8")
    return {"opset": OPSET, "temperature": temperature}
