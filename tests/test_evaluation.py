"""Evaluation: temperatures, agreement and metrics against numbers worked out by hand."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import shop_records, tiny_graph, tiny_tokenizer, write_tokenizer

from model_export import evaluation
from model_export.evaluation import Prediction
from model_export.records import Record, Span
from service import scoring
from service.model import Model, open_graph
from service.scoring import PairScore, ValueSpan
from service.text import QueryTokens, Tokenizer

LOG3 = math.log(3)


def predicted(
    logits: Sequence[float],
    gains: Sequence[float],
    guessed: Sequence[Sequence[Span]] | None = None,
    true: Sequence[tuple[Span, ...] | None] | None = None,
) -> Prediction:
    """What a model says of a record of these gains; without spans, nobody knows or says any."""
    names = tuple(f"attribute {number}" for number in range(len(gains)))
    record = Record("red wool rug", names, tuple(gains), tuple(true or [None] * len(gains)))
    return Prediction(record, np.array(logits, float), tuple(map(frozenset, guessed or [()] * len(gains))))


def drawn(temperature: float, count: int = 40, seed: int = 3) -> list[Prediction]:
    """Predictions whose gains are what logits divided by this temperature give, with one candidate that has none."""
    generator = np.random.default_rng(seed)
    logits = [np.append(generator.normal(0, 2, size=5), -1e6) for _ in range(count)]
    return [predicted(z.tolist(), scoring.softmax(z.tolist(), temperature)) for z in logits]


@settings(max_examples=10, deadline=None)
@given(temperature=st.floats(0.2, 5))
def test_the_temperature_that_made_the_gains_is_found(temperature: float) -> None:
    assert evaluation.fit_temperature(drawn(temperature, count=10)) == pytest.approx(temperature, rel=1e-3)


def test_records_without_gains_have_no_say_in_the_temperature() -> None:
    without = predicted([9, 0], [0, 0])
    assert evaluation.fit_temperature([*drawn(2.0), without]) == pytest.approx(2.0, rel=1e-3)


@pytest.mark.parametrize("predictions", [[], [predicted([9, 0], [0, 0])]])
def test_without_anything_to_fit_the_temperature_is_one(predictions: list[Prediction]) -> None:
    assert evaluation.fit_temperature(predictions) == 1.0


def test_cross_entropy_is_in_nats() -> None:
    assert evaluation.cross_entropy(np.array([LOG3, 0]), [1, 1], 1.0) == pytest.approx(
        -0.5 * math.log(0.75) - 0.5 * math.log(0.25)
    )


def test_cross_entropy_divides_by_the_temperature() -> None:
    assert evaluation.cross_entropy(np.array([2 * LOG3, 0]), [1, 0], 2.0) == pytest.approx(-math.log(0.75))


def test_cross_entropy_stays_finite_where_a_weight_is_zero() -> None:
    assert math.isfinite(evaluation.cross_entropy(np.array([5000.0, 0]), [0, 1], 1.0))


def agreement(ours: list[list[float]], reference: list[list[float]], lead: float = 0.05) -> evaluation.Agreement:
    sides = ([predicted(logits, [1] * len(logits)) for logits in side] for side in (ours, reference))
    return evaluation.agreement(*sides, temperature=1.0, lead=lead)


def test_agreement_names_the_largest_difference_of_a_logit() -> None:
    assert agreement([[1, 2], [3, 4]], [[1, 2.5], [3, 3.25]]).logits == 0.75


def test_agreement_is_the_mean_divergence_from_the_reference() -> None:
    found = agreement([[0, 0], [0, 0]], [[LOG3, 0], [0, 0]])
    assert found.kl == pytest.approx((0.75 * math.log(1.5) + 0.25 * math.log(0.5)) / 2)


def test_agreement_counts_where_the_same_attribute_is_first() -> None:
    assert agreement([[2, 0], [0, 2], [2, 0], [2, 0]], [[2, 0]] * 4).same_first == 0.75


def test_agreement_asks_for_the_first_only_where_the_reference_leads() -> None:
    assert agreement([[0, 2], [0, 0.1]], [[0, 2], [0.1, 0]]).same_first == 1.0


def test_agreement_without_a_lead_or_a_choice_is_whole() -> None:
    assert agreement([[0, 1], [3]], [[0, 0], [2]]).same_first == 1.0


def test_a_graph_agrees_with_itself() -> None:
    assert agreement([[1, 2, 3]], [[1, 2, 3]]) == evaluation.Agreement(0.0, 0.0, 1.0)


def test_rankings_are_measured_over_the_records_that_have_gains() -> None:
    found = evaluation.measure(
        [predicted([2, 1], [1, 0]), predicted([2, 1], [0, 1]), predicted([1, 2], [0, 0])], temperature=1.0
    )
    expected = {"queries": 3.0, "ndcg": (1 + 1 / math.log2(3)) / 2, "map": 0.75, "top1": 0.5}
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-5)


def test_weights_are_measured_at_the_temperature() -> None:
    found = evaluation.measure([predicted([2 * LOG3, 0], [1, 0])], temperature=2.0)
    assert [found["ece"], found["nll"]] == pytest.approx([0.25, -math.log(0.75)], abs=1e-5)


def test_rankings_are_not_measured_where_every_order_is_right() -> None:
    assert evaluation.measure([predicted([2, 1], [1, 1])], temperature=1.0) == {"queries": 1}


def test_values_are_measured_where_somebody_knows_them() -> None:
    found = evaluation.measure(
        [predicted([1, 1, 1], [1, 1, 1], [[(0, 3)], [(4, 8)], [(9, 12)]], [((0, 3),), None, ()])], temperature=1.0
    )
    assert found["value_f1"] == pytest.approx(2 * 1 / (2 + 1), abs=1e-5)


def test_a_value_that_nobody_knows_is_not_measured() -> None:
    assert "value_f1" not in evaluation.measure([predicted([1], [1], [[(0, 3)]])], temperature=1.0)


def test_a_value_must_stand_exactly_where_it_was_stated() -> None:
    found = evaluation.measure([predicted([1], [1], [[(0, 8)]], [((4, 8),)])], temperature=1.0)
    assert found["value_f1"] == 0


def test_the_top_weight_is_held_against_the_share_of_the_gain() -> None:
    confidence, observed = evaluation.reliability_points(
        [predicted([LOG3, 0, -1e6], [1, 3, 0]), predicted([0, 0], [0, 0])], temperature=1.0
    )
    assert (confidence.tolist(), observed.tolist()) == ([pytest.approx(0.75)], [0.25])


def test_a_span_of_words_becomes_characters_of_the_query() -> None:
    query = QueryTokens((2, 5, 6, 7, 3), (0, 4, 9), (3, 8, 12), (0, 1, 2))
    record = Record("red wool rug", ("color",), (1.0,), (None,))
    found = evaluation.prediction(record, query, [PairScore(1.5, (ValueSpan(1, 2, 0.9), ValueSpan(0, 0, 0.6)))])
    assert found.values == (frozenset({(4, 12), (0, 3)}),)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Tokenizer]:
    folder: Path = tmp_path_factory.mktemp("graph")
    (folder / "tiny.onnx").write_bytes(tiny_graph())
    write_tokenizer(folder)
    return open_graph(folder / "tiny.onnx", device="cpu", threads=1), tiny_tokenizer(folder)


def test_predictions_come_in_the_order_of_the_records(served: tuple[Model, Tokenizer]) -> None:
    dev = [*shop_records(), *(Record("new " * n + "lamp", ("shape",), (1.0,), (None,)) for n in (9, 0, 4))]
    assert [found.record for found in evaluation.predict(*served, dev, threshold=0.5)] == dev


def test_a_prediction_does_not_depend_on_what_else_is_predicted(served: tuple[Model, Tokenizer]) -> None:
    dev = [*shop_records(), Record("new large round lamp with red socks", ("shape",), (1.0,), (None,))]
    together = evaluation.predict(*served, dev, threshold=0.5)
    alone = [evaluation.predict(*served, [record], threshold=0.5)[0] for record in dev]
    assert all(np.allclose(a.logits, b.logits, atol=2e-5) for a, b in zip(together, alone, strict=True))


def test_nothing_is_predicted_of_no_records(served: tuple[Model, Tokenizer]) -> None:
    assert evaluation.predict(*served, [], threshold=0.5) == []


def test_records_without_any_gain_count_as_queries_and_change_no_metric() -> None:
    ranked = [predicted([1, 0], [1, 0]), predicted([0, 1, 2], [1, 0, 1])]
    silent = predicted([3, 1], [0, 0])
    alone, beside = (evaluation.measure(part, temperature=1.0) for part in (ranked, [*ranked, silent]))
    assert beside == alone | {"queries": 3}
    assert evaluation.fit_temperature([*ranked, silent]) == evaluation.fit_temperature(ranked)
