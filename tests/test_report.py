"""What the report says of a run that is small enough to know by heart."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from model_export import records
from model_export.baselines import baselines, measured, telling
from model_export.config import Config, Source
from model_export.evaluation import Prediction
from model_export.figures import learning_curve, reliability_diagram, smoothed, svg, type_weights, weights_by_type
from model_export.prior import PRIOR, Prior
from model_export.quantise import INT8
from model_export.records import Record
from model_export.report import BASELINES, PAGE, best_of, checks_table, report
from service.model import INPUTS, OUTPUTS

NO_PRIOR = Prior(0.0, {})
WORDS = ("[CLS]", "[SEP]", "[UNK]", "red", "wool", "rug", "color", "material", "brand")
STAGES = ("examples", "train", "export", "quantise", "verify", "prior")
MEASURED = {"queries": 2.0, "ndcg": 0.9, "map": 0.8, "top1": 0.5, "ece": 0.1, "nll": 0.7}


def record(gains: Sequence[float]) -> Record:
    """A record whose query and candidates are always the same."""
    return Record("red wool rug", ("color", "material", "brand")[: len(gains)], tuple(gains), (None,) * len(gains))


def predicted(gains: Sequence[float], logits: Sequence[float]) -> Prediction:
    """A prediction without values."""
    return Prediction(record(gains), np.array(logits), (frozenset(),) * len(gains))


def one_hot(_: Config, texts: Sequence[str]) -> NDArray[np.float32]:
    """An embedding in which the query is near "material", less near "brand" and far from all else."""
    vectors = {"red wool rug": (1.0, 0.0), "material": (0.8, 0.6), "brand": (0.6, 0.8)}
    return np.array([vectors.get(text, (0.0, 1.0)) for text in texts], dtype=np.float32)


def source(reader: str) -> Source:
    """A source of this kind."""
    return Source.model_validate({"reader": reader, "train": "none", "licence": "none", "rate": 1})


def write_base(folder: Path) -> None:
    """A base of nine words, enough for its tokenizer."""
    folder.mkdir()
    tokenizer = Tokenizer(WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text('{"model_type": "bert", "max_position_embeddings": 512}', encoding="utf-8")


def write_graph(path: Path) -> None:
    """A graph that likes candidates the better the later they stand."""
    two = {"attribute_positions": "candidates"}
    shapes = {name: ["query"] if name == "query_positions" else ["rows", two.get(name, "tokens")] for name in INPUTS}
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [2])
    nodes = [
        helper.make_node("Cast", ["attribute_positions"], ["logits"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["logits", "axis"], ["column"]),
        helper.make_node("Cast", ["query_positions"], ["tokens"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["column", "tokens"], ["value_logits"]),
        helper.make_node("Cast", ["position_ids"], ["embeddings"], to=TensorProto.FLOAT),
    ]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name, shape in shapes.items()]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in OUTPUTS]
    graph = helper.make_graph(nodes, "likes the last", inputs, outputs, [axis])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Two sources with dev records and one without."""
    write_base(tmp_path / "base")
    readers = {"stated": "queryner", "shop": "jsonl", "silent": "jsonl"}
    sources = {name: source(reader) for name, reader in readers.items()}
    return Config(name="small & new", base=str(tmp_path / "base"), sources=sources)


@pytest.fixture
def run(config: Config, tmp_path: Path) -> Path:
    """The folders of a run, each by its stage's name, and an empty one for the report."""
    for number, stage in enumerate(STAGES):
        (tmp_path / stage).mkdir()
        (tmp_path / stage / "stage.json").write_text(json.dumps({"seconds": 10.5 + number, "outcome": {}}))
    for name in config.sources:
        dev = [record((1, 0, 1)), record((0, 1, 0))] if name != "silent" else []
        records.write(tmp_path / "examples" / f"{name}.train.jsonl", [record((1, 1, 0))])
        records.write(tmp_path / "examples" / f"{name}.dev.jsonl", dev)
    dev_curve = [{"step": step, "stated": 0.5 + step / 1000, "shop": 0.8} for step in (100, 200)]
    outcome = {"steps": 200, "losses": [[step, 2 - step / 200] for step in range(1, 201)], "dev": dev_curve}
    (tmp_path / "train" / "stage.json").write_text(json.dumps({"seconds": 99.5, "outcome": outcome}))
    by_source = {"stated": MEASURED, "shop": MEASURED}
    content = {
        "temperature": 2.0,
        "metrics": {"fp32": by_source, "int8": by_source},
        "checks": {
            "fp32: logits to PyTorch": {"measured": 2e-5, "at_most": 1e-4},
            "int8, shop: nDCG lost": {"measured": 0.001, "at_most": 0.002},
        },
        "missed": [],
    }
    (tmp_path / "verify" / "metrics.json").write_text(json.dumps(content))
    write_graph(tmp_path / "quantise" / INT8)
    (tmp_path / "prior" / PRIOR).write_text('{"default": 0, "logits": {"material": 2, "brand": 1}}')
    (tmp_path / "report").mkdir()
    return tmp_path


def reported(config: Config, run: Path) -> dict[str, Any]:
    """What the stage gives."""
    folders = [run / stage for stage in STAGES]
    return report(config, *folders, run / "report", embed=one_hot)


def written(config: Config, run: Path) -> str:
    """The page of a run."""
    reported(config, run)
    return (run / "report" / PAGE).read_text(encoding="utf-8")


def test_type_frequency_counts_the_training_records_with_a_positive_gain(config: Config) -> None:
    train = [record((1, 0, 0)), record((1, 0.5, 0)), record((0, 0, 0))]
    found = baselines(config, train, [record((0, 1, 0))], NO_PRIOR, embed=one_hot)["type frequency"]
    assert found == {"ndcg": pytest.approx(1 / np.log2(3), abs=1e-4), "map": 0.5, "top1": 0.0}


def test_pretrained_cosine_puts_the_nearest_name_first(config: Config) -> None:
    found = baselines(config, [], [record((0, 1, 0))], NO_PRIOR, embed=one_hot)["pretrained cosine"]
    assert found == {"ndcg": 1.0, "map": 1.0, "top1": 1.0}


def test_the_prior_puts_the_name_first_that_the_model_likes_anyway(config: Config) -> None:
    prior = Prior(0.0, {"brand": 1.0})
    found = baselines(config, [], [record((0, 0, 1))], prior, embed=one_hot)["prior"]
    assert found == {"ndcg": 1.0, "map": 1.0, "top1": 1.0}


@pytest.mark.parametrize("gains", [(1, 0, 0), (0, 0, 1)])
def test_equal_weights_are_not_helped_by_the_order_of_candidates(gains: tuple[float, ...]) -> None:
    found = measured([np.zeros(3)] * 300, [record(gains)] * 300, seed=7)
    assert found["top1"] == pytest.approx(1 / 3, abs=0.03)
    assert found["map"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3, abs=0.03)
    assert found["ndcg"] == pytest.approx((1 + 1 / np.log2(3) + 1 / 2) / 3, abs=1e-4)


def test_a_baseline_is_the_same_in_every_run(config: Config) -> None:
    dev = [record((1, 0, 1)), record((0, 1, 0))]
    assert baselines(config, [], dev, NO_PRIOR, embed=one_hot) == baselines(config, [], dev, NO_PRIOR, embed=one_hot)


def test_a_metric_tells_something_only_where_orders_differ() -> None:
    assert telling([record((1, 1, 1)), record((0, 0, 0))]) == frozenset()
    assert telling([record((1, 0.2, 1))]) == {"ndcg"}
    assert telling([record((1, 1, 1)), record((1, 0, 1))]) == {"ndcg", "map", "top1"}


def test_the_best_of_a_metric_may_be_its_lowest() -> None:
    assert best_of("ndcg", [{"ndcg": 0.8}, {"ndcg": 0.9}, {}]) == 0.9
    assert best_of("ece", [{"ece": 0.1}, {"ece": 0.2}]) == 0.1


def test_nothing_is_best_among_what_reads_the_same() -> None:
    assert best_of("ndcg", [{"ndcg": 0.90001}, {"ndcg": 0.90002}]) is None


def test_losses_are_smoothed_over_the_steps_before() -> None:
    assert smoothed(np.arange(100.0))[[0, 1, 99]] == pytest.approx([0, 0.5, np.arange(50, 100).mean()])


def test_weights_are_told_apart_by_whether_the_query_states_the_attribute() -> None:
    part = [predicted((1, 0), (0, np.log(3))), predicted((0, 1), (0, 0))]
    stated, unstated = weights_by_type(part, temperature=1.0)["color"]
    assert stated == pytest.approx([0.25])
    assert unstated == pytest.approx([0.5])


def test_type_weights_have_the_largest_stated_weight_on_top() -> None:
    axes = type_weights([predicted((1, 1), (0, 2))], "stated", temperature=1.0).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["color (1)", "material (1)"]


def test_a_reliability_diagram_has_a_panel_for_each_source_and_no_other() -> None:
    part = [predicted((1, 0), (np.log(3), 0)), predicted((0, 1), (np.log(3), 0))]
    figure = reliability_diagram(dict.fromkeys("abcd", part), temperature=2.0)
    assert [axes.get_title("left") for axes in figure.axes] == ["a", "b", "c", "d"]


def test_a_reliability_diagram_tells_the_calibration_error_at_both_temperatures() -> None:
    part = [predicted((1, 0), (np.log(9), 0)), predicted((0, 1), (np.log(9), 0))]
    (axes,) = reliability_diagram({"shop": part}, temperature=2.0).axes
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["T = 1, ECE 0.400", "T = 2, ECE 0.250"]


def test_a_learning_curve_has_panels_for_what_there_is() -> None:
    titles = [axes.get_title("left") for axes in learning_curve([], [{"step": 1, "shop": 0.5}], ["shop"]).axes]
    assert titles == ["Dev nDCG"]


def test_a_figure_is_one_element_and_drawn_the_same_each_time() -> None:
    figures = [svg(learning_curve([(1, 2.0), (2, 1.0)], [], [])) for _ in range(2)]
    assert figures[0] == figures[1]
    assert figures[0].startswith("<svg")
    assert figures[0].rstrip().endswith("</svg>")


def test_a_check_stands_beside_its_threshold() -> None:
    checks = {"fp32: logits": {"measured": 0.5, "at_most": 1e-4}, "int8: same": {"measured": 0.99, "at_least": 0.98}}
    table = checks_table({"checks": checks, "missed": ["fp32: logits is 0.5, allowed is at most 0.0001"]})
    assert re.findall(r"<td>([≤≥][^<]*)", table) == ["≤ 0.0001", "≥ 0.98"]
    assert re.findall(r'<td class="missed">([^<]*)', table) == ["0.5"]


def test_the_page_is_one_file_that_points_nowhere(config: Config, run: Path) -> None:
    page = written(config, run)
    assert "http" not in page
    assert all(target.startswith("#") for target in re.findall(r'(?:href|src)="([^"]*)', page))
    assert {path.name for path in (run / "report").iterdir()} == {PAGE, BASELINES}


def test_the_page_names_its_run_its_sources_and_its_stages(config: Config, run: Path) -> None:
    page = written(config, run)
    assert "<h1>small &amp; new</h1>" in page
    assert all(name in page for name in ("stated", "shop", *STAGES, "99.5", "≤ 0.0001"))


def test_every_figure_is_drawn(config: Config, run: Path) -> None:
    page = written(config, run)
    assert page.count("<svg") == page.count("<figcaption>") == 3


def test_a_source_without_dev_records_is_left_out(config: Config, run: Path) -> None:
    assert "silent" not in written(config, run)


def test_a_run_without_a_learning_curve_has_a_page_without_one(config: Config, run: Path) -> None:
    (run / "train" / "stage.json").unlink()
    page = written(config, run)
    assert "Learning curve" not in page
    assert page.count("<svg") == 2


def test_a_metric_that_every_order_reaches_is_left_out(config: Config, run: Path) -> None:
    for name in ("stated", "shop"):
        records.write(run / "examples" / f"{name}.dev.jsonl", [record((1, 1, 1))])
    page = written(config, run)
    assert "nDCG</th>" not in page
    assert "ECE ↓</th>" in page


def test_the_stage_tells_the_size_and_leaves_the_baselines(config: Config, run: Path) -> None:
    outcome = reported(config, run)
    found = json.loads((run / "report" / BASELINES).read_text(encoding="utf-8"))
    assert outcome == {"bytes": (run / "report" / PAGE).stat().st_size}
    assert found["shop"]["pretrained cosine"] == {"ndcg": 0.84671, "map": 0.79167, "top1": 0.5}
    assert set(found) == {"stated", "shop"}
