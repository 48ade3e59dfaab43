"""The network: what it says of a candidate is a fact of the query and that candidate alone."""

import copy
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import row, tiny_ranker, tiny_tokenizer, write_tokenizer
from torch import Tensor
from transformers import AttentionInterface

from model_export.network import PackedRanker, Scores, product_attention, visible
from service.text import Row, Tokenizer, collate, pack

QUERY = "red wool rug"
NAMES = ("color", "material", "shape", "price", "brand", "product type", "颜色", "尺寸 大小")


@pytest.fixture(scope="module")
def ranker() -> PackedRanker:
    return tiny_ranker()


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder: Path = tmp_path_factory.mktemp("base")
    write_tokenizer(folder)
    return tiny_tokenizer(folder)


def scores(ranker: PackedRanker, *rows: Row) -> Scores:
    with torch.inference_mode():
        return Scores(*ranker(**{name: torch.from_numpy(array) for name, array in collate(rows).items()}))


def near(mine: Tensor, theirs: Tensor) -> bool:
    """The same but for the rounding of fp32, whose order of summing depends on the shape."""
    return mine.shape == theirs.shape and torch.allclose(mine, theirs, rtol=0, atol=2e-5)


def of(found: Scores, place: int) -> Tensor:
    """What is said of one candidate of the first row: its logit, then its value logits."""
    return torch.cat([found.logits[0, place : place + 1], found.value_logits[0, place]])


def test_one_logit_comes_for_each_candidate_and_one_for_each_of_its_query_tokens(
    ranker: PackedRanker, tokenizer: Tokenizer
) -> None:
    found = scores(ranker, row(tokenizer, QUERY, *NAMES[:4]))
    assert (found.logits.shape, found.value_logits.shape) == ((1, 4), (1, 4, 5))


@settings(max_examples=25, deadline=None)
@given(others=st.lists(st.sampled_from(NAMES[1:]), max_size=6), place=st.integers(0, 6))
def test_what_is_said_of_a_candidate_does_not_depend_on_the_others(
    ranker: PackedRanker, tokenizer: Tokenizer, others: list[str], place: int
) -> None:
    place = min(place, len(others))
    among = scores(ranker, row(tokenizer, QUERY, *others[:place], "color", *others[place:]))
    alone = scores(ranker, row(tokenizer, QUERY, "color"))
    assert near(of(among, place), of(alone, 0))


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(len(NAMES))))
def test_logits_move_with_their_candidates(ranker: PackedRanker, tokenizer: Tokenizer, order: list[int]) -> None:
    moved = scores(ranker, row(tokenizer, QUERY, *(NAMES[index] for index in order))).logits
    still = scores(ranker, row(tokenizer, QUERY, *NAMES)).logits
    assert near(moved, still[:, order])


def test_which_row_a_candidate_lies_in_does_not_change_its_logit(ranker: PackedRanker, tokenizer: Tokenizer) -> None:
    attributes = [tokenizer.attribute(name) for name in NAMES]
    split = pack(tokenizer.query(QUERY), attributes, row_tokens=12)
    whole = scores(ranker, row(tokenizer, QUERY, *NAMES)).logits[0]
    apart = [scores(ranker, part).logits[0] for part in split]
    assert len(split) > 2
    assert near(torch.cat(apart), whole)


def test_a_batch_with_a_longer_row_does_not_change_a_logit(ranker: PackedRanker, tokenizer: Tokenizer) -> None:
    short, long = row(tokenizer, QUERY, "color"), row(tokenizer, f"large round blue {QUERY} for men", *NAMES)
    together, alone = scores(ranker, short, long), scores(ranker, short)
    assert near(of(together, 0)[: 1 + short.query_length], of(alone, 0))


def test_query_tokens_never_see_an_attribute(ranker: PackedRanker, tokenizer: Tokenizer) -> None:
    with_one, with_other = (row(tokenizer, QUERY, name) for name in ("color", "shape"))
    vectors = []
    for packed in (with_one, with_other):
        feed = {name: torch.from_numpy(array) for name, array in collate([packed]).items()}
        with torch.inference_mode():
            hidden = ranker.encoder(
                input_ids=feed["input_ids"],
                attention_mask=visible(feed["block_ids"]),
                position_ids=feed["position_ids"],
                token_type_ids=(feed["block_ids"] > 0).long(),
            ).last_hidden_state
        vectors.append(hidden[0, : packed.query_length])
    assert near(vectors[0], vectors[1])


def test_a_logit_depends_on_the_query(ranker: PackedRanker, tokenizer: Tokenizer) -> None:
    one, other = (scores(ranker, row(tokenizer, query, "color")).logits for query in (QUERY, "blue wool rug"))
    assert (one - other).abs().item() > 1e-3


def test_a_logit_depends_on_the_attribute(ranker: PackedRanker, tokenizer: Tokenizer) -> None:
    one, other = scores(ranker, row(tokenizer, QUERY, "color", "shape")).logits[0]
    assert (one - other).abs().item() > 1e-3


def test_a_logit_depends_on_the_order_of_the_attributes_words(ranker: PackedRanker, tokenizer: Tokenizer) -> None:
    one, other = scores(ranker, row(tokenizer, QUERY, "product type", "type product")).logits[0]
    assert (one - other).abs().item() > 1e-3


def test_each_block_sees_the_query_and_itself_and_padding_is_seen_by_padding_alone() -> None:
    assert visible(torch.tensor([[0, 1, 2, -1]]))[0, 0].int().tolist() == [
        [1, 0, 0, 0],
        [1, 1, 0, 0],
        [1, 0, 1, 0],
        [1, 0, 0, 1],
    ]


def test_the_embedding_is_the_mean_of_the_querys_tokens_at_length_one(
    ranker: PackedRanker, tokenizer: Tokenizer
) -> None:
    query = torch.tensor([tokenizer.query(QUERY).ids])
    with torch.inference_mode():
        mean = ranker.encoder(input_ids=query).last_hidden_state.mean(1)
    assert near(scores(ranker, row(tokenizer, QUERY, "color")).embeddings, torch.nn.functional.normalize(mean, dim=-1))


def test_the_embedding_does_not_depend_on_the_candidates_or_on_longer_rows(
    ranker: PackedRanker, tokenizer: Tokenizer
) -> None:
    alone = scores(ranker, *pack(tokenizer.query(QUERY), [], row_tokens=64)).embeddings
    among = scores(ranker, row(tokenizer, QUERY, *NAMES), row(tokenizer, f"large round {QUERY} for men", "color"))
    assert near(among.embeddings[:1], alone)


def test_an_embedding_depends_on_the_query(ranker: PackedRanker, tokenizer: Tokenizer) -> None:
    one, other = scores(ranker, row(tokenizer, QUERY, "color"), row(tokenizer, "blue lamp", "color")).embeddings
    assert (one - other).abs().max().item() > 1e-2


def test_attention_by_matrix_products_says_the_same(ranker: PackedRanker, tokenizer: Tokenizer) -> None:
    rows = [row(tokenizer, QUERY, *NAMES), row(tokenizer, "rug", "color")]
    fused = scores(ranker, *rows)
    AttentionInterface.register("matrix products", product_attention)
    other = copy.deepcopy(ranker)
    other.encoder.set_attn_implementation("matrix products")
    mine = scores(other, *rows)
    assert near(mine.logits[0], fused.logits[0])
    assert near(mine.logits[1, :1], fused.logits[1, :1])
    assert near(mine.embeddings, fused.embeddings)


def test_before_training_the_embedding_is_the_mean_of_the_query_alone(tokenizer: Tokenizer) -> None:
    ranker = tiny_ranker()
    feed = {name: torch.from_numpy(array) for name, array in collate([row(tokenizer, QUERY, "color")]).items()}
    with torch.inference_mode():
        hidden = ranker.encoder(
            input_ids=feed["input_ids"],
            attention_mask=visible(feed["block_ids"]),
            token_type_ids=(feed["block_ids"] > 0).to(feed["input_ids"].dtype),
            position_ids=feed["position_ids"],
        ).last_hidden_state
        mean = hidden[0, feed["block_ids"][0] == 0].mean(0)
        assert near(ranker(**feed).embeddings[0], mean / mean.norm())
