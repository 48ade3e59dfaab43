"""Batches: the targets are on the right tokens, and products stand in the rows of their queries."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny import tiny_tokenizer, valued

from model_export.batches import collated, products_of, texts_feed, token_targets
from model_export.records import Product, Record
from service.text import Tokenizer


@pytest.fixture(scope="module")
def tokenizer(base: Path) -> Tokenizer:
    return tiny_tokenizer(base)


def test_gains_sum_to_one_in_every_row(tokenizer: Tokenizer) -> None:
    batch = collated(
        tokenizer, [Record("red rug", ("a", "b"), (3, 1), (None, None)), Record("wool", ("c",), (2,), (None,))]
    )
    assert batch.gains.sum(1).tolist() == pytest.approx([1, 1])


def test_gains_keep_their_proportion(tokenizer: Tokenizer) -> None:
    batch = collated(tokenizer, [Record("red rug", ("a", "b", "c"), (3, 1, 0), (None,) * 3)])
    assert batch.gains.tolist() == [[0.75, 0.25, 0.0]]


def test_a_row_without_gains_sums_to_zero(tokenizer: Tokenizer) -> None:
    assert collated(tokenizer, [Record("red rug", ("a", "b"), (0, 0), (None,) * 2)]).gains.tolist() == [[0, 0]]


def test_candidates_that_only_pad_are_not_present(tokenizer: Tokenizer) -> None:
    batch = collated(tokenizer, [valued("red rug", None), valued("red rug", None, None)])
    assert batch.present.tolist() == [[True, False], [True, True]]


def test_a_rows_weight_is_its_share_of_the_sources_mean(tokenizer: Tokenizer) -> None:
    records = [Record("rug", ("color",), (1,), (None,), weight) for weight in (1.0, 4.0)]
    assert collated(tokenizer, records, mean_weight=2.0).weight.tolist() == [0.5, 2.0]


def test_the_tokens_of_a_value_are_inside(tokenizer: Tokenizer) -> None:
    assert token_targets(tokenizer.query("red wool rug"), [(4, 8)]) == [0, 1, 0]


def test_every_piece_of_a_word_in_a_value_is_inside(tokenizer: Tokenizer) -> None:
    assert token_targets(tokenizer.query("abc rug"), [(0, 3)]) == [1, 1, 1, 0]


def test_a_word_that_a_value_only_touches_is_inside(tokenizer: Tokenizer) -> None:
    assert token_targets(tokenizer.query("red woolrug"), [(4, 8)]) == [0] + [1] * 4


def test_chinese_values_are_inside_character_by_character(tokenizer: Tokenizer) -> None:
    assert token_targets(tokenizer.query("红色羊毛地毯"), [(0, 2), (4, 6)]) == [1, 1, 0, 0, 1, 1]


def test_offsets_stay_right_behind_letters_that_normalisation_changes(tokenizer: Tokenizer) -> None:
    assert token_targets(tokenizer.query("RE\u0301D  Wool"), [(6, 10)])[-1:] == [1]


def test_targets_stand_behind_the_first_token(tokenizer: Tokenizer) -> None:
    batch = collated(tokenizer, [valued("red wool rug", ((4, 8),))])
    assert batch.inside.tolist() == [[[0, 0, 1, 0, 0]]]


def test_a_stated_value_is_known_at_every_word_and_nowhere_else(tokenizer: Tokenizer) -> None:
    batch = collated(tokenizer, [valued("red rug", ((0, 3),)), valued("red wool rug", ())])
    assert batch.known.int().tolist() == [[[0, 1, 1, 0, 0]], [[0, 1, 1, 1, 0]]]


def test_an_unknown_value_is_known_nowhere(tokenizer: Tokenizer) -> None:
    assert not collated(tokenizer, [valued("red rug", None)]).known.any()


def test_the_words_beyond_the_tokenizers_limit_have_no_targets(tokenizer: Tokenizer) -> None:
    query = "rug " * 80
    batch = collated(tokenizer, [valued(query, ((0, 3), (len(query) - 4, len(query) - 1)))])
    assert (batch.inside.sum().item(), batch.known.sum().item()) == (1, 62)


def listing(query: str, *products: tuple[float, str]) -> Record:
    ranked = tuple(Product(gain, title, (None,)) for gain, title in products)
    return Record(query, ("color",), (0.0,), (None,), products=ranked)


def none_matches(records: list[Record], candidates: int = 1) -> list[NDArray[np.float32]]:
    return [np.zeros((len(record.products), candidates), np.float32) for record in records]


def test_the_gains_of_products_sum_to_one_in_every_row(tokenizer: Tokenizer) -> None:
    records = [listing("rug", (3, "red rug"), (1, "lamp"))]
    assert products_of(tokenizer, records, none_matches(records), 1).gains.tolist() == [[0.75, 0.25]]


def test_products_without_any_gain_have_none(tokenizer: Tokenizer) -> None:
    records = [listing("rug", (0, "red rug"), (0, "lamp")), listing("lamp")]
    found = products_of(tokenizer, records, none_matches(records), 1)
    assert (found.gains.tolist(), found.present.tolist()) == ([[0, 0], [0, 0]], [[True, True], [False, False]])


def test_titles_stand_in_the_rows_of_their_queries(tokenizer: Tokenizer) -> None:
    records = [listing("rug", (1, "red rug"), (0, "lamp")), listing("lamp", (1, "lamp"))]
    found = products_of(tokenizer, records, none_matches(records), 1)
    alone = texts_feed(tokenizer, ["red rug", "lamp", "lamp", ""])
    assert found.present.tolist() == [[True, True], [True, False]]
    assert torch.equal(found.feed["input_ids"], alone["input_ids"])


def test_matches_are_padded_with_zeros(tokenizer: Tokenizer) -> None:
    records = [listing("rug", (1, "red rug"), (0, "lamp")), listing("lamp", (1, "lamp"))]
    matches = [np.full((2, 1), 0.5, np.float32), np.full((1, 2), 0.25, np.float32)]
    found = products_of(tokenizer, records, matches, 2).matches
    assert found.tolist() == [[[0.5, 0.0], [0.5, 0.0]], [[0.25, 0.25], [0.0, 0.0]]]


def test_texts_are_rows_without_candidates(tokenizer: Tokenizer) -> None:
    feed = texts_feed(tokenizer, ["red rug", "lamp"])
    assert feed["block_ids"].tolist() == [[0, 0, 0, 0], [0, 0, 0, -1]]
    assert feed["attribute_positions"].shape == (2, 0)
