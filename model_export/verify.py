"""Stage 7: hold every graph against the network it came from, through the code that serves, and refuse what drifts.

Knows: the thresholds' meaning. Does not know: how a graph was made, how a bundle is laid out.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model_export import evaluation, pretrained, records
from model_export.config import Config, Thresholds
from model_export.evaluation import Agreement, Prediction
from model_export.export import CALIBRATION, FP16, FP32, load_trained
from model_export.quantise import INT8
from model_export.reference import reference, to_json
from model_export.rows import packed
from model_export.stage import StageFailed, sha256
from service.model import INPUTS, Model, open_graph
from service.scoring import RowScores
from service.text import Row, collate

METRICS = "metrics.json"

PARITY_RECORDS = 64
"""So many dev records of each source are compared with PyTorch, and alone with batched."""

ENOUGH = 100
"""A source with so many records that rank is held to the limits of int8 by itself; all together always are."""


def torch_difference(network: torch.nn.Module, model: Model, rows: Sequence[Row]) -> float:
    """The largest difference, as `difference` says, between PyTorch in fp32 and a graph, each row alone."""
    largest = 0.0
    for row in rows:
        feed = collate([row])
        with torch.inference_mode():
            logits, values, embeddings = network(*(torch.from_numpy(feed[name]) for name in INPUTS))
        theirs = RowScores(logits[0].numpy(), values[0, :, 1:-1].numpy(), embeddings[0].numpy())
        largest = max(largest, difference(model.run([row])[0], theirs))
    return largest


def batched_difference(model: Model, rows: Sequence[Row], *, size: int = 16) -> float:
    """The largest difference, as `difference` says, between a row alone and the same row among others."""
    largest = 0.0
    for first in range(0, len(rows), size):
        part = list(rows[first : first + size])
        for row, together in zip(part, model.run(part), strict=True):
            largest = max(largest, difference(model.run([row])[0], together))
    return largest


def difference(ours: RowScores, theirs: RowScores) -> float:
    """The largest difference of a logit, of the probability that a token belongs to a value, or in the embedding."""
    mine, other = (1 / (1 + np.exp(-scores.value_logits)) for scores in (ours, theirs))
    pairs = (ours.logits, theirs.logits), (mine, other), (ours.embedding, theirs.embedding)
    return max(float(np.abs(one - two).max(initial=0)) for one, two in pairs)


class Findings:
    """Everything compared, each with its limit, and each limit that was missed."""

    def __init__(self) -> None:
        self.checks: dict[str, dict[str, float]] = {}
        self.missed: list[str] = []

    def at_most(self, what: str, value: float, limit: float) -> None:
        """Note a value that must not be larger than its limit."""
        self.checks[what] = {"measured": value, "at_most": limit}
        if not value <= limit:
            self.missed.append(f"{what} is {value:.4g}, allowed is at most {limit:g}")

    def at_least(self, what: str, value: float, limit: float) -> None:
        """Note a value that must not be smaller than its limit."""
        self.checks[what] = {"measured": value, "at_least": limit}
        if not value >= limit:
            self.missed.append(f"{what} is {value:.4g}, asked is at least {limit:g}")


@dataclass(frozen=True, slots=True)
class Judged:
    """What a graph says of the dev records, by source."""

    predictions: dict[str, list[Prediction]]
    temperature: float

    def measured(self) -> dict[str, dict[str, float]]:
        """The metrics of each source."""
        return {name: evaluation.measure(part, temperature=self.temperature) for name, part in self.predictions.items()}


def compare_int8(findings: Findings, limits: Thresholds, int8: Judged, fp32: Judged) -> dict[str, Agreement]:
    """Hold int8 to fp32 on all dev records that rank together, and on each source with enough of them."""
    groups = {name: _ranking(int8, fp32, [name]) for name in fp32.predictions}
    groups = {name: pairs for name, pairs in groups.items() if len(pairs) >= ENOUGH}
    groups["all sources"] = _ranking(int8, fp32, list(fp32.predictions))
    found = {}
    for name, pairs in groups.items():
        ours, theirs = ([pair[side] for pair in pairs] for side in (0, 1))
        found[name] = evaluation.agreement(ours, theirs, temperature=fp32.temperature, lead=limits.lead)
        measured = [evaluation.measure(part, temperature=fp32.temperature)["ndcg"] for part in (theirs, ours)]
        findings.at_most(f"int8, {name}: nDCG lost", measured[0] - measured[1], limits.int8_ndcg_loss)
        findings.at_most(f"int8, {name}: mean KL of the weights", found[name].kl, limits.int8_kl)
        findings.at_least(f"int8, {name}: same first attribute", found[name].same_first, limits.int8_same_first)
    return found


def _ranking(ours: Judged, theirs: Judged, names: Sequence[str]) -> list[tuple[Prediction, Prediction]]:
    pairs = (pair for name in names for pair in zip(ours.predictions[name], theirs.predictions[name], strict=True))
    return [pair for pair in pairs if pair[0].record.ranks]


def verify(config: Config, examples: Path, trained: Path, exported: Path, quantised: Path, out: Path) -> dict[str, Any]:
    """Run the stage: `metrics.json` with the metrics by file and source, what the service may tell drift by, what was
    compared, and every limit missed.

    Raises StageFailed when there is nothing to compare on. `refuse` is what stops a bundle that missed a limit.
    """
    tokenizer, limits, findings = pretrained.tokenizer(config), config.thresholds, Findings()
    temperature = json.loads((exported / CALIBRATION).read_text(encoding="utf-8"))["temperature"]
    dev = {name: list(records.read(examples / f"{name}.dev.jsonl")) for name in config.sources}
    if not any(record.ranks for part in dev.values() for record in part):
        raise StageFailed("no dev record has gains to rank by: give a source a dev file or a share to keep_aside")
    rows = [packed(tokenizer, record)[1] for part in dev.values() for record in part[:PARITY_RECORDS]]

    def judged(model: Model) -> Judged:
        scored = {
            name: evaluation.predict(model, tokenizer, part, threshold=config.value_threshold)
            for name, part in dev.items()
            if part
        }
        return Judged(scored, temperature)

    network, graph = load_trained(config, trained), open_graph(exported / FP32, device="cpu")
    findings.at_most("fp32: logits to PyTorch", torch_difference(network, graph, rows), limits.logits)
    findings.at_most("fp32: batched to alone", batched_difference(graph, rows), limits.fp32_batched)
    fp32 = judged(graph)
    graph = open_graph(quantised / INT8, device="cpu")
    findings.at_most("int8: batched to alone", batched_difference(graph, rows), limits.int8_batched)
    int8 = judged(graph)
    agreement = compare_int8(findings, limits, int8, fp32)
    f1 = [
        evaluation.measure([p for part in side.predictions.values() for p in part], temperature=temperature)
        for side in (fp32, int8)
    ]
    if "value_f1" in f1[0]:
        lost = f1[0]["value_f1"] - f1[1]["value_f1"]
        findings.at_most("int8, all sources: value F1 lost", lost, limits.int8_f1_loss)
    if config.gpu_file:
        graph = open_graph(exported / FP16, device="cpu")
        findings.at_most("fp16: logits to PyTorch", torch_difference(network, graph, rows), limits.fp16_logits)
    usual = reference(tokenizer, [p for part in int8.predictions.values() for p in part], temperature=temperature)
    content = {
        "temperature": temperature,
        "reference": to_json(usual),
        "metrics": {"fp32": fp32.measured(), "int8": int8.measured()},
        "agreement": {name: asdict(found) for name, found in agreement.items()},
        "checks": findings.checks,
        "missed": findings.missed,
        "verified": {path.name: sha256(path) for path in graphs(config, exported, quantised)},
    }
    (out / METRICS).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(content["checks"], indent=1), flush=True)
    return content


def graphs(config: Config, exported: Path, quantised: Path) -> list[Path]:
    """The files that a bundle takes over once they are verified."""
    return [quantised / INT8, *([exported / FP16] if config.gpu_file else [])]


def refuse(config: Config, exported: Path, quantised: Path, verified: Path) -> None:
    """Raise StageFailed when the files there are not those that were verified, or missed a limit."""
    content = json.loads((verified / METRICS).read_text(encoding="utf-8"))
    if content["missed"]:
        raise StageFailed("the bundle is refused: " + "; ".join(content["missed"]))
    for path in graphs(config, exported, quantised):
        if content["verified"].get(path.name) != sha256(path):
            raise StageFailed(f"{path} is not the file that was verified: run verify again")
