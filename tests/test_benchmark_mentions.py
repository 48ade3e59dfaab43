"""Mentions: how candidates are drawn, what is counted."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from model_export.benchmark import mentions
from model_export.evaluation import Prediction
from model_export.names import QUERYNER_TYPES
from model_export.records import Record
from model_export.spellings import SPELLINGS, UNSEEN

PLAIN = Record("red rug", ("color", "material"), (1.0, 0.0), (((0, 3),), ()))


def predicted(logits: Sequence[float], spans: Sequence[Sequence[tuple[int, int]]] = ((), ())) -> Prediction:
    return Prediction(PLAIN, np.array(logits, float), tuple(map(frozenset, spans)))


def test_every_plain_name_has_expressions_that_training_never_saw() -> None:
    assert list(UNSEEN) == list(QUERYNER_TYPES.values())
    assert all(len(set(expressions)) >= 2 for expressions in UNSEEN.values())


def test_no_unseen_expression_is_a_known_name_and_none_serves_two() -> None:
    unseen = [name for expressions in UNSEEN.values() for name in expressions]
    known = {*SPELLINGS, *(name for spellings in SPELLINGS.values() for name in spellings), *QUERYNER_TYPES.values()}
    assert not known.intersection(unseen)
    assert len(set(unseen)) == len(unseen)


def test_renaming_changes_names_alone_and_is_drawn_by_the_query() -> None:
    found = mentions.renamed(PLAIN, UNSEEN, seed=7)
    assert found.attributes[0] in UNSEEN["color"]
    assert (found.query, found.gains, found.values) == (PLAIN.query, PLAIN.gains, PLAIN.values)
    assert found == mentions.renamed(PLAIN, UNSEEN, seed=7)


def test_no_spelling_is_drawn_for_two_names() -> None:
    record = Record("x", ("brand", "maker"), (1.0, 0.0), (None, None))
    assert mentions.renamed(record, {"brand": ("maker", "firm"), "maker": ("firm",)}, seed=7).attributes == (
        "firm",
        "maker",
    )


def test_a_name_without_unseen_expressions_is_kept() -> None:
    record = Record("x", ("heel height",), (1.0,), (None,))
    assert mentions.renamed(record, UNSEEN, seed=7) == record


def vectors(texts: Sequence[str]) -> NDArray[np.float64]:
    """Only "tone" is near a color."""
    angle = {"color": 0.0, "tone": 0.5}
    return np.array([(np.cos(angle.get(text, 1.5)), np.sin(angle.get(text, 1.5))) for text in texts])


def test_far_names_are_neither_spellings_nor_near() -> None:
    names = {"colour", "color", "hue", "tone", "voltage", "battery life"}
    assert mentions.far_names(names, ["color"], vectors) == ["battery life", "voltage"]


def test_of_known_names_alone_none_is_far() -> None:
    assert mentions.far_names({"colour"}, ["color"], vectors) == []


def test_others_come_behind_without_a_gain_and_by_the_query() -> None:
    others = [f"other {number}" for number in range(60)]
    found = mentions.among_others(PLAIN, others, seed=7)
    assert found.attributes[:2] == PLAIN.attributes
    assert len(found.attributes) == len(set(found.attributes)) == 2 + mentions.OTHERS
    assert found.gains == (1.0, 0.0) + (0.0,) * mentions.OTHERS
    assert found == mentions.among_others(PLAIN, others, seed=7)


def test_spans_count_only_exactly_where_they_stand() -> None:
    part = [predicted([1, 0], [[(0, 3)], [(4, 7)]]), predicted([1, 0], [[(0, 7)], []])]
    assert mentions.spans(part).value == pytest.approx(2 * 1 / (3 + 2))


def test_a_ranking_stands_beside_its_baselines() -> None:
    found = mentions.ranking([predicted([1, 0]), predicted([0, 1])], {"chance": {"ndcg": 0.8, "top1": 0.5}})
    assert (found["top-1"].value, found["top-1"].baselines) == (0.5, {"chance": 0.5})
    assert found["MAP"].baselines == {}


def test_what_is_lost_is_counted_query_by_query() -> None:
    found = mentions.beside_plain([predicted([0, 1])] * 3, [predicted([1, 0])] * 3)["nDCG, less plain names'"]
    assert found.value == found.low == found.high == pytest.approx(1 / np.log2(3) - 1)


def test_how_far_other_names_move_their_logits_is_told_without_the_names_that_are_kept() -> None:
    other = replace(PLAIN, attributes=("hue", "material"))
    ours = [Prediction(other, np.array([1 + far / 10, 9.0]), (frozenset(),) * 2) for far in range(1, 11)]
    found = mentions.beside_plain(ours, [predicted([1, 0])] * 10)
    assert found["|logit less plain name's|, median"].value == pytest.approx(0.5)
    assert found["|logit less plain name's|, 90th percentile"].value == pytest.approx(0.9)


def test_spans_are_told_only_where_values_are_known() -> None:
    unknown = Prediction(replace(PLAIN, values=(None, None)), np.array([1.0, 0.0]), (frozenset(), frozenset()))
    assert "span F1" in mentions.mention([predicted([1, 0])], {})
    assert "span F1" not in mentions.mention([unknown], {})
