"""Stage 4: fine-tune the start on the examples.

Knows: the order of a run: steps, evaluations, checkpoints, when to stop. Does not know: files of other stages but the
start and the examples, ONNX, what a loss is made of.
"""

import copy
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.optim.swa_utils import get_ema_multi_avg_fn as averaging
from tqdm import tqdm
from transformers import AttentionInterface

from model_export import metrics, pretrained, records
from model_export.base import MEANINGS, TEXTS
from model_export.batches import Batch, Products, collated, texts_feed
from model_export.config import Config
from model_export.distilling import WEIGHTS, imitation_loss, shallower, started, teacher_of
from model_export.examples import MATCHES, read_names
from model_export.losses import divergence, embedding_loss, importance_loss, ranking_loss, value_loss
from model_export.network import PackedRanker, Scores, product_attention
from model_export.optimising import embedding_alone, learning_rate, optimiser, with_lora
from model_export.records import Record
from model_export.sample_weights import WEIGHTINGS, likelihood, prior
from model_export.sampling import Sampler
from model_export.stage import StageFailed
from service.text import Tokenizer

CHECKPOINT = "checkpoint.pt"
PRODUCTS = "matrix products"
"""What transformers calls `product_attention` here."""
DEV_RECORDS, LEAST_DEV = 1000, 100
"""At most so many dev records of each source are ranked at every evaluation; sources with fewer than the least do not
decide which weights are kept, unless there are no others: their chance would."""


@dataclass
class Progress:
    """What a run has to remember beside its tensors."""

    step: int = 0
    best: float = -math.inf
    stale: int = 0
    losses: list[tuple[int, float]] = field(default_factory=list)
    dev: list[dict[str, float]] = field(default_factory=list)


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
        matches = {name: np.load(path) for name in train if (path := examples / f"{name}{MATCHES}").exists()}
        self._sampler = Sampler(config, self._tokenizer, train, read_names(examples), matches)
        self._texts = Texts.read(pretrained.grown_folder(config)) if self._options.embedding_loss else None
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._teacher = teacher_of(config)
        ranker = shallower(self._teacher, config.layers) if self._teacher else started(config)
        if self.device.type == "cpu":
            AttentionInterface.register(PRODUCTS, product_attention)
            ranker.encoder.set_attn_implementation(PRODUCTS)
        if self._teacher:
            self._teacher.to(self.device)
        learning = embedding_alone(ranker) if self._options.embedding_only else with_lora(ranker, self._options)
        self._model = learning.to(self.device)
        self._average = (
            AveragedModel(self._model, multi_avg_fn=averaging(self._options.averaging))  # type: ignore[no-untyped-call]
            if self._options.averaging
            else None
        )
        self._optimiser = optimiser(self._model, self._options)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimiser, lambda step: learning_rate(step, self._options)
        )
        auto = self.device.type == "cuda" or pretrained.has_bf16()
        self._bf16 = {"on": True, "off": False, "auto": auto}[self._options.bf16]
        self.progress = Progress()

    def run(self) -> Progress:
        """Train to the end, or until dev nDCG has not risen for `patience` evaluations; the best weights are kept, but
        the last where the embedding alone learns: dev nDCG does not depend on it.
        """
        self._resume()
        options, progress = self._options, self.progress
        weigh_at = max(1, round(options.steps * options.weigh_after))
        with tqdm(total=options.steps, initial=progress.step, unit="step", smoothing=0.05) as bar:
            while progress.step < options.steps and progress.stale < options.patience:
                loss = self._step(progress.step)
                progress.step += 1
                progress.losses.append((progress.step, loss))
                bar.update()
                bar.set_postfix(loss=f"{np.mean([value for _, value in progress.losses[-50:]]):.3f}", refresh=False)
                if options.sample_weighting != "none" and progress.step == weigh_at:
                    self._weigh_records()
                if progress.step % options.evaluate_every == 0 or progress.step == options.steps:
                    self._evaluate(bar)
                if progress.step % options.checkpoint_every == 0:
                    self._save()
        return progress

    def _step(self, step: int) -> float:
        options, total = self._options, 0.0
        self._model.train(not options.embedding_only)
        for part in range(options.accumulate):
            number = step * options.accumulate + part
            batch: Batch = on_device(self._sampler.batch(number), self.device)
            loss = self._loss(batch, number) / options.accumulate
            if not torch.isfinite(loss):
                raise StageFailed(f"the loss is not finite at step {step}; lower the rates or turn bf16 off")
            if loss.requires_grad:  # where the embedding alone learns, there may be nothing of it in a batch
                loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
            if batch.perturbation and not options.embedding_only:
                self._against(batch)
        nn.utils.clip_grad_norm_(self._model.parameters(), options.clip)
        self._optimiser.step()
        self._schedule.step()
        self._optimiser.zero_grad()
        if self._average and step >= options.steps * options.warm_up:
            self._average.update_parameters(self._model)
        return total

    def _loss(self, batch: Batch, number: int) -> Tensor:
        """All that a step minimises, in one number."""
        options = self._options
        scores = self._scores(batch.feed)
        loss = self._heads_loss(scores, batch)
        if options.r_drop:
            again = self._scores(batch.feed)
            weights, values = divergence(scores, again, batch)
            loss = (loss + self._heads_loss(again, batch)) / 2
            loss = loss + options.r_drop * (batch.importance * weights + options.value_loss * values)
        if self._teacher and options.imitation_loss:
            with torch.no_grad(), self._autocast():
                taught = Scores(*self._teacher(**batch.feed))
            weights, values, embeddings = imitation_loss(scores, taught, batch)
            loss = loss + options.imitation_loss * (weights + options.value_loss * values + embeddings)
        if batch.products is not None and options.ranking_loss:
            titles = self._scores(batch.products.feed).embeddings.float().view(*batch.products.gains.shape, -1)
            loss = loss + options.ranking_loss * ranking_loss(scores, titles, batch.products, batch)
        if self._texts:
            texts, meanings = self._texts.draw(self._config.seed, number, options.texts)
            feed = texts_feed(self._tokenizer, texts)
            found = self._scores(on_device(feed, self.device)).embeddings.float()
            loss = loss + options.embedding_loss * embedding_loss(found, meanings.to(self.device))
        return loss

    def _scores(self, feed: dict[str, Tensor]) -> Scores:
        with self._autocast():
            return Scores(*self._model(**feed))

    def _autocast(self) -> AbstractContextManager[None]:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._bf16)

    def _heads_loss(self, scores: Scores, batch: Batch) -> Tensor:
        return batch.importance * importance_loss(scores, batch) + self._options.value_loss * value_loss(scores, batch)

    def _against(self, batch: Batch) -> None:
        """Add the batch's gradients at word embeddings moved along those so far by its `perturbation` (FGM, Miyato et
        al. 2017).
        """
        table = self._model.encoder.get_input_embeddings().weight
        assert table.grad is not None, "the configuration lets no run perturb what does not learn"
        kept = table.detach().clone()
        table.data.add_(table.grad, alpha=batch.perturbation / float(table.grad.norm().clamp_min(1e-12)))
        loss = self._heads_loss(self._scores(batch.feed), batch) / self._options.accumulate
        loss.backward()  # type: ignore[no-untyped-call]
        table.data.copy_(kept)

    def _kept(self) -> PackedRanker:
        """The network that is evaluated and kept: the running average, or the last weights."""
        kept = self._average.module if self._average and self._average.n_averaged else self._model
        assert isinstance(kept, PackedRanker)
        return kept

    def _weigh_records(self) -> None:
        """Give the training records the weights that the model so far says they deserve."""
        weigh = WEIGHTINGS[self._options.sample_weighting]
        for name, train in self._sampler.train.items():
            known = [index for index, record in enumerate(train) if sum(record.gains) > 0]
            if known:
                found = self._weights([train[index] for index in known])
                gains = [np.array(train[index].gains) / sum(train[index].gains) for index in known]
                names = [train[index].attributes for index in known]
                weights = weigh(likelihood(found, gains), prior(names, found, gains))
                self._sampler.weigh(name, dict(zip(known, weights.tolist(), strict=True)))

    def _weights(self, part: Sequence[Record]) -> list[Any]:
        found = dict(self._ranked(part))
        return [torch.softmax(torch.from_numpy(found[index]), 0).numpy() for index in range(len(part))]

    def _evaluate(self, bar: "tqdm[Any]") -> None:
        progress = self.progress
        found = {
            name: [metrics.ndcg(logits, dev[index].gains) for index, logits in self._ranked(dev)]
            for name, dev in self._dev.items()
            if dev
        }
        by_source = {name: metrics.mean(values) for name, values in found.items()}
        score = deciding(by_source, {name: len(dev) for name, dev in self._dev.items()})
        progress.dev.append({"step": progress.step, **by_source})
        bar.write(f"step {progress.step}: dev nDCG " + ", ".join(f"{n} {v:.4f}" for n, v in by_source.items()))
        if score > progress.best or math.isnan(score) or self._options.embedding_only:
            progress.best, progress.stale = score, 0
            self._write(merged(self._kept()), WEIGHTS)
        else:
            progress.stale += 1

    def _ranked(self, part: Sequence[Record]) -> Iterator[tuple[int, Any]]:
        """(place in `part`, logits of its candidates) of every record, in batches of like length."""
        model = self._kept().eval()
        for batch, places in whole_batches(self._tokenizer, part):
            feed = on_device(batch.feed, self.device)
            with torch.inference_mode(), self._autocast():
                logits = model(**feed).logits.float().cpu().numpy()
            for row, place in enumerate(places):
                yield place, logits[row, : len(part[place].gains)]

    def _save(self) -> None:
        state = {
            "model": self._model.state_dict(),
            "average": self._average.state_dict() if self._average else None,
            "optimiser": self._optimiser.state_dict(),
            "schedule": self._schedule.state_dict(),
            "random": torch.get_rng_state(),
            "record_weights": self._sampler.weights,
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
        if self._average:
            self._average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["random"].cpu())
        for name, weights in state["record_weights"].items():
            self._sampler.weigh(name, weights)
        self.progress = Progress(**state["progress"])
        print(f"train: resumed at step {self.progress.step}", flush=True)


@dataclass(frozen=True)
class Texts:
    """Texts with what the base says of their meaning: `meanings` (texts, width), unit vectors."""

    texts: list[str]
    meanings: Tensor

    @classmethod
    def read(cls, folder: Path) -> "Texts":
        """What the stage `base` left in its folder. Raises StageFailed when that is nothing."""
        lines = (folder / TEXTS).read_text(encoding="utf-8").splitlines()
        if not lines:
            raise StageFailed("embedding_loss needs texts: add an English source or languages.taxonomy, or set it to 0")
        return cls([json.loads(line) for line in lines], torch.from_numpy(np.load(folder / MEANINGS)))

    def draw(self, seed: int, step: int, size: int) -> tuple[list[str], Tensor]:
        """The texts of a step, a fact of (seed, step), and their meanings."""
        chance = np.random.default_rng((seed, step))
        part = chance.choice(len(self.texts), min(size, len(self.texts)), replace=False)
        return [self.texts[index] for index in part], self.meanings[part].float()


def deciding(by_source: Mapping[str, float], sizes: Mapping[str, int]) -> float:
    """The mean over the sources with at least `LEAST_DEV` dev records, or over all where none has so many."""
    large = [value for name, value in by_source.items() if sizes[name] >= LEAST_DEV]
    return metrics.mean(large or list(by_source.values()))


def merged(ranker: PackedRanker) -> dict[str, Tensor]:
    """The network's weights by name; low-rank updates are added to what they update."""
    state = ranker.state_dict()
    if not any(".lora_A." in name for name in state):
        return state
    whole = copy.deepcopy(ranker)
    whole.encoder = whole.encoder.merge_and_unload()
    return whole.state_dict()


def on_device(value: Any, device: torch.device) -> Any:
    """The same with every tensor in it on `device`: a tensor, a dictionary of such, a batch or a part of one."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: on_device(inner, device) for key, inner in value.items()}
    if isinstance(value, Batch | Products):
        return replace(value, **{each.name: on_device(getattr(value, each.name), device) for each in fields(value)})
    return value


def whole_batches(
    tokenizer: Tokenizer, part: Sequence[Record], size: int = 32
) -> Iterator[tuple[Batch, Sequence[int]]]:
    """The records with all their candidates in batches of like length, each batch with its records' places."""
    lengths = [len(record.query) + sum(map(len, record.attributes)) for record in part]
    ordered = sorted(range(len(part)), key=lengths.__getitem__)
    for first in range(0, len(ordered), size):
        places = ordered[first : first + size]
        yield collated(tokenizer, [part[place] for place in places]), places


def train(config: Config, examples: Path, out: Path) -> dict[str, Any]:
    """Run the stage: `weights.pt` of the best evaluation, or of the last where the embedding alone learns, and the
    learning curve in the outcome.

    Raises StageFailed, also where `verify` would find nothing to measure on when all is trained.
    """
    if config.training.embedding_only and not (config.teacher or config.start):
        raise StageFailed("embedding_only holds weights and values: say with start or teacher whose")
    dev = (record for name in config.sources for record in records.read(examples / f"{name}.dev.jsonl"))
    if not any(record.ranks for record in dev):
        raise StageFailed("no dev record has gains to rank by: give a source a dev file or a share to keep_aside")
    progress = Trainer(config, examples, out).run()
    (out / CHECKPOINT).unlink(missing_ok=True)
    return {"steps": progress.step, "best": progress.best, "losses": progress.losses, "dev": progress.dev}
