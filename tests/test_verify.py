"""Verifying: a graph that drifted is noted and refused, and the refusal names every limit that was missed."""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, numpy_helper
from tiny import shop_records, tiny_config, tiny_graph, tiny_ranker, tiny_tokenizer

from model_export import records
from model_export.config import Config
from model_export.distilling import WEIGHTS
from model_export.export import CALIBRATION, FP16, FP32
from model_export.quantise import INT8
from model_export.ranges import weights_of
from model_export.records import Record
from model_export.rows import packed
from model_export.stage import StageFailed
from model_export.verify import (
    ENOUGH,
    METRICS,
    Findings,
    batched_difference,
    difference,
    refuse,
    torch_difference,
    verify,
)
from service.model import open_graph
from service.scoring import RowScores
from service.text import Row

# Without training, the candidates' weights lie close together, and so they do still after a drift.
THRESHOLDS = {"fp32_batched": 1e-4, "int8_kl": 1e-4}

INPUT, LOGIT = "encoder.embeddings.word_embeddings.weight", "importance.0.bias"
"""Tensors of the graph: one that tells candidates apart, one that every logit depends on."""


class Folders(NamedTuple):
    """What the stage reads and where it writes; the graph of every file is the exported one itself."""

    examples: Path
    trained: Path
    exported: Path
    quantised: Path
    verified: Path


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    made = Folders(*(tmp_path / name for name in Folders._fields))
    for folder in made:
        folder.mkdir()
    records.write(made.examples / "shop.dev.jsonl", shop_records())
    torch.save(tiny_ranker().state_dict(), made.trained / WEIGHTS)
    (made.exported / CALIBRATION).write_text('{"temperature": 1.5}', encoding="utf-8")
    for path in (made.exported / FP32, made.exported / FP16, made.quantised / INT8):
        path.write_bytes(tiny_graph())
    return made


def config(base: Path, *, gpu_file: bool = False, **thresholds: float) -> Config:
    return tiny_config(base, gpu_file=gpu_file, thresholds=THRESHOLDS | thresholds)


def drifted(tensor: str, size: float) -> bytes:
    """The exported graph with noise in one of its tensors."""
    graph: ModelProto = onnx.load_from_string(tiny_graph())
    found = weights_of(graph)[tensor]
    values = numpy_helper.to_array(found)
    noise = np.random.default_rng(3).normal(size=values.shape) * size
    found.CopyFrom(numpy_helper.from_array(np.asarray(values + noise, np.float32), tensor))
    data: bytes = graph.SerializeToString()
    return data


def run(config: Config, folders: Folders) -> dict[str, Any]:
    verify(config, *folders)
    return dict(json.loads((folders.verified / METRICS).read_text(encoding="utf-8")))


def refusal(config: Config, folders: Folders) -> str:
    """What a bundle of these files is refused for."""
    verify(config, *folders)
    with pytest.raises(StageFailed) as error:
        refuse(config, folders.exported, folders.quantised, folders.verified)
    return str(error.value)


def test_graphs_that_say_what_the_network_says_pass(base: Path, folders: Folders) -> None:
    assert run(config(base, gpu_file=True), folders)["missed"] == []


def test_files_that_passed_are_not_refused(base: Path, folders: Folders) -> None:
    run(config(base, gpu_file=True), folders)
    refuse(config(base, gpu_file=True), folders.exported, folders.quantised, folders.verified)


def test_the_metrics_of_every_file_are_left_beside_the_temperature(base: Path, folders: Folders) -> None:
    content = run(config(base), folders)
    assert (content["temperature"], list(content["metrics"])) == (1.5, ["fp32", "int8"])


def test_files_of_one_graph_have_the_same_metrics(base: Path, folders: Folders) -> None:
    metrics = run(config(base), folders)["metrics"]
    assert metrics["fp32"] == metrics["int8"]


def test_an_fp32_graph_that_drifted_from_pytorch_is_refused_by_name(base: Path, folders: Folders) -> None:
    (folders.exported / FP32).write_bytes(drifted(LOGIT, 0.01))
    assert "fp32: logits to PyTorch is " in refusal(config(base), folders)


def test_a_refusal_tells_the_limit(base: Path, folders: Folders) -> None:
    (folders.exported / FP32).write_bytes(drifted(LOGIT, 0.01))
    assert "allowed is at most 0.0001" in refusal(config(base), folders)


def test_an_int8_graph_that_drifted_from_fp32_is_refused_by_name(base: Path, folders: Folders) -> None:
    (folders.quantised / INT8).write_bytes(drifted(INPUT, 1.0))
    assert "int8, all sources: mean KL of the weights is " in refusal(config(base), folders)


def test_a_source_with_enough_records_is_held_to_the_limits_by_itself(base: Path, folders: Folders) -> None:
    records.write(folders.examples / "shop.dev.jsonl", shop_records() * (1 + ENOUGH // 12))
    assert set(run(config(base), folders)["agreement"]) == {"shop", "all sources"}


def test_a_source_with_few_records_is_held_to_the_limits_among_the_others(base: Path, folders: Folders) -> None:
    assert set(run(config(base), folders)["agreement"]) == {"all sources"}


def test_an_fp16_graph_that_drifted_from_pytorch_is_refused_by_name(base: Path, folders: Folders) -> None:
    (folders.exported / FP16).write_bytes(drifted(LOGIT, 1.0))
    assert "fp16: logits to PyTorch is " in refusal(config(base, gpu_file=True), folders)


def test_an_fp16_graph_is_not_looked_at_when_there_is_to_be_none(base: Path, folders: Folders) -> None:
    (folders.exported / FP16).unlink()
    assert run(config(base, gpu_file=False), folders)["missed"] == []


def finding_values(bias: float) -> bytes:
    """The exported graph with another bias of the value logits: far above 0 every word is a value, far below none."""
    graph: ModelProto = onnx.load_from_string(tiny_graph())
    weights_of(graph)["value_bias"].CopyFrom(numpy_helper.from_array(np.array(bias, np.float32), "value_bias"))
    data: bytes = graph.SerializeToString()
    return data


@pytest.mark.parametrize("lost", [FP32, INT8])
def test_a_graph_that_lost_the_values_is_refused(base: Path, folders: Folders, lost: str) -> None:
    words = ((0, 12),)
    dev = [Record("red wool rug", ("product name", "price"), (1.0, 0.0), (words, words))]
    records.write(folders.examples / "shop.dev.jsonl", dev)
    network = tiny_ranker()
    torch.nn.init.constant_(network.value_bias, 50.0)
    torch.save(network.state_dict(), folders.trained / WEIGHTS)
    for path in (folders.exported / FP32, folders.quantised / INT8):
        path.write_bytes(finding_values(-50.0 if path.name == lost else 50.0))
    assert "the bundle is refused" in refusal(config(base), folders)


def test_every_limit_that_was_missed_is_named(base: Path, folders: Folders) -> None:
    (folders.exported / FP32).write_bytes(drifted(INPUT, 1.0))
    message = refusal(config(base), folders)
    assert "fp32: logits to PyTorch" in message and "int8, all sources: mean KL" in message


def test_files_that_changed_since_they_were_verified_are_refused_by_name(base: Path, folders: Folders) -> None:
    run(config(base), folders)
    (folders.quantised / INT8).write_bytes(drifted(LOGIT, 1e-6))
    with pytest.raises(StageFailed, match=f"{INT8} is not the file that was verified"):
        refuse(config(base), folders.exported, folders.quantised, folders.verified)


def test_a_gpu_file_that_was_not_verified_is_refused(base: Path, folders: Folders) -> None:
    run(config(base, gpu_file=False), folders)
    with pytest.raises(StageFailed, match=f"{FP16} is not the file that was verified"):
        refuse(config(base, gpu_file=True), folders.exported, folders.quantised, folders.verified)


def test_without_a_record_that_ranks_there_is_nothing_to_verify_on(base: Path, folders: Folders) -> None:
    records.write(folders.examples / "shop.dev.jsonl", [Record("red rug", ("color",), (1.0,), (None,))])
    with pytest.raises(StageFailed, match="keep_aside"):
        verify(config(base), *folders)


def test_a_limit_that_is_just_reached_is_not_missed() -> None:
    findings = Findings()
    findings.at_most("drift", 0.5, 0.5)
    findings.at_least("agreement", 0.5, 0.5)
    assert findings.missed == []


def test_what_is_not_a_number_misses_every_limit() -> None:
    findings = Findings()
    findings.at_most("drift", math.nan, 0.5)
    findings.at_least("agreement", math.nan, 0.5)
    assert len(findings.missed) == 2


@pytest.fixture
def rows(base: Path) -> list[Row]:
    tokenizer = tiny_tokenizer(base)
    return [packed(tokenizer, record)[1] for record in shop_records()]


def test_the_difference_to_pytorch_is_that_of_the_logits(rows: list[Row], tmp_path: Path) -> None:
    network = tiny_ranker()
    (tmp_path / FP32).write_bytes(tiny_graph())
    last = network.importance[2]
    assert isinstance(last, torch.nn.Linear)
    torch.nn.init.constant_(last.bias, last.bias.item() + 0.25)
    graph = open_graph(tmp_path / FP32, device="cpu", threads=1)
    assert torch_difference(network, graph, rows) > 1e-2


def test_the_difference_to_pytorch_is_that_of_the_value_probabilities_too(rows: list[Row], tmp_path: Path) -> None:
    network = tiny_ranker()
    (tmp_path / FP32).write_bytes(tiny_graph())
    torch.nn.init.constant_(network.value_bias, -1.75)
    graph = open_graph(tmp_path / FP32, device="cpu", threads=1)
    assert torch_difference(network, graph, rows) > 1e-2


def test_the_difference_is_that_of_the_embeddings_too() -> None:
    logits, values = np.zeros(1, np.float32), np.zeros((1, 2), np.float32)
    one, other = (RowScores(logits, values, np.array(embedding)) for embedding in ([0.6, 0.8], [0.5, 0.8]))
    assert difference(one, other) == pytest.approx(0.1)


def test_a_graph_says_the_same_of_a_row_in_a_batch_and_alone(rows: list[Row], tmp_path: Path) -> None:
    (tmp_path / FP32).write_bytes(tiny_graph())
    graph = open_graph(tmp_path / FP32, device="cpu", threads=1)
    assert batched_difference(graph, rows, size=5) < 1e-4
