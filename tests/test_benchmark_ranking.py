"""Ranking: text scores, folds, and what attributes add where they decide."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny import tiny_tokenizer, write_tokenizer

from model_export.benchmark import ranking
from model_export.benchmark.judge import Judge
from model_export.benchmark.products import JudgedList, Product
from service.bundle import Formula
from service.matching.parsing import Parser
from service.matching.units import Units
from service.scoring import RowScores
from service.text import Row

FORMULA = Formula(overlap=0.1, exclusion=0.2, strength=0.3, join=1.0)


class StatesTheFirstWord:
    """Says that the first word of every text states every attribute, and cannot tell texts apart."""

    def run(self, rows: list[Row]) -> list[RowScores]:
        return [self._scores(row) for row in rows]

    def _scores(self, row: Row) -> RowScores:
        values = np.full((len(row.ends), row.query_length - 2), -9, np.float32)
        values[:, :1] = 9
        return RowScores(np.zeros(len(row.ends), np.float32), values, np.array([1, 0], np.float32))


def same(texts: Sequence[str]) -> NDArray[np.float64]:
    """An embedding that tells nothing."""
    return np.tile([1.0, 0.0], (len(texts), 1))


def colored(query: str, *colors: str) -> JudgedList:
    """A list whose first product alone is relevant."""
    products = tuple(Product("rug", {"color": color}) for color in colors)
    return JudgedList(query, products, (1.0,) + (0.0,) * (len(colors) - 1))


def lists() -> list[JudgedList]:
    words = ("red", "blue", "green", "navy", "black", "white")
    return [colored(f"{first} rug", first, second) for first in words for second in words if first != second]


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    return Judge(StatesTheFirstWord(), tiny_tokenizer(folder), temperature=1.0, threshold=0.5)


@pytest.fixture(scope="module")
def found(judge: Judge) -> list[ranking.Features]:
    return ranking.features(lists(), judge, judge.vectors, same, Parser(Units({})))


def test_a_product_that_has_the_stated_value_is_above_one_that_has_not(found: list[ranking.Features]) -> None:
    assert all(each.model[0] > each.model[1] for each in found)


def test_attributes_gain_where_the_text_tells_nothing(found: list[ranking.Features]) -> None:
    suite = ranking.ranking(ranking.by_query(found, FORMULA))
    assert suite["title cosine"].value == pytest.approx((1 + 1 / np.log2(3)) / 2)
    assert suite["cosine + attributes"].value == suite["text + attributes"].value == 1
    gain = suite["text + attributes: gain on the pretrained cosine"]
    assert [gain.low, gain.high] == pytest.approx([1 - suite["title cosine"].value] * 2)


def test_the_bundles_constants_are_taken_as_they_are(found: list[ranking.Features]) -> None:
    right = ranking.by_query(found, FORMULA)["the bundle's constants"]
    nothing = ranking.by_query(found, FORMULA._replace(strength=0.0))["the bundle's constants"]
    assert right.mean() == 1 > nothing.mean()


def test_every_way_stands_beside_itself_with_equal_weights(found: list[ranking.Features]) -> None:
    suite = ranking.ranking(ranking.by_query(found, FORMULA))
    for way in ranking.WITH_EQUAL:
        gain = suite[f"{way}: gain on equal weights"]
        assert gain.value == pytest.approx(suite[way].value - suite[f"{way}, equal weights"].value)


def test_weights_gain_on_equal_ones_where_one_attribute_decides_and_another_misleads(
    found: list[ranking.Features],
) -> None:
    right, wrong = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    suite = ranking.ranking(ranking.by_query([replace(each, model=right, equal=wrong) for each in found], FORMULA))
    assert all(suite[f"{way}: gain on equal weights"].low > 0 for way in ranking.WITH_EQUAL)


def test_what_a_query_negates_counts_where_nothing_else_tells(judge: Judge) -> None:
    lists = [
        JudgedList(
            f"rug without {part}", (Product(f"rug with {part}", {"x": "y"}), Product("rug", {"x": "y"})), (0.0, 1.0)
        )
        for part in ("fringe", "tassels", "wheels", "border", "backing", "print")
    ]
    found = ranking.features(lists, judge, judge.vectors, same, Parser(Units({})))
    assert ranking.ranking(ranking.by_query(found, FORMULA))["text"].value == 1


def test_pooled_queries_keep_the_values_of_their_sets(found: list[ranking.Features]) -> None:
    small, large = ranking.by_query(found[:5], FORMULA), ranking.by_query(found, FORMULA)
    pooled = ranking.ranking(ranking.pooled([small, large]))["text + attributes: gain on equal weights"]
    gains = [rows["text + attributes"] - rows["text + attributes, equal weights"] for rows in (small, large)]
    assert pooled.n == 5 + len(found)
    assert pooled.value == pytest.approx(np.concatenate(gains).mean())


def test_a_list_without_attributes_is_left_out(judge: Judge) -> None:
    bare = JudgedList("red rug", (Product("rug", {}), Product("rag", {})), (1.0, 0.0))
    assert len(ranking.features([bare, *lists()[:1]], judge, judge.vectors, same, Parser(Units({})))) == 1


def test_bm25_prefers_the_rare_word_and_the_short_text() -> None:
    scores = ranking.bm25("red rug", ["rug", "red rug", "red rug made of wool", "rug lamp", "table"])
    assert scores.argsort()[::-1].tolist()[:3] == [1, 2, 0]
    assert scores[4] == 0


def test_a_query_keeps_its_fold() -> None:
    assert [ranking.fold("red rug", folding) for folding in range(3)] == [ranking.fold("RED rug", n) for n in range(3)]
    assert {ranking.fold(f"query {number}", 0) for number in range(100)} == set(range(ranking.FOLDS))


def test_a_setting_is_chosen_without_the_fold_it_is_used_on() -> None:
    values = np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    assert ranking.cross_validated(values, np.array([0, 1, 2])).tolist() == [0.0, 0.0, 0.0]


def test_of_equal_settings_the_first_is_taken() -> None:
    values = np.array([[0.5, 0.5], [0.1, 0.9], [0.9, 0.1]])
    assert ranking.cross_validated(values, np.array([0, 1, 1])).tolist()[0] == 0.5


def test_all_in_one_fold_are_judged_by_themselves() -> None:
    assert ranking.cross_validated(np.array([[0.0, 1.0]]), np.array([3])).tolist() == [1.0]
