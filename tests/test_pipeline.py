"""The whole line as a user runs it: from a few records in our own form to a bundle that is served, in two languages."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from seen import WIDTH, made
from seen import write as write_seen
from tiny import row, shop_records, write_base, write_taxonomy

from model_export import records
from model_export.__main__ import NAMES
from model_export.records import Product, Record
from service.bundle import Bundle, open_bundle
from service.model import open_model
from service.pictures import open_pictures
from service.scoring import RowScores, pair_scores
from service.text import Tokenizer

# The run imports PyTorch twice, trains, exports two graphs and quantises one.
pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parent.parent

# Where a run lies, and how little is read of a text.
PLACES = """
base = "{base}"
base_licence = "CC0-1.0"
data = "{data}"
work = "{work}"
max_query_tokens = 64
max_attribute_tokens = 16
"""

# A network without pretraining knows nothing after some steps, so int8 is held to having scored at all.
LENIENT = """
[quantising]
calibration_records = 8

[thresholds]
int8_ndcg_loss = 1
int8_kl = 10
int8_same_first = 0
"""
FORGETFUL = "int8_f1_loss = 1\n"

CONFIG = (
    PLACES
    + """
name = "tiny"

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
"""
)


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


def folders(folder: Path) -> dict[str, Path]:
    """Where the base, the data and the stages of a run lie."""
    places = {name: folder / name for name in ("base", "data", "work")}
    places["data"].mkdir()
    return places


def run_all(text: str, places: Mapping[str, Path]) -> "subprocess.CompletedProcess[str]":
    """`python -m model_export all` with this configuration."""
    config = places["data"].parent / "tiny.toml"
    config.write_text(text.format(**{name: path.as_posix() for name, path in places.items()}), encoding="utf-8")
    command = [sys.executable, "-m", "model_export", "all", "--config", str(config)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Run:
    places = folders(tmp_path_factory.mktemp("pipeline"))
    records.write(places["data"] / "shop.jsonl", [*shop_records(), *chinese_records()])
    write_base(places["base"])
    first, second = (run_all(CONFIG + LENIENT, places) for _ in range(2))
    return Run(places["work"], first, second)


@pytest.fixture(scope="module")
def continued(ran: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stages of a run that goes on from the bundle of another."""
    assert ran.first.returncode == 0
    places = folders(tmp_path_factory.mktemp("continued"))
    records.write(places["data"] / "shop.jsonl", shop_records())
    write_base(places["base"])
    text = CONFIG.replace("name =", f'start = "{(ran.work / "package").as_posix()}"\nname =') + LENIENT
    again = run_all(text.replace("steps = 12", "steps = 1\nencoder_rate = 1e-9\nhead_rate = 1e-9"), places)
    assert again.returncode == 0, again.stderr[-3000:]
    return places["work"]


def serves(work: Path, query: str, *attributes: str) -> RowScores:
    """What the run's bundle says on the CPU."""
    bundle = open_bundle(work / "package")
    return open_model(bundle, device="cpu", threads=1).run([row(tokenizer_of(bundle), query, *attributes)])[0]


def tokenizer_of(bundle: Bundle) -> Tokenizer:
    """The bundle's tokenizer with its limits."""
    limits = {"max_query_tokens": bundle.max_query_tokens, "max_attribute_tokens": bundle.max_attribute_tokens}
    return Tokenizer(bundle.paths["tokenizer"], **limits)


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


def test_a_run_that_goes_on_from_a_bundle_says_what_it_said(ran: Run, continued: Path) -> None:
    asked = ("red wool rug", "color", "material", "price")
    before, after = (serves(work, *asked).logits for work in (ran.work, continued))
    assert after == pytest.approx(before, abs=0.05)
    manifests = [open_bundle(work / "package").manifest for work in (ran.work, continued)]
    assert manifests[1]["start"] == {key: manifests[0][key] for key in ("name", "version", "training_data")}


def test_the_report_is_written(ran: Run) -> None:
    assert (ran.work / "report" / "report.html").is_file()


def test_nothing_is_done_twice(ran: Run) -> None:
    assert ran.second.stdout.splitlines() == [f"{name}: nothing has changed, skipped" for name in NAMES]


# What another language's users bring: their own base, their own records, and nothing in English.
CHINESE = (
    PLACES
    + """
name = "tiny-zh"
gpu_file = false

[sources.shop]
reader = "jsonl"
train = "shop.jsonl"
language = "zh-CN"
keep_aside = 0.2
licence = "CC0-1.0"
rate = 1
others = 0

[training]
steps = 150
batch = 8
encoder_rate = 3e-3
head_rate = 1e-2
value_loss = 10
evaluate_every = 150
threads = 1
bf16 = "off"
"""
)


@pytest.fixture(scope="module")
def chinese(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stages of a run from a BERT whose vocabulary has Chinese characters and no English word."""
    places = folders(tmp_path_factory.mktemp("chinese"))
    records.write(places["data"] / "shop.jsonl", chinese_records())
    write_base(places["base"], words=())
    ran = run_all(CHINESE + LENIENT + FORGETFUL, places)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return places["work"]


def test_any_bert_reads_values_out_of_queries_without_spaces(chinese: Path) -> None:
    query, attributes = "红色羊毛地毯", ("颜色", "材质", "价格")
    bundle = open_bundle(chinese / "package")
    words = tokenizer_of(bundle).query(query)
    pairs = pair_scores(serves(chinese, query, *attributes), words.word_of, threshold=bundle.value_threshold)
    found = {
        name: [query[words.starts[span.first] : words.ends[span.last]] for span in pair.spans]
        for name, pair in zip(attributes, pairs, strict=True)
    }
    assert found == {"颜色": ["红色"], "材质": ["羊毛"], "价格": []}
    (color,) = pairs[0].spans
    assert (words.starts[color.first], words.ends[color.last]) == (0, 2)


def test_any_bert_weighs_chinese_attributes(chinese: Path) -> None:
    color, material, price = serves(chinese, "红色羊毛地毯", "颜色", "材质", "价格").logits
    assert min(color, material) > price


# Everything that a run may switch on, but low-rank updates, which leave no vectors to perturb.
EVERYTHING = (
    PLACES
    + """
name = "tiny-everything"

[sources.shop]
reader = "jsonl"
train = "shop.jsonl"
keep_aside = 0.3
licence = "CC0-1.0"
rate = 1
translated = 0.5
drop_words = 0.2
perturbation = 0.5

[sources.sold]
reader = "jsonl"
train = "sold.jsonl"
keep_aside = 0.3
licence = "CC0-1.0"
rate = 1

[sources.kinds_zh]
reader = "taxonomy"
train = "taxonomy"
keep_aside = 0.1
language = "zh-CN"
english_names = 0.3
licence = "CC0-1.0"
rate = 1

[sources.values_zh]
reader = "taxonomy_values"
train = "taxonomy"
keep_aside = 0.1
language = "zh-CN"
licence = "CC0-1.0"
rate = 1

[languages]
taxonomy = "taxonomy"
names = ["zh-CN"]
steps = 5
batch = 8

[pictures]
catalogue = "seen.jsonl"
licence = "CC0-1.0"
keep_aside = 0.3
steps = 10
batch = 8

[training]
steps = 12
batch = 4
accumulate = 2
ranking_loss = 1
embedding_loss = 1
texts = 4
averaging = 0.9
layer_decay = 0.9
misspell = 0.2
r_drop = 0.5
sample_weighting = "likelihood-ratio"
spoiled = 0.1
evaluate_every = 6
checkpoint_every = 5
threads = 1
bf16 = "off"
"""
)


def sold_records() -> list[Record]:
    """Queries with products to rank, one of which is what was asked for."""
    return [
        Record(
            record.query,
            ("color", "brand"),
            (0.0, 0.0),
            (None, None),
            products=(
                Product(1.0, record.query, (record.query.split()[0], None)),
                Product(0.0, "lamp", ("white", "new")),
            ),
        )
        for record in shop_records()
    ]


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stages of a run with every switch on."""
    places = folders(tmp_path_factory.mktemp("everything"))
    records.write(places["data"] / "shop.jsonl", shop_records())
    records.write(places["data"] / "sold.jsonl", sold_records())
    write_seen(places["data"] / "seen.jsonl", made(80))
    write_taxonomy(places["data"] / "taxonomy")
    write_base(places["base"])
    ran = run_all(EVERYTHING + LENIENT + FORGETFUL, places)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return places["work"]


@pytest.mark.parametrize(
    ("query", "attributes"),
    [("red wool rug", ("color", "material", "price")), ("橙色亚麻裤子", ("颜色", "面料", "鞋跟高度"))],
)
def test_a_run_with_everything_on_ends_in_a_bundle(everything: Path, query: str, attributes: tuple[str, ...]) -> None:
    found = serves(everything, query, *attributes)
    assert len(found.logits) == 3 and np.isfinite(found.logits).all()
    assert np.linalg.norm(found.embedding) == pytest.approx(1, abs=1e-3)


def test_the_bundle_of_a_run_with_pictures_reads_them(everything: Path) -> None:
    bundle = open_bundle(everything / "package")
    pictures = open_pictures(bundle, open_model(bundle, device="cpu", threads=1).width)
    assert pictures and pictures.width == WIDTH


def test_the_bundle_of_a_run_with_other_languages_reads_their_characters(everything: Path) -> None:
    tokenizer = tokenizer_of(open_bundle(everything / "package"))
    assert len(set(tokenizer.query("橙色亚麻裤子").ids)) == 8
