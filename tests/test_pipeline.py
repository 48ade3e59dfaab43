"""The whole line as a user runs it: from a few records in our own form to a bundle that is served, in two languages."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from tiny import row, shop_records, write_base

from model_export import records
from model_export.__main__ import NAMES
from model_export.records import Record
from service.bundle import open_bundle
from service.model import open_model
from service.scoring import RowScores
from service.text import Tokenizer

# The run imports PyTorch twice, trains, exports two graphs and quantises one.
pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parent.parent

# A network without pretraining knows nothing after some steps, so int8 is held to having scored at all.
CONFIG = """
name = "tiny"
base = "{base}"
base_licence = "CC0-1.0"
data = "{data}"
work = "{work}"
max_query_tokens = 64
max_attribute_tokens = 16

[sources.shop]
reader = "jsonl"
train = "shop.jsonl"
keep_aside = 0.3
licence = "CC0-1.0"
rate = 1

[training]
steps = 12
batch = 4
evaluate_every = 6
threads = 1
bf16 = "off"

[quantising]
calibration_records = 8

[thresholds]
int8_ndcg_loss = 1
int8_kl = 10
int8_same_first = 0
"""


def chinese_records() -> list[Record]:
    """Queries without spaces, as they are typed."""
    return [
        Record(
            f"{color}色{material}{thing}",
            ("颜色", "材质", "价格"),
            (1.0, 1.0, 0.0),
            (((0, 2),), ((2, 2 + len(material)),), ()),
        )
        for color in "红蓝绿"
        for material in ("羊毛", "棉")
        for thing in ("地毯", "衬衫")
    ]


class Run(NamedTuple):
    """A first `all` and a second one, and the folder of their stages."""

    work: Path
    first: "subprocess.CompletedProcess[str]"
    second: "subprocess.CompletedProcess[str]"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("pipeline")
    places: Mapping[str, Path] = {name: folder / name for name in ("base", "data", "work")}
    places["data"].mkdir()
    records.write(places["data"] / "shop.jsonl", [*shop_records(), *chinese_records()])
    write_base(places["base"])
    config = folder / "tiny.toml"
    config.write_text(CONFIG.format(**{name: path.as_posix() for name, path in places.items()}), encoding="utf-8")
    command = [sys.executable, "-m", "model_export", "all", "--config", str(config)]
    first, second = (
        subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=600, check=False)
        for _ in range(2)
    )
    return Run(places["work"], first, second)


def serves(work: Path, query: str, *attributes: str) -> RowScores:
    """What the run's bundle says on the CPU."""
    bundle = open_bundle(work / "package")
    limits = {"max_query_tokens": bundle.max_query_tokens, "max_attribute_tokens": bundle.max_attribute_tokens}
    tokenizer = Tokenizer(bundle.paths["tokenizer"], **limits)
    return open_model(bundle, device="cpu", threads=1).run([row(tokenizer, query, *attributes)])[0]


def test_the_run_ends_well(ran: Run) -> None:
    assert ran.first.returncode == 0, ran.first.stderr[-3000:]


@pytest.mark.parametrize(
    ("query", "attributes"),
    [("red wool rug", ("color", "material", "price")), ("红色羊毛地毯", ("颜色", "材质", "价格"))],
)
def test_the_bundle_is_served(ran: Run, query: str, attributes: tuple[str, ...]) -> None:
    logits = serves(ran.work, query, *attributes).logits
    assert len(logits) == 3 and np.isfinite(logits).all()


def test_the_bundle_has_a_file_for_gpus(ran: Run) -> None:
    assert set(open_bundle(ran.work / "package").paths) == {"tokenizer", "cpu", "gpu", "prior"}


def test_the_report_is_written(ran: Run) -> None:
    assert (ran.work / "report" / "report.html").is_file()


def test_nothing_is_done_twice(ran: Run) -> None:
    assert ran.second.stdout.splitlines() == [f"{name}: nothing has changed, skipped" for name in NAMES]
