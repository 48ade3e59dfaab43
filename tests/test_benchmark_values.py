"""Attribute values: ExtractGPT's lines and its way of counting."""

from pathlib import Path

import pytest
from tiny import tiny_config

from model_export.benchmark import values
from model_export.benchmark.judge import Answer
from model_export.benchmark.values import Title
from model_export.records import BadRecord
from service.scoring import PairScore, ValueSpan
from service.text import QueryTokens

# A line of OA-Mine, its category left as it is.
LINE = (
    '{"input": "Ellie Shoes Women\'s 8400, Red Patent, 14 M US", "category": "Shoes", "target_scores": '
    '{"Brand": {"Ellie Shoes": 1}, "Gender": {"Women\'s": 1}, "Material": {"n/a": 1}}}'
)
WORDS = QueryTokens((2, 5, 6, 7, 3), (0, 4, 9), (3, 8, 12), (0, 1, 2))
RED, WOOL = ValueSpan(0, 0, 0.9), ValueSpan(1, 1, 0.7)


def answer(title: Title, *spans: tuple[ValueSpan, ...]) -> Answer:
    return Answer(title.record(), WORDS, [PairScore(0.0, each) for each in spans])


def title(**truth: str) -> Title:
    return Title("Red wool rug", {name: frozenset(filter(None, [value])) for name, value in truth.items()})


def test_a_line_becomes_a_title_whose_values_are_in_lower_case(tmp_path: Path) -> None:
    (tmp_path / "titles.jsonl").write_text(LINE + "\n", encoding="utf-8")
    (found,) = values.read(tmp_path / "titles.jsonl")
    assert found.truth == {
        "Brand": frozenset({"ellie shoes"}),
        "Gender": frozenset({"women's"}),
        "Material": frozenset(),
    }
    assert found.record().attributes == ("Brand", "Gender", "Material")


def test_a_line_of_another_format_is_named(tmp_path: Path) -> None:
    (tmp_path / "titles.jsonl").write_text(LINE + '\n{"query": "red"}\n', encoding="utf-8")
    with pytest.raises(BadRecord, match=r"titles\.jsonl, line 2"):
        list(values.read(tmp_path / "titles.jsonl"))


def test_the_dev_titles_are_those_kept_aside(tmp_path: Path) -> None:
    lines = [LINE.replace("8400", str(number)) for number in range(200)]
    (tmp_path / "titles.jsonl").write_text("\n".join(lines), encoding="utf-8")
    source = {"reader": "titles", "train": "titles.jsonl", "keep_aside": 0.3, "licence": "CC0-1.0", "rate": 1}
    config = tiny_config(tmp_path, data=tmp_path, sources={"titles": source})
    assert 30 < len(values.dev_titles(config, config.sources["titles"])) < 90


def test_the_most_confident_value_is_the_prediction() -> None:
    assert values.predicted(answer(title(color="red"), (WOOL, RED)), 0) == "red"


def test_a_right_value_counts_whatever_its_case() -> None:
    asked = title(color="red")
    assert values.values([asked], [answer(asked, (RED,))])["F1"].value == 1


def test_every_kind_of_pair_is_counted_as_the_paper_does() -> None:
    asked = title(right="red", wrong="red", missed="red", spurious="", neither="")
    found = values.values([asked], [answer(asked, (RED,), (WOOL,), (), (WOOL,), ())])
    assert {name: each.value for name, each in found.items()} == pytest.approx(
        {"precision": 1 / 3, "recall": 1 / 3, "F1": 1 / 3, "accuracy": 2 / 5}
    )


def test_a_question_knows_where_a_true_value_stands_in_the_title() -> None:
    truth = {"Color": frozenset({"red"}), "Voltage": frozenset[str](), "Brand": frozenset({"acme corp"})}
    assert values.Title("A Red rug by Acme", truth).record().values == (((2, 5),), (), None)
