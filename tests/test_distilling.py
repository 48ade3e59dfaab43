"""A shallower network: which layers it keeps, what imitating costs, and a run that learns from another."""

import math
from pathlib import Path

import pytest
import torch
from tiny import shop_records, tiny_config, tiny_ranker, tiny_tokenizer

from model_export import records
from model_export.batches import collated
from model_export.config import Config
from model_export.distilling import WEIGHTS, imitation_loss, kept_layers, shallower, teacher_of, untrained
from model_export.examples import write_examples
from model_export.export import load_trained
from model_export.network import PackedRanker, Scores
from model_export.train import Trainer

LOG2, LOG3 = math.log(2), math.log(3)


@pytest.mark.parametrize(
    ("deep", "layers", "kept"), [(6, 3, [0, 2, 5]), (6, 6, [0, 1, 2, 3, 4, 5]), (12, 4, [0, 3, 7, 11]), (6, 1, [0])]
)
def test_the_layers_that_are_kept_are_evenly_spaced(deep: int, layers: int, kept: list[int]) -> None:
    assert kept_layers(deep, layers) == kept


def test_a_shallower_network_has_its_teachers_own_layers_and_heads() -> None:
    teacher = tiny_ranker().requires_grad_(False)
    student = shallower(teacher, 1)
    assert len(student.encoder.encoder.layer) == student.encoder.config.num_hidden_layers == 1
    assert len(teacher.encoder.encoder.layer) == 2
    theirs = teacher.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in student.state_dict().items())
    assert all(parameter.requires_grad for parameter in student.parameters())


def test_imitation_is_the_divergence_from_what_the_teacher_says(base: Path) -> None:
    batch = collated(tiny_tokenizer(base), shop_records()[:1])
    shape = batch.inside.shape
    student = Scores(torch.zeros(1, 3), torch.zeros(shape), torch.tensor([[1.0, 0.0]]))
    taught = Scores(torch.tensor([[LOG2, 0.0, 0.0]]), torch.full(shape, LOG3), torch.tensor([[0.6, 0.8]]))
    weights, values, embeddings = imitation_loss(student, taught, batch)
    assert weights.item() == pytest.approx(0.5 * math.log(1.5) + 0.5 * math.log(0.75))
    assert values.item() == pytest.approx(LOG2)
    assert embeddings.item() == pytest.approx(0.4)


def test_imitation_of_oneself_costs_no_more_than_ones_own_doubt(base: Path) -> None:
    batch = collated(tiny_tokenizer(base), shop_records()[:4])
    with torch.inference_mode():
        same = Scores(*tiny_ranker()(**batch.feed))
    weights, _, embeddings = imitation_loss(same, same, batch)
    assert (weights.item(), embeddings.item()) == pytest.approx((0, 0), abs=1e-6)


def test_candidates_that_only_pad_are_not_imitated(base: Path) -> None:
    one, other = shop_records()[0], records.Record("red rug", ("color",), (1.0,), (None,))
    batch = collated(tiny_tokenizer(base), [one, other])
    zeros = Scores(torch.zeros(2, 3), torch.zeros(batch.inside.shape), torch.ones(2, 1))
    far = Scores(torch.zeros(2, 3), torch.zeros(batch.inside.shape), torch.ones(2, 1))
    far.logits[1, 1:] = 9.0
    far.value_logits[1, 1:] = 9.0
    assert [loss.item() for loss in imitation_loss(zeros, far, batch)] == pytest.approx([0, LOG2, 0])


def configured(base: Path, work: Path, **options: object) -> Config:
    rates = {"encoder_rate": 1e-3, "head_rate": 1e-2, "respell": 0.0}
    training = {"steps": 40, "batch": 4, "threads": 1, "bf16": "off"} | rates
    return tiny_config(base, work=work, training=training, **options)


@pytest.fixture(scope="module")
def taught(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The work folder of a finished run, and the examples that it saw."""
    work, data = tmp_path_factory.mktemp("teacher"), tmp_path_factory.mktemp("data")
    config = configured(base, work)
    for half in ("train", "dev"):
        records.write(data / f"shop.{half}.jsonl", shop_records())
    for stage in ("examples", "train"):
        (work / stage).mkdir()
    write_examples(config, data, work / "examples")
    Trainer(config, work / "examples", work / "train").run()
    return work, work / "examples"


def distance(config: Config, ranker: PackedRanker, teacher: PackedRanker) -> float:
    """How far a network's weights are from the teacher's on the shop's records: a KL divergence."""
    batch = collated(tiny_tokenizer(Path(config.base)), shop_records())
    with torch.inference_mode():
        found = imitation_loss(Scores(*ranker.eval()(**batch.feed)), Scores(*teacher(**batch.feed)), batch)
    return found[0].item()


def test_a_run_with_a_teacher_ends_nearer_to_it_with_fewer_layers(
    base: Path, taught: tuple[Path, Path], tmp_path: Path
) -> None:
    work, examples = taught
    config = configured(base, tmp_path, layers=1, teacher=work)
    teacher = teacher_of(config)
    assert teacher is not None
    before = distance(config, shallower(teacher, 1), teacher)
    Trainer(config, examples, tmp_path).run()
    student = load_trained(config, tmp_path)
    assert len(student.encoder.encoder.layer) == 1
    assert distance(config, student, teacher) < before / 2
    assert torch.load(tmp_path / WEIGHTS, weights_only=True).keys() == untrained(config).state_dict().keys()


def test_without_a_teacher_a_run_may_keep_fewer_layers_of_its_base(base: Path, tmp_path: Path) -> None:
    config = configured(base, tmp_path, layers=1)
    assert teacher_of(config) is None
    assert len(untrained(config).encoder.encoder.layer) == 1


def test_a_run_without_imitation_goes_on_from_another(base: Path, taught: tuple[Path, Path], tmp_path: Path) -> None:
    work, examples = taught
    training = {"steps": 1, "encoder_rate": 1e-9, "head_rate": 1e-9, "imitation_loss": 0, "threads": 1, "bf16": "off"}
    config = tiny_config(base, work=tmp_path, training=training, teacher=work)
    Trainer(config, examples, tmp_path).run()
    teacher = teacher_of(config)
    assert teacher is not None
    assert distance(config, load_trained(config, tmp_path), teacher) == pytest.approx(0, abs=1e-6)
