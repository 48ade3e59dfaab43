"""Stage 3: fine-tune the base on the examples.

Knows: losses, schedules, checkpoints, when to stop. Does not know: files of other stages but the examples, ONNX.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from model_export import metrics, pretrained, records
from model_export.batches import Batch, Sampler, collated
from model_export.config import Config, Training
from model_export.examples import read_pool
from model_export.network import PackedRanker, Scores
from model_export.records import Record
from model_export.stage import StageFailed
from service.text import Tokenizer

WEIGHTS = "weights.pt"
CHECKPOINT = "checkpoint.pt"
DEV_RECORDS = 1000
"""At most so many dev records of each source are ranked at every evaluation."""


@dataclass
class Progress:
    """What a run has to remember beside its tensors."""

    step: int = 0
    best: float = -math.inf
    stale: int = 0
    losses: list[tuple[int, float]] = field(default_factory=list)
    dev: list[dict[str, float]] = field(default_factory=list)


def losses(scores: Scores, batch: Batch) -> tuple[Tensor, Tensor]:
    """(importance, value): the listwise cross-entropy to the normalised gains (ListNet, Cao et al. 2007) over the
    rows that have gains, and the binary cross-entropy over the tokens whose value is known. Both are means in which
    each record counts by its weight, whose mean over the source is 1.
    """
    logits = scores.logits.float().masked_fill(~batch.present, -math.inf)
    log_weights = torch.log_softmax(logits, dim=-1).masked_fill(~batch.present, 0.0)
    has_gain = batch.gains.sum(-1) > 0
    row_weight = batch.weight * has_gain
    importance = -(batch.gains * log_weights).sum(-1) @ row_weight / has_gain.sum().clamp_min(1)
    token_weight = batch.known * batch.weight[:, None, None]
    token_loss = nn.functional.binary_cross_entropy_with_logits(
        scores.value_logits.float(), batch.inside, reduction="none"
    )
    return importance, (token_loss * token_weight).sum() / batch.known.sum().clamp_min(1)


def learning_rate(step: int, training: Training) -> float:
    """The factor on every rate: a linear rise over the warm-up, then half a cosine to 0."""
    rise = max(1, round(training.steps * training.warm_up))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, training.steps - rise)))


def has_bf16() -> bool:
    """Whether this processor multiplies bf16 in hardware."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


class Trainer:
    """One training run, complete with its data, optimiser and place to write to."""

    def __init__(self, config: Config, examples: Path, out: Path) -> None:
        self._config, self._options, self._out = config, config.training, out
        if self._options.threads:
            torch.set_num_threads(self._options.threads)
        torch.manual_seed(config.seed)
        self._tokenizer = pretrained.tokenizer(config)
        train = {name: list(records.read(examples / f"{name}.train.jsonl")) for name in config.sources}
        dev = {name: records.read(examples / f"{name}.dev.jsonl") for name in config.sources}
        self._dev = {name: [record for record in part if record.ranks][:DEV_RECORDS] for name, part in dev.items()}
        self._sampler = Sampler(config, self._tokenizer, train, read_pool(examples))
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = PackedRanker(pretrained.load_bert(pretrained.base_folder(config))).to(self.device)
        encoder = list(self._model.encoder.parameters())
        heads = [value for name, value in self._model.named_parameters() if not name.startswith("encoder.")]
        self._optimiser = torch.optim.AdamW(
            [{"params": encoder, "lr": self._options.encoder_rate}, {"params": heads, "lr": self._options.head_rate}],
            weight_decay=self._options.weight_decay,
            fused=True,
        )
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimiser, lambda step: learning_rate(step, self._options)
        )
        self._bf16 = {"on": True, "off": False, "auto": self.device.type == "cuda" or has_bf16()}[self._options.bf16]
        self.progress = Progress()

    def run(self) -> Progress:
        """Train to the end, or until dev nDCG has not risen for `patience` evaluations; the best weights are kept."""
        self._resume()
        options, progress = self._options, self.progress
        with tqdm(total=options.steps, initial=progress.step, unit="step", smoothing=0.05) as bar:
            while progress.step < options.steps and progress.stale < options.patience:
                loss = self._step(progress.step)
                progress.step += 1
                progress.losses.append((progress.step, loss))
                bar.update()
                bar.set_postfix(loss=f"{np.mean([value for _, value in progress.losses[-50:]]):.3f}", refresh=False)
                if progress.step % options.evaluate_every == 0 or progress.step == options.steps:
                    self._evaluate(bar)
                if progress.step % options.checkpoint_every == 0:
                    self._save()
        return progress

    def _step(self, step: int) -> float:
        self._model.train()
        total = 0.0
        for part in range(self._options.accumulate):
            batch = on_device(self._sampler.batch(step * self._options.accumulate + part), self.device)
            with self._autocast():
                scores = self._model(**batch.feed)
            importance, value = losses(Scores(*scores), batch)
            loss = (batch.importance * importance + self._options.value_loss * value) / self._options.accumulate
            if not torch.isfinite(loss):
                raise StageFailed(f"the loss is not finite at step {step}; lower the rates or turn bf16 off")
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        nn.utils.clip_grad_norm_(self._model.parameters(), self._options.clip)
        self._optimiser.step()
        self._schedule.step()
        self._optimiser.zero_grad()
        return total

    def _autocast(self) -> AbstractContextManager[None]:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._bf16)

    def _evaluate(self, bar: "tqdm[Any]") -> None:
        progress = self.progress
        found = {name: self._dev_ndcg(dev) for name, dev in self._dev.items() if dev}
        score = metrics.mean([value for values in found.values() for value in values])
        by_source = {name: metrics.mean(values) for name, values in found.items()}
        progress.dev.append({"step": progress.step, **by_source})
        bar.write(f"step {progress.step}: dev nDCG " + ", ".join(f"{n} {v:.4f}" for n, v in by_source.items()))
        if score > progress.best or math.isnan(score):
            progress.best, progress.stale = score, 0
            self._write(self._model.state_dict(), WEIGHTS)
        else:
            progress.stale += 1

    def _dev_ndcg(self, dev: Sequence[Record]) -> list[float]:
        self._model.eval()
        found = []
        for batch, part in dev_batches(self._tokenizer, dev):
            with torch.inference_mode(), self._autocast():
                logits = self._model(**on_device(batch, self.device).feed).logits.float().cpu().numpy()
            found += [metrics.ndcg(logits[i, : len(r.gains)], r.gains) for i, r in enumerate(part)]
        return found

    def _save(self) -> None:
        state = {
            "model": self._model.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "schedule": self._schedule.state_dict(),
            "random": torch.get_rng_state(),
            "progress": vars(self.progress),
        }
        self._write(state, CHECKPOINT)

    def _write(self, content: dict[str, Any], name: str) -> None:
        unfinished = self._out / f".{name}"
        torch.save(content, unfinished)
        unfinished.replace(self._out / name)

    def _resume(self) -> None:
        if not (self._out / CHECKPOINT).exists():
            return
        state = torch.load(self._out / CHECKPOINT, weights_only=True, map_location=self.device)
        self._model.load_state_dict(state["model"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["random"].cpu())
        self.progress = Progress(**state["progress"])
        print(f"train: resumed at step {self.progress.step}", flush=True)


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The batch with its tensors on `device`."""
    if device.type == "cpu":
        return batch
    return Batch(
        {name: tensor.to(device) for name, tensor in batch.feed.items()},
        batch.gains.to(device),
        batch.present.to(device),
        batch.inside.to(device),
        batch.known.to(device),
        batch.weight.to(device),
        batch.importance,
    )


def dev_batches(
    tokenizer: Tokenizer, dev: Sequence[Record], size: int = 32
) -> Iterator[tuple[Batch, Sequence[Record]]]:
    """The dev records in batches of like length."""
    ordered = sorted(dev, key=lambda record: len(record.query) + sum(map(len, record.attributes)))
    for first in range(0, len(ordered), size):
        part = ordered[first : first + size]
        yield collated(tokenizer, part), part


def train(config: Config, examples: Path, out: Path) -> dict[str, Any]:
    """Run the stage: `weights.pt` of the best evaluation, and the learning curve in the outcome."""
    progress = Trainer(config, examples, out).run()
    (out / CHECKPOINT).unlink(missing_ok=True)
    return {"steps": progress.step, "best": progress.best, "losses": progress.losses, "dev": progress.dev}
