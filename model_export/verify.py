"""Stage 6: hold every graph against the network it came from, through the code that serves, and refuse what drifts.

Knows: the thresholds' meaning. Does not know: how a graph was made, how a bundle is laid out.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model_export import evaluation, pretrained, records
from model_export.config import Config
from model_export.evaluation import Prediction
from model_export.export import CALIBRATION, FP16, FP32, load_trained
from model_export.quantise import INT8
from model_export.records import Record
from model_export.stage import StageFailed
from service.model import INPUTS, Model, open_graph
from service.text import Row, Tokenizer, collate, pack

PARITY_RECORDS = 64
"""So many dev records of each source are compared with PyTorch and alone against batched."""


def packed(tokenizer: Tokenizer, examples: Sequence[Record]) -> list[Row]:
    """Each record as one row."""
    return [
        pack(tokenizer.query(r.query), [tokenizer.attribute(a) for a in r.attributes], row_tokens=2**31)[0]
        for r in examples
    ]


def torch_difference(network: torch.nn.Module, model: Model, rows: Sequence[Row]) -> float:
    """The largest difference of a logit between PyTorch in fp32 and a graph, each row alone."""
    largest = 0.0
    for row in rows:
        feed = collate([row])
        with torch.inference_mode():
            theirs = network(*(torch.from_numpy(feed[name]) for name in INPUTS)).logits[0].numpy()
        largest = max(largest, float(np.abs(model.run([row])[0].logits - theirs).max()))
    return largest


def batched_difference(model: Model, rows: Sequence[Row], *, size: int = 16) -> float:
    """The largest difference of a logit between a row alone and the same row in a batch with others."""
    largest = 0.0
    for first in range(0, len(rows), size):
        part = list(rows[first : first + size])
        for row, together in zip(part, model.run(part), strict=True):
            largest = max(largest, float(np.abs(model.run([row])[0].logits - together.logits).max()))
    return largest


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


def verify(config: Config, examples: Path, trained: Path, exported: Path, quantised: Path, out: Path) -> dict[str, Any]:
    """Run the stage: `metrics.json` with the metrics by file and source and what was compared.

    Raises StageFailed naming every threshold that was missed.
    """
    tokenizer, limits = pretrained.tokenizer(config), config.thresholds
    temperature = json.loads((exported / CALIBRATION).read_text(encoding="utf-8"))["temperature"]
    dev = {name: list(records.read(examples / f"{name}.dev.jsonl")) for name in config.sources}
    rows = packed(tokenizer, [record for part in dev.values() for record in part[:PARITY_RECORDS]])
    findings, network = Findings(), load_trained(config, trained)

    fp32 = open_graph(exported / FP32, device="cpu")
    findings.at_most("fp32: logits to PyTorch", torch_difference(network, fp32, rows), limits.logits)
    findings.at_most("fp32: batched to alone", batched_difference(fp32, rows), limits.fp32_batched)
    reference = _predictions(fp32, tokenizer, dev, config)
    metrics = {"fp32": _measured(reference, temperature)}

    int8 = open_graph(quantised / INT8, device="cpu")
    findings.at_most("int8: batched to alone", batched_difference(int8, rows), limits.int8_batched)
    ours = _predictions(int8, tokenizer, dev, config)
    metrics["int8"] = _measured(ours, temperature)
    agreements = {
        name: evaluation.agreement(ours[name], reference[name], temperature=temperature, lead=limits.lead)
        for name in ours
    }
    for name, agreement in agreements.items():
        if "ndcg" in metrics["fp32"][name]:
            loss = metrics["fp32"][name]["ndcg"] - metrics["int8"][name]["ndcg"]
            findings.at_most(f"int8, {name}: nDCG lost", loss, limits.int8_ndcg_loss)
        findings.at_most(f"int8, {name}: mean KL of the weights", agreement.kl, limits.int8_kl)
        findings.at_least(f"int8, {name}: same first attribute", agreement.same_first, limits.int8_same_first)

    if config.gpu_file:
        fp16 = open_graph(exported / FP16, device="cpu")
        findings.at_most("fp16: logits to PyTorch", torch_difference(network, fp16, rows), limits.fp16_logits)

    content = {
        "temperature": temperature,
        "metrics": metrics,
        "agreement": {name: asdict(found) for name, found in agreements.items()},
        "checks": findings.checks,
        "missed": findings.missed,
    }
    (out / "metrics.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(content, indent=1), flush=True)
    if findings.missed:
        raise StageFailed("the bundle is refused: " + "; ".join(findings.missed))
    return content


def _predictions(
    model: Model, tokenizer: Tokenizer, dev: dict[str, list[Record]], config: Config
) -> dict[str, list[Prediction]]:
    return {
        name: evaluation.predict(model, tokenizer, part, threshold=config.value_threshold)
        for name, part in dev.items()
        if part
    }


def _measured(predictions: dict[str, list[Prediction]], temperature: float) -> dict[str, dict[str, float]]:
    return {name: evaluation.measure(part, temperature=temperature) for name, part in predictions.items()}
