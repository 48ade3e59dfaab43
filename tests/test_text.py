"""Tokens and packing: offsets are the caller's, candidates keep apart, limits hold."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.text import PADDING_BLOCK, Tokenizer, collate, longest_row, pack, query_key, row_alone

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def words(tokenizer: Tokenizer, text: str) -> list[str]:
    return [text[start:end] for start, end in tokenizer.query(text).words]


def test_words_are_cut_from_the_text_as_it_was_sent(tokenizer: Tokenizer) -> None:
    assert words(tokenizer, "  Red  WOOL-rug, 2x8") == ["Red", "WOOL", "-", "rug", ",", "2x8"]


def test_offsets_count_code_points_with_accents_emoji_and_chinese(tokenizer: Tokenizer) -> None:
    assert words(tokenizer, "crème 🧶 红色 rug") == ["crème", "🧶", "红", "色", "rug"]


def test_a_text_of_nothing_readable_has_no_words(tokenizer: Tokenizer) -> None:
    assert tokenizer.query("\u200b\u0007").words == []


@given(text=TEXTS)
@settings(max_examples=200, deadline=None)
def test_every_token_belongs_to_a_word_within_the_text(tokenizer: Tokenizer, text: str) -> None:
    query = tokenizer.query(text)
    assert len(query.word_of) == len(query.ids) - 2
    assert sorted(set(query.word_of)) == list(range(len(query.words)))
    assert all(0 <= start < end <= len(text) for start, end in query.words)


@pytest.mark.parametrize(
    ("text", "conjunctions"),
    [("red OR blue rug", {1}), ("salt & pepper and oreo", {3}), ("红色或蓝色", {2}), ("red rug", set())],
)
def test_words_that_part_values_are_whole_conjunctions(tokenizer: Tokenizer, text: str, conjunctions: set[int]) -> None:
    assert tokenizer.query(text).conjunctions == conjunctions


def test_a_query_is_read_up_to_the_limit(tokenizer: Tokenizer) -> None:
    assert len(tokenizer.query("1 " * 512).ids) == 384


def test_a_query_says_whether_it_was_read_to_its_end(tokenizer: Tokenizer) -> None:
    assert not tokenizer.query("rug " * 382).truncated
    assert tokenizer.query("rug " * 383).truncated


def test_an_attribute_is_read_up_to_the_limit(tokenizer: Tokenizer) -> None:
    assert len(tokenizer.attribute("色" * 300)) == 128


def test_the_longest_query_leaves_room_for_candidates(tokenizer: Tokenizer) -> None:
    assert longest_row(tokenizer.query("rug")) == 128
    assert longest_row(tokenizer.query("rug " * 500)) == 384 + 32


def test_a_query_alone_is_a_row_of_its_tokens(tokenizer: Tokenizer) -> None:
    query = tokenizer.query("red rug")
    assert [row_alone(query)] == pack(query, [], row_tokens=1)
    assert (row_alone(query).input_ids, row_alone(query).ends) == ([*query.ids], [])


def test_positions_restart_after_the_query_for_every_candidate(tokenizer: Tokenizer) -> None:
    query = tokenizer.query("red rug")
    (row,) = pack(query, [(7, 102), (8, 9, 102)], row_tokens=100)
    assert row.block_ids == [0, 0, 0, 0, 1, 1, 2, 2, 2]
    assert row.position_ids == [0, 1, 2, 3, 4, 5, 4, 5, 6]
    assert row.ends == [5, 8]


@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=60), room=st.integers(5, 60))
def test_rows_hold_every_candidate_once_in_order(tokenizer: Tokenizer, lengths: list[int], room: int) -> None:
    query = tokenizer.query("red rug")
    attributes = [tuple([1000 + i] * n) for i, n in enumerate(lengths)]
    rows = pack(query, attributes, row_tokens=room)
    packed = [
        tuple(token for token, its in zip(row.input_ids, row.block_ids, strict=True) if its == block)
        for row in rows
        for block in range(1, len(row.ends) + 1)
    ]
    assert packed == attributes
    assert all(len(row.input_ids) <= max(room, len(query.ids) + max(lengths)) for row in rows)


def test_shorter_rows_are_padded_with_a_block_nobody_sees(tokenizer: Tokenizer) -> None:
    short, long = (pack(tokenizer.query(text), [(7, 102)], row_tokens=99)[0] for text in ("rug", "red wool rug"))
    feed = collate([short, long])
    assert feed["input_ids"].shape == (2, 7)
    assert feed["block_ids"][0, 5:].tolist() == [PADDING_BLOCK] * 2


def test_two_queries_share_a_key_only_with_the_same_tokens() -> None:
    assert query_key([101, 2, 34]) != query_key([101, 23, 4])
    assert query_key([101, 2]) == query_key((101, 2))
