"""Another system: what it is asked, how its answers are read, what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_export import evaluation
from model_export.benchmark.answers import Answers, Questions
from model_export.benchmark.judge import Answer
from model_export.records import BadRecord, Record

RECORD = Record("red wool rug", ("color", "price", "material"), (1.0, 0.0, 1.0), (((0, 3),), (), None))
LINE: dict[str, Any] = {
    "suite": "mention",
    "query": "red wool rug",
    "attributes": ["color", "price", "material"],
    "gains": [1, 0, 1],
}


def answered(folder: Path, *, asked: Record = RECORD, **changes: Any) -> Answer:
    """The answer that is read of a line."""
    path = folder / "answers.jsonl"
    path.write_text(json.dumps(LINE | {"logits": [2, 0, 1.5]} | changes), encoding="utf-8")
    return Answers(path).answers([asked], "mention")[0]


def test_a_question_holds_the_truth_under_names_that_no_answer_has(tmp_path: Path) -> None:
    questions = Questions()
    questions.answers([RECORD], "mention")
    questions.write(tmp_path / "new" / "questions.jsonl")
    line = json.loads((tmp_path / "new" / "questions.jsonl").read_text(encoding="utf-8"))
    assert line == LINE | {"stated": [[[0, 3]], [], None]}


def test_questions_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match="was not written"):
        Questions().write(tmp_path)


def test_logits_are_taken_as_they_are_and_values_where_they_stand(tmp_path: Path) -> None:
    found = answered(tmp_path, values=[["red"], None, [[4, 8], [9, 12]]])
    prediction = evaluation.prediction(found.record, found.query, found.pairs)
    assert prediction.logits.tolist() == [2, 0, 1.5]
    assert prediction.values == (frozenset({(0, 3)}), frozenset(), frozenset({(4, 8), (9, 12)}))
    assert found.record is RECORD


def test_the_first_value_is_the_surest(tmp_path: Path) -> None:
    stated = answered(tmp_path, values=[[], [], ["rug", "wool"]]).stated(2)
    assert [value.text for value in stated] == ["rug", "wool"]
    assert stated[0].confidence > stated[1].confidence


def test_weights_are_taken_as_what_softmax_would_give(tmp_path: Path) -> None:
    found = answered(tmp_path, logits=None, weights=[0.75, 0, 0.25])
    assert np.exp([pair.logit for pair in found.pairs]) == pytest.approx([0.75, 0, 0.25])


def test_where_values_alone_are_asked_no_logits_are_wanted(tmp_path: Path) -> None:
    found = answered(tmp_path, gains=[0, 0, 0], logits=None, values=[["red"], [], []])
    assert [value.text for value in found.stated(0)] == ["red"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"logits": [1, 2]}, "line 1: .*one number for each attribute"),
        ({"logits": None}, "one number for each attribute"),
        ({"logits": ["a", 0, 0]}, "line 1"),
        ({"values": [["green"], [], []]}, "'green' does not stand in the query"),
        ({"logits": None, "weights": [-1, 1, 1]}, "'weights' must be numbers of at least 0"),
        ({"suite": []}, "line 1"),
    ],
)
def test_a_line_that_is_no_answer_is_told(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(BadRecord, match=told):
        answered(tmp_path, **changes)


@pytest.mark.parametrize("changes", [{"suite": "values"}, {"query": "red rug"}, {"attributes": ["a", "b", "c"]}])
def test_a_question_without_an_answer_is_told(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(BadRecord, match=r"answers nothing of 'mention' to 'red wool rug'.*: write the questions anew"):
        answered(tmp_path, **changes)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match=r"the answers \S+ cannot be read: No such file"):
        Answers(tmp_path / "none.jsonl")
