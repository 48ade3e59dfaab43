"""The losses, each by a small example worked out by hand."""

import math

import pytest
import torch
from torch import Tensor

from model_export.batches import Batch, Products
from model_export.losses import (
    ATTRIBUTE_SHARE,
    NAMES_TEMPERATURE,
    RANKING_TEMPERATURE,
    divergence,
    embedding_loss,
    importance_loss,
    ranking_loss,
    value_loss,
)
from model_export.network import Scores

LOG2, LOG3 = math.log(2), math.log(3)
FAR = 1e9


def scores(logits: Tensor, value_logits: Tensor, embeddings: Tensor | None = None) -> Scores:
    """What the network would say; the embeddings of queries where they matter."""
    return Scores(logits, value_logits, torch.zeros(len(logits), 2) if embeddings is None else embeddings)


def batch(
    gains: list[list[float]],
    *,
    present: list[list[bool]] | None = None,
    inside: list[list[list[float]]] | None = None,
    known: list[list[list[bool]]] | None = None,
    weight: list[float] | None = None,
) -> Batch:
    """A batch whose values nobody knows and whose candidates are all there, unless it is said otherwise."""
    shape = (len(gains), len(gains[0]))
    return Batch(
        feed={},
        gains=torch.tensor(gains),
        present=torch.tensor(present) if present else torch.ones(shape, dtype=torch.bool),
        inside=torch.tensor(inside) if inside else torch.zeros(*shape, 1),
        known=torch.tensor(known) if known else torch.zeros(*shape, 1, dtype=torch.bool),
        weight=torch.tensor(weight or [1.0] * shape[0]),
        importance=1.0,
    )


def importance(logits: list[list[float]], batch: Batch) -> float:
    return importance_loss(scores(torch.tensor(logits), torch.zeros_like(batch.inside)), batch).item()


def value(value_logits: list[list[list[float]]], batch: Batch) -> float:
    return value_loss(scores(torch.zeros_like(batch.gains), torch.tensor(value_logits)), batch).item()


def test_importance_is_the_cross_entropy_to_the_gains() -> None:
    expected = -0.25 * math.log(0.75) - 0.75 * math.log(0.25)
    assert importance([[LOG3, 0.0]], batch([[0.25, 0.75]])) == pytest.approx(expected)


def test_importance_is_the_mean_over_the_rows() -> None:
    assert importance([[0.0, 0.0], [LOG3, 0.0]], batch([[1.0, 0.0], [1.0, 0.0]])) == pytest.approx(
        (LOG2 - math.log(0.75)) / 2
    )


def test_importance_weighs_the_rows() -> None:
    found = importance([[0.0, 0.0], [LOG3, 0.0]], batch([[1.0, 0.0], [1.0, 0.0]], weight=[3.0, 1.0]))
    assert found == pytest.approx((3 * LOG2 - math.log(0.75)) / 2)


def test_rows_without_gains_have_no_part_in_the_importance() -> None:
    assert importance([[0.0, 0.0], [7.0, 0.0]], batch([[1.0, 0.0], [0.0, 0.0]])) == pytest.approx(LOG2)


def test_candidates_that_only_pad_have_no_part_in_the_importance() -> None:
    padded = batch([[1.0, 0.0, 0.0]], present=[[True, True, False]])
    assert importance([[0.0, 0.0, FAR]], padded) == pytest.approx(LOG2)


def test_importance_without_any_gain_is_zero() -> None:
    assert importance([[1.0, 2.0]], batch([[0.0, 0.0]])) == 0


def test_value_is_the_cross_entropy_of_every_token() -> None:
    known = batch([[1.0]], inside=[[[1.0, 0.0]]], known=[[[True, True]]])
    assert value([[[LOG3, LOG3]]], known) == pytest.approx((-math.log(0.75) - math.log(0.25)) / 2)


def test_unknown_values_have_no_part_in_the_value() -> None:
    partly = batch([[1.0, 0.0]], inside=[[[1.0], [0.0]]], known=[[[True], [False]]])
    assert value([[[0.0], [FAR]]], partly) == pytest.approx(LOG2)


def test_value_weighs_the_rows() -> None:
    weighed = batch([[1.0]] * 2, inside=[[[1.0]], [[1.0]]], known=[[[True]], [[True]]], weight=[3.0, 1.0])
    assert value([[[0.0]], [[LOG3]]], weighed) == pytest.approx((3 * LOG2 - math.log(0.75)) / 2)


def test_value_without_anything_known_is_zero() -> None:
    assert value([[[5.0]]], batch([[1.0]])) == 0


def test_gradients_stay_finite_in_rows_without_gains_or_candidates() -> None:
    logits = torch.zeros(2, 2, requires_grad=True)
    empty = batch([[0.0, 0.0], [0.0, 0.0]], present=[[True, False], [False, False]])
    importance_loss(scores(logits, torch.zeros(2, 2, 1)), empty).backward()  # type: ignore[no-untyped-call]
    assert torch.equal(logits.grad if logits.grad is not None else logits, torch.zeros(2, 2))


def test_an_embedding_costs_its_distance_and_what_it_takes_to_find_its_target() -> None:
    # Both texts lie between the two targets: the cosines are 0.6 and 0.8.
    found = embedding_loss(torch.tensor([[0.6, 0.8], [0.6, 0.8]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])).item()
    apart = 0.2 / NAMES_TEMPERATURE
    listed = (math.log1p(math.exp(apart)) + math.log1p(math.exp(-apart))) / 2
    assert found == pytest.approx((0.4 + 0.2) / 2 + listed)


def test_embeddings_at_targets_that_are_far_apart_cost_nothing() -> None:
    assert embedding_loss(torch.eye(2), torch.eye(2)).item() == pytest.approx(0, abs=1e-6)


def test_texts_of_one_meaning_do_not_compete() -> None:
    targets = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    found = embedding_loss(torch.tensor([[0.6, 0.8]] * 3), targets).item()
    # Each of the first two is found among two targets, not among three.
    apart = 0.2 / NAMES_TEMPERATURE
    listed = (2 * math.log1p(math.exp(apart)) + math.log1p(2 * math.exp(-apart))) / 3
    assert found == pytest.approx((0.4 + 0.4 + 0.2) / 3 + listed)


def test_texts_of_one_meaning_do_not_compete_in_half_precision_either() -> None:
    one = torch.nn.functional.normalize(torch.randn(384, generator=torch.Generator().manual_seed(1)), dim=0)
    targets = one.half().float().repeat(4, 1)
    assert embedding_loss(targets, targets).item() == pytest.approx(0, abs=1e-3)


def ranked(
    matches: list[list[list[float]]],
    gains: list[list[float]],
    *,
    titles: list[list[list[float]]] | None = None,
    logits: list[list[float]] | None = None,
    present: list[list[bool]] | None = None,
    weight: list[float] | None = None,
) -> float:
    """The loss of products whose titles all say nothing and whose attributes weigh alike, unless it is said."""
    rows, listed, candidates = len(matches), len(matches[0]), len(matches[0][0])
    products = Products(
        {},
        torch.tensor(matches),
        torch.tensor(gains),
        torch.tensor(present) if present else torch.ones(rows, listed, dtype=torch.bool),
    )
    said = scores(
        torch.tensor(logits) if logits else torch.zeros(rows, candidates),
        torch.zeros(rows, candidates, 1),
        torch.tensor([[1.0, 0.0]] * rows),
    )
    known = batch([[0.0] * candidates] * rows, weight=weight)
    return ranking_loss(said, torch.tensor(titles) if titles else torch.zeros(rows, listed, 2), products, known).item()


def expected(*scores: float) -> float:
    """The cross-entropy of the first of these scores among them all."""
    return -math.log(1 / sum(math.exp((score - scores[0]) / RANKING_TEMPERATURE) for score in scores))


def test_products_are_scored_by_their_weighted_matches() -> None:
    # Weights 3/4 and 1/4: the first product's sum is 0.75 * 0.2 - 0.25 * 0.2.
    found = ranked([[[0.2, -0.2], [0.0, 0.4]]], [[1.0, 0.0]], logits=[[LOG3, 0.0]])
    assert found == pytest.approx(expected(ATTRIBUTE_SHARE * 0.1, ATTRIBUTE_SHARE * 0.1))


def test_products_are_scored_by_their_titles() -> None:
    found = ranked([[[0.0], [0.0]]], [[1.0, 0.0]], titles=[[[0.6, 0.8], [0.5, 0.0]]])
    assert found == pytest.approx(expected(0.6, 0.5))


def test_the_title_and_the_matches_add_up() -> None:
    found = ranked([[[0.5], [-0.5]]], [[1.0, 0.0]], titles=[[[0.2, 0.0], [0.25, 0.0]]])
    assert found == pytest.approx(expected(0.2 + ATTRIBUTE_SHARE * 0.5, 0.25 - ATTRIBUTE_SHARE * 0.5))


def test_the_ranking_is_held_to_graded_gains() -> None:
    found = ranked([[[0.1], [0.0]]], [[0.75, 0.25]])
    apart = ATTRIBUTE_SHARE * 0.1
    assert found == pytest.approx(0.75 * expected(apart, 0.0) + 0.25 * expected(0.0, apart))


def test_products_that_only_pad_have_no_part_in_the_ranking() -> None:
    padded = ranked([[[0.1], [0.0], [FAR]]], [[1.0, 0.0, 0.0]], present=[[True, True, False]])
    assert padded == pytest.approx(expected(ATTRIBUTE_SHARE * 0.1, 0.0))


def test_candidates_that_only_pad_have_no_part_in_the_ranking() -> None:
    known = batch([[0.0, 0.0]], present=[[True, False]])
    products = Products({}, torch.tensor([[[0.1, 0.0], [0.0, 0.0]]]), torch.tensor([[1.0, 0.0]]), torch.ones(1, 2) > 0)
    said = scores(torch.tensor([[0.0, 9.0]]), torch.zeros(1, 2, 1))
    found = ranking_loss(said, torch.zeros(1, 2, 2), products, known).item()
    assert found == pytest.approx(expected(ATTRIBUTE_SHARE * 0.1, 0.0))


def test_queries_whose_products_have_no_gain_have_no_part_in_the_ranking() -> None:
    found = ranked([[[0.1], [0.0]], [[0.3], [0.2]]], [[1.0, 0.0], [0.0, 0.0]])
    assert found == pytest.approx(expected(ATTRIBUTE_SHARE * 0.1, 0.0))


def test_the_ranking_weighs_the_rows() -> None:
    matches, gains = [[[0.1], [0.0]], [[0.0], [0.0]]], [[1.0, 0.0]] * 2
    assert ranked(matches, gains, weight=[0.5, 1.5]) == pytest.approx(
        (0.5 * expected(ATTRIBUTE_SHARE * 0.1, 0.0) + 1.5 * LOG2) / 2
    )


def test_the_ranking_moves_the_weight_to_the_attribute_that_tells_the_product() -> None:
    logits = torch.zeros(1, 2, requires_grad=True)
    products = Products({}, torch.tensor([[[0.5, 0.0], [-0.5, 0.0]]]), torch.tensor([[1.0, 0.0]]), torch.ones(1, 2) > 0)
    said = scores(logits, torch.zeros(1, 2, 1))
    ranking_loss(said, torch.zeros(1, 2, 2), products, batch([[0.0, 0.0]])).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None and logits.grad[0, 0] < 0 < logits.grad[0, 1]


def test_gradients_stay_finite_where_a_query_has_no_product() -> None:
    logits = torch.zeros(1, 2, requires_grad=True)
    none = Products({}, torch.zeros(1, 2, 2), torch.zeros(1, 2), torch.zeros(1, 2) > 0)
    said = scores(logits, torch.zeros(1, 2, 1))
    ranking_loss(said, torch.zeros(1, 2, 2), none, batch([[0.0, 0.0]])).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None and torch.equal(logits.grad, torch.zeros(1, 2))


def test_two_passes_that_say_the_same_do_not_diverge() -> None:
    said = scores(torch.tensor([[1.0, 2.0]]), torch.tensor([[[3.0], [4.0]]]))
    known = batch([[1.0, 0.0]], known=[[[True], [True]]])
    assert [each.item() for each in divergence(said, said, known)] == [0, 0]


def test_weights_diverge_by_the_mean_of_both_kl() -> None:
    one, other = (scores(torch.tensor([logits]), torch.zeros(1, 2, 1)) for logits in ([LOG3, 0.0], [0.0, 0.0]))
    # (3/4, 1/4) and (1/2, 1/2)
    forth = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    back = 0.5 * math.log(2 / 3) + 0.5 * math.log(2)
    assert divergence(one, other, batch([[1.0, 0.0]]))[0].item() == pytest.approx((forth + back) / 2)


def test_candidates_that_only_pad_do_not_diverge() -> None:
    one, other = (scores(torch.tensor([[0.0, 0.0, far]]), torch.zeros(1, 3, 1)) for far in (FAR, -FAR))
    assert divergence(one, other, batch([[1.0, 0.0, 0.0]], present=[[True, True, False]]))[0].item() == 0


def test_values_diverge_over_the_known_tokens_alone() -> None:
    one, other = (
        scores(torch.zeros(1, 1), torch.tensor([[tokens]])) for tokens in ([LOG3, 0.0, 9.0], [0.0, 0.0, -9.0])
    )
    known = batch([[1.0]], inside=[[[0.0] * 3]], known=[[[True, True, False]]])
    # 3/4 and 1/2 of a yes or no, then two tokens alike: half the sum of both KL, over two tokens.
    forth = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    back = 0.5 * math.log(2 / 3) + 0.5 * math.log(2)
    assert divergence(one, other, known)[1].item() == pytest.approx((forth + back) / 2 / 2)
