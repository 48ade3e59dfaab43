"""Training: each option does what it says, and a run that was stopped ends as one that never was."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import shop_records, tiny_bert, tiny_config, tiny_tokenizer, write_base
from torch import Tensor

from model_export import metrics, records
from model_export.base import MEANINGS, TEXTS
from model_export.batches import collated, texts_feed
from model_export.config import Config
from model_export.distilling import WEIGHTS
from model_export.examples import MATCHES, write_examples
from model_export.network import PackedRanker, Scores
from model_export.pretrained import load_bert
from model_export.records import Product, Record
from model_export.stage import StageFailed
from model_export.train import CHECKPOINT, Trainer, deciding, train, whole_batches


def configured(base: Path, perturbation: float = 0.0, **training: Any) -> Config:
    """Nine steps on one thread in fp32, so that a run is a fact of its configuration."""
    options = {"steps": 9, "batch": 4, "threads": 1, "bf16": "off", "encoder_rate": 1e-3, "head_rate": 1e-2}
    return tiny_config(base, {"perturbation": perturbation}, training=options | training)


def configured_in(work: Path, base: Path, **training: Any) -> Config:
    """The same with a work folder, which is where the texts lie that hold the embedding."""
    return configured(base, **training).model_copy(update={"work": work})


def examples_of(folder: Path, config: Config, dev: list[Record], train: list[Record] | None = None) -> Path:
    """The folder of the stage before, with the shop's records to train on unless others are given."""
    sources, out = folder / "sources", folder / "examples"
    sources.mkdir()
    out.mkdir()
    records.write(sources / "shop.train.jsonl", train or shop_records())
    records.write(sources / "shop.dev.jsonl", dev)
    write_examples(config, sources, out)
    return out


@pytest.fixture(scope="module")
def examples(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return examples_of(tmp_path_factory.mktemp("data"), configured(base), shop_records())


# Whatever the weights are, one of the two is ranked right, so no evaluation is better than the first.
ALWAYS_ALIKE = [Record("red rug", ("color", "price"), gains, (None, None)) for gains in ((1.0, 0.0), (0.0, 1.0))]


@pytest.fixture(scope="module")
def never_better(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return examples_of(tmp_path_factory.mktemp("data"), configured(base), ALWAYS_ALIKE)


def kept(out: Path, name: str = WEIGHTS) -> dict[str, Tensor]:
    state: dict[str, Any] = torch.load(out / name, weights_only=True)
    return state if name == WEIGHTS else state["model"]


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def folder(tmp_path: Path, name: str) -> Path:
    (tmp_path / name).mkdir()
    return tmp_path / name


def test_a_run_is_the_same_every_time(base: Path, examples: Path, tmp_path: Path) -> None:
    one, other = folder(tmp_path, "one"), folder(tmp_path, "other")
    for out in (one, other):
        Trainer(configured(base), examples, out).run()
    assert equal(kept(one), kept(other))


def test_training_lowers_the_loss(base: Path, examples: Path, tmp_path: Path) -> None:
    found = [loss for _, loss in Trainer(configured(base, steps=60), examples, tmp_path).run().losses]
    assert sum(found[-5:]) < 0.9 * sum(found[:5])


def test_a_stopped_run_goes_on_to_the_weights_of_one_that_ran_through(
    base: Path, never_better: Path, tmp_path: Path
) -> None:
    through, stopped = folder(tmp_path, "through"), folder(tmp_path, "stopped")
    options = {"steps": 9, "evaluate_every": 2, "checkpoint_every": 3}
    Trainer(configured(base, **options, patience=99), never_better, through).run()
    # Out of patience after step 4, so that step 4 is lost as in a run that was killed: the checkpoint is of step 3.
    assert Trainer(configured(base, **options, patience=1), never_better, stopped).run().step == 4
    Trainer(configured(base, **options, patience=99), never_better, stopped).run()
    assert equal(kept(stopped, CHECKPOINT), kept(through, CHECKPOINT))


def test_a_resumed_run_has_the_whole_learning_curve(base: Path, never_better: Path, tmp_path: Path) -> None:
    options = {"steps": 9, "evaluate_every": 2, "checkpoint_every": 3}
    Trainer(configured(base, **options, patience=1), never_better, tmp_path).run()
    progress = Trainer(configured(base, **options, patience=99), never_better, tmp_path).run()
    assert ([step for step, _ in progress.losses], [row["step"] for row in progress.dev]) == (
        [1, 2, 3, 4, 5, 6, 7, 8, 9],
        [2, 4, 6, 8, 9],
    )


def test_a_run_that_was_finished_is_not_trained_further(base: Path, examples: Path, tmp_path: Path) -> None:
    config = configured(base, steps=3, checkpoint_every=3)
    Trainer(config, examples, tmp_path).run()
    before = kept(tmp_path)
    Trainer(config, examples, tmp_path).run()
    assert equal(kept(tmp_path), before)


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_training_stops_when_the_dev_ndcg_has_not_risen_for_patience_evaluations(
    base: Path, never_better: Path, tmp_path: Path, patience: int
) -> None:
    config = configured(base, evaluate_every=1, patience=patience)
    assert Trainer(config, never_better, tmp_path).run().step == 1 + patience


def test_the_weights_of_the_best_evaluation_are_kept(base: Path, never_better: Path, tmp_path: Path) -> None:
    Trainer(configured(base, evaluate_every=1, checkpoint_every=1, patience=2), never_better, tmp_path).run()
    assert not equal(kept(tmp_path), kept(tmp_path, CHECKPOINT))


def test_the_last_step_is_evaluated(base: Path, examples: Path, tmp_path: Path) -> None:
    progress = Trainer(configured(base, steps=3, evaluate_every=2), examples, tmp_path).run()
    assert [row["step"] for row in progress.dev] == [2, 3]


def test_without_dev_records_the_last_weights_are_kept(base: Path, tmp_path: Path) -> None:
    config = configured(base, steps=2, evaluate_every=1, checkpoint_every=2, patience=1)
    out = folder(tmp_path, "out")
    Trainer(config, examples_of(tmp_path, config, dev=[]), out).run()
    assert equal(kept(out), kept(out, CHECKPOINT))


def test_a_stage_without_a_dev_record_to_rank_by_is_refused_before_training(base: Path, tmp_path: Path) -> None:
    unranked = Record("red rug", ("color",), (1.0,), (None,))
    examples, out = examples_of(tmp_path, configured(base), dev=[unranked]), folder(tmp_path, "out")
    with pytest.raises(StageFailed, match="no dev record has gains to rank by: give a source a dev file"):
        train(configured(base), examples, out)
    assert list(out.iterdir()) == []


def test_steps_are_put_together_from_parts(base: Path, examples: Path, tmp_path: Path) -> None:
    progress = Trainer(configured(base, steps=2, accumulate=3), examples, tmp_path).run()
    assert [step for step, _ in progress.losses] == [1, 2]


def test_the_stage_leaves_the_weights_alone(base: Path, examples: Path, tmp_path: Path) -> None:
    train(configured(base, steps=2, checkpoint_every=1), examples, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [WEIGHTS]


def test_the_stage_tells_the_learning_curve(base: Path, examples: Path, tmp_path: Path) -> None:
    outcome = train(configured(base, steps=2), examples, tmp_path)
    assert (outcome["steps"], len(outcome["losses"]), outcome["best"]) == (2, 2, outcome["dev"][-1]["shop"])


def test_a_loss_that_is_not_finite_ends_the_stage_with_the_way_out(examples: Path, tmp_path: Path) -> None:
    broken = write_base(folder(tmp_path, "base"))
    bert = tiny_bert()
    torch.nn.init.constant_(bert.embeddings.word_embeddings.weight, math.nan)
    bert.save_pretrained(broken)
    with pytest.raises(StageFailed, match="lower the rates"):
        train(configured(broken, steps=1), examples, folder(tmp_path, "out"))


def test_records_come_in_batches_each_once(base: Path) -> None:
    dev = shop_records()
    parts = [[dev[place] for place in part] for _, part in whole_batches(tiny_tokenizer(base), dev, size=5)]
    assert ([len(part) for part in parts], sorted(r.query for part in parts for r in part)) == (
        [5, 5, 2],
        sorted(record.query for record in dev),
    )


MEANT = [record.query for record in shop_records()]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder in which the stage `base` left the queries and, for each, a meaning drawn by chance."""
    made: Path = tmp_path_factory.mktemp("work")
    (made / "base").mkdir()
    lines = "".join(json.dumps(text) + "\n" for text in MEANT)
    (made / "base" / TEXTS).write_text(lines, encoding="utf-8")
    meanings = torch.randn(len(MEANT), 32, generator=torch.Generator().manual_seed(1))
    np.save(made / "base" / MEANINGS, torch.nn.functional.normalize(meanings, dim=-1).numpy().astype(np.float16))
    return made


def said(base: Path, state: dict[str, Tensor], feed: dict[str, Tensor]) -> Scores:
    """What a plain network with these weights says."""
    ranker = PackedRanker(load_bert(base))
    ranker.load_state_dict(state)
    with torch.inference_mode():
        return Scores(*ranker.eval()(**feed))


def nearness(base: Path, work: Path, state: dict[str, Tensor]) -> float:
    """The mean cosine of the queries to their meanings."""
    found = said(base, state, texts_feed(tiny_tokenizer(base), MEANT)).embeddings
    return float((found * torch.from_numpy(np.load(work / "base" / MEANINGS)).float()).sum(-1).mean())


def test_texts_hold_the_embedding(base: Path, work: Path, examples: Path, tmp_path: Path) -> None:
    near = []
    for weight in (0.0, 1.0):
        out = folder(tmp_path, f"{weight}")
        config = configured_in(
            work, base, steps=80, encoder_rate=5e-3, embedding_loss=weight, texts=12, evaluate_every=80
        )
        Trainer(config, examples, out).run()
        near.append(nearness(base, work, kept(out)))
    assert near[1] > near[0] + 0.2


def test_texts_to_hold_are_asked_for_where_there_are_none(base: Path, examples: Path, tmp_path: Path) -> None:
    config = configured_in(tmp_path, base, embedding_loss=1.0)
    (folder(tmp_path, "base") / TEXTS).write_text("", encoding="utf-8")
    with pytest.raises(StageFailed, match="embedding_loss needs texts"):
        Trainer(config, examples, tmp_path)


def test_the_kept_weights_are_the_running_average(base: Path, examples: Path, tmp_path: Path) -> None:
    # The average begins behind the warm-up, which is the first of three steps.
    options = {"steps": 3, "warm_up": 0.3, "evaluate_every": 3}
    after = {}
    for step in (2, 3):
        out = folder(tmp_path, f"{step}")
        Trainer(configured(base, **options, checkpoint_every=step), examples, out).run()
        after[step] = kept(out, CHECKPOINT)
    averaged = folder(tmp_path, "averaged")
    Trainer(configured(base, **options, averaging=0.75), examples, averaged).run()
    expected = {name: 0.75 * after[2][name] + 0.25 * after[3][name] for name in after[2]}
    torch.testing.assert_close(kept(averaged), expected, atol=1e-6, rtol=1e-5)


def test_before_the_average_begins_the_last_weights_are_kept(base: Path, never_better: Path, tmp_path: Path) -> None:
    options = {"steps": 9, "warm_up": 0.9, "evaluate_every": 1, "patience": 1, "checkpoint_every": 1}
    one, other = folder(tmp_path, "one"), folder(tmp_path, "other")
    Trainer(configured(base, **options), never_better, one).run()
    Trainer(configured(base, **options, averaging=0.9), never_better, other).run()
    assert equal(kept(one), kept(other))


EVERYTHING: dict[str, Any] = {
    "averaging": 0.9,
    "embedding_loss": 1.0,
    "texts": 3,
    "layer_decay": 0.8,
    "misspell": 0.5,
    "r_drop": 0.5,
    "perturbation": 0.5,
    "spoiled": 0.2,
}


def test_r_drop_between_passes_that_drop_nothing_changes_nothing(work: Path, tmp_path: Path) -> None:
    base = without_dropout(folder(tmp_path, "base"))
    examples = examples_of(tmp_path, configured(base), dev=shop_records())
    found = []
    for weight in (0.0, 1.0):
        out = folder(tmp_path, f"{weight}")
        config = configured_in(work, base, steps=3, embedding_loss=1.0, texts=4, r_drop=weight)
        found.append(Trainer(config, examples, out).run().losses)
    assert [loss for _, loss in found[1]] == pytest.approx([loss for _, loss in found[0]], rel=1e-4)


@pytest.mark.parametrize("weighting", ["likelihood-ratio", "self-paced"])
def test_a_stopped_run_goes_on_with_everything_on(
    base: Path, work: Path, never_better: Path, tmp_path: Path, weighting: str
) -> None:
    # Records are weighed after step 3, whose checkpoint is what the second run goes on from.
    options = EVERYTHING | {"steps": 9, "evaluate_every": 2, "checkpoint_every": 3}
    options |= {"sample_weighting": weighting, "weigh_after": 0.3}
    through, stopped = folder(tmp_path, "through"), folder(tmp_path, "stopped")
    Trainer(configured_in(work, base, **options, patience=99), never_better, through).run()
    assert Trainer(configured_in(work, base, **options, patience=1), never_better, stopped).run().step == 4
    Trainer(configured_in(work, base, **options, patience=99), never_better, stopped).run()
    ends = [torch.load(out / CHECKPOINT, weights_only=True) for out in (through, stopped)]
    assert equal(ends[0]["model"], ends[1]["model"])
    assert equal(ends[0]["average"], ends[1]["average"])
    assert ends[0]["record_weights"] == ends[1]["record_weights"]


@pytest.mark.parametrize(
    "option",
    [
        {"averaging": 0.5},
        {"layer_decay": 0.5},
        {"misspell": 1.0},
        {"r_drop": 1.0},
        {"perturbation": 1.0},
        {"lora_rank": 2},
        {"spoiled": 0.5},
        {"sample_weighting": "likelihood-ratio"},
        {"sample_weighting": "self-paced"},
        {"embedding_loss": 1.0},
    ],
)
def test_every_option_changes_what_is_learned(
    base: Path, work: Path, examples: Path, plain: dict[str, Tensor], tmp_path: Path, option: dict[str, Any]
) -> None:
    Trainer(configured_in(work, base, steps=4, evaluate_every=4, **option), examples, tmp_path).run()
    found = kept(tmp_path)
    assert found.keys() == plain.keys() and not equal(found, plain)


@pytest.fixture(scope="module")
def plain(base: Path, examples: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """What four steps learn when every option is off."""
    out = tmp_path_factory.mktemp("plain")
    Trainer(configured(base, steps=4, evaluate_every=4), examples, out).run()
    return kept(out)


def test_low_rank_training_moves_no_vector_and_no_bias(base: Path, examples: Path, tmp_path: Path) -> None:
    Trainer(configured(base, steps=4, lora_rank=2), examples, tmp_path).run()
    found, before = kept(tmp_path), PackedRanker(load_bert(base)).state_dict()
    moved = {name for name in found if name.startswith("encoder.") and not torch.equal(found[name], before[name])}
    # The low-rank updates of six linear layers in each of two layers, added to them.
    assert len(moved) == 12 and all(found[name].dim() == 2 and ".layer." in name for name in moved)
    assert max(torch.linalg.matrix_rank(found[n] - before[n], atol=1e-6).item() for n in moved) <= 2


def test_low_rank_training_writes_what_the_network_in_training_says(base: Path, examples: Path, tmp_path: Path) -> None:
    dev = [record for record in shop_records() if record.ranks]
    progress = Trainer(configured(base, steps=30, lora_rank=2, evaluate_every=30), examples, tmp_path).run()
    batch = collated(tiny_tokenizer(base), dev)
    logits = said(base, kept(tmp_path), batch.feed).logits.numpy()
    found = [metrics.ndcg(own, record.gains) for own, record in zip(logits, dev, strict=True)]
    assert metrics.mean(found) == pytest.approx(progress.best)


def test_a_perturbed_step_moves_no_vector_but_by_its_rate(base: Path, examples: Path, tmp_path: Path) -> None:
    """With rates too small to show, the table is as it was however far it had been moved."""
    still = {"steps": 2, "encoder_rate": 1e-12, "weight_decay": 0.0, "perturbation": 5.0}
    Trainer(configured(base, **still), examples, tmp_path).run()
    name = "encoder.embeddings.word_embeddings.weight"
    assert torch.equal(kept(tmp_path)[name], PackedRanker(load_bert(base)).state_dict()[name])


def test_parts_of_a_perturbed_step_add_up_to_one_step(tmp_path: Path) -> None:
    """Two parts of one and the same record make the step that one part makes."""
    base = without_dropout(folder(tmp_path, "base"))
    same = Record("red wool rug", ("voltage", "page count"), (1.0, 0.0), (((0, 3),), ()))
    examples = examples_of(tmp_path, configured(base), dev=[same], train=[same])
    moved = []
    for accumulate in (1, 2):
        out = folder(tmp_path, f"{accumulate}")
        options = {
            "steps": 1,
            "accumulate": accumulate,
            "perturbation": 0.01,
            "clip": 1e9,
            "checkpoint_every": 1,
            "respell": 0.0,
        }
        Trainer(configured(base, **options), examples, out).run()
        # After one step of Adam the first moments are the gradients, but for a factor.
        state = torch.load(out / CHECKPOINT, weights_only=True)["optimiser"]["state"]
        moved.append(torch.cat([state[place]["exp_avg"].flatten() for place in sorted(state)]))
    torch.testing.assert_close(moved[1], moved[0], rtol=0.05, atol=1e-3 * moved[0].abs().max().item())


def without_dropout(folder: Path) -> Path:
    """The tiny base, which says the same of the same in every pass."""
    write_base(folder)
    content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(content | {"hidden_dropout_prob": 0.0}), encoding="utf-8")
    return folder


def test_spoiled_records_count_less_once_they_are_weighed(base: Path, tmp_path: Path) -> None:
    # Queries with a color want the color and queries for what is cheap the price, but a fifth says the opposite.
    def labelled(number: int) -> Record:
        about_color, wrong = number % 2 == 0, number % 5 == 0
        gains = (1.0, 0.0) if about_color != wrong else (0.0, 1.0)
        return Record("red blue rug" if about_color else "cheap lamp", ("color", "price"), gains, (None, None))

    train = [labelled(number) for number in range(40)]
    options = {"steps": 80, "sample_weighting": "likelihood-ratio", "weigh_after": 0.8, "checkpoint_every": 80}
    config = configured(base, **options, encoder_rate=5e-3, evaluate_every=80)
    Trainer(config, examples_of(tmp_path, config, dev=[], train=train), folder(tmp_path, "out")).run()
    weights = torch.load(tmp_path / "out" / CHECKPOINT, weights_only=True)["record_weights"]["shop"]
    wrong, right = ([weights[n] for n in range(40) if (n % 5 == 0) == spoiled] for spoiled in (True, False))
    assert metrics.mean(wrong) < 0.7 * metrics.mean(right)


def test_the_ranking_of_products_raises_the_weight_of_what_tells_the_right_one(base: Path, tmp_path: Path) -> None:
    """No record has a gain: what is learned of attributes comes through the order of the products alone."""
    sold = [
        Record(
            query,
            ("color", "brand"),
            (0.0, 0.0),
            (None, None),
            products=tuple(Product(float(right), "rug", ("wool", "silk")) for right in (True, False)),
        )
        for query in MEANT
    ]
    config = configured(base, steps=120, ranking_loss=1.0, value_loss=0.0, evaluate_every=120)
    examples = examples_of(tmp_path, config, dev=[], train=sold)
    tells = np.array([[[0.5, 0.0], [-0.5, 0.0]]] * len(sold), np.float32)
    np.save(examples / f"shop{MATCHES}", tells)
    Trainer(config, examples, folder(tmp_path, "out")).run()
    feed = collated(tiny_tokenizer(base), sold).feed
    untrained = PackedRanker(load_bert(base)).state_dict()
    before, after = (
        torch.softmax(said(base, state, feed).logits, -1)[:, 0].mean().item()
        for state in (untrained, kept(tmp_path / "out"))
    )
    assert after > 0.8 > before


def test_where_the_embedding_alone_learns_nothing_else_moves_and_the_last_is_kept(base: Path, tmp_path: Path) -> None:
    shelf = [
        Record(
            f"{word} rug",
            ("price",),
            (0.0,),
            (None,),
            products=(Product(1.0, f"{word} mat", (None,)), Product(0.0, f"{other} rug", (None,))),
        )
        for word, other in (("red", "blue"), ("blue", "red"), ("cheap", "red"))
    ]
    config = configured(base, 1.0, embedding_only=True, evaluate_every=3, steps=30)
    trainer = Trainer(config, examples_of(tmp_path, config, shop_records(), [*shop_records(), *shelf]), tmp_path)
    before = {name: value.clone() for name, value in trainer._model.state_dict().items()}
    progress = trainer.run()
    found = kept(tmp_path)
    assert [name for name in found if not torch.equal(found[name], before[name])] == ["text.weight"]
    assert torch.equal(found["text.weight"], trainer._model.state_dict()["text.weight"])
    assert len(progress.dev) == 10 and len({each["shop"] for each in progress.dev}) == 1
    assert np.mean([loss for _, loss in progress.losses[-9:]]) < np.mean([loss for _, loss in progress.losses[:9]])


def test_an_embedding_alone_is_learned_beside_weights_that_some_run_has(
    base: Path, examples: Path, tmp_path: Path
) -> None:
    with pytest.raises(StageFailed, match="say with start or teacher whose"):
        train(configured(base, embedding_only=True), examples, tmp_path)


def test_without_products_an_embedding_has_nothing_to_learn_from(base: Path, examples: Path, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="no source has a record with products"):
        Trainer(configured(base, embedding_only=True), examples, tmp_path)


def test_small_dev_sets_do_not_decide_unless_there_are_no_others() -> None:
    found = {"large": 0.9, "small": 0.1}
    assert deciding(found, {"large": 100, "small": 5}) == 0.9
    assert deciding(found, {"large": 20, "small": 5}) == pytest.approx(0.5)
