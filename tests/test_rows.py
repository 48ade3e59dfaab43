"""A record as one row: every candidate in it, whatever that costs."""

from pathlib import Path

import pytest
from tiny import tiny_tokenizer, write_tokenizer

from model_export.records import Record
from model_export.rows import packed
from service.text import Tokenizer


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    write_tokenizer(tmp_path)
    return tiny_tokenizer(tmp_path)


def test_a_record_is_one_row_however_many_candidates_it_has(tokenizer: Tokenizer) -> None:
    names = tuple(f"attribute {number}" for number in range(500))
    _, row = packed(tokenizer, Record("red rug", names, (1.0,) * 500, (None,) * 500))
    assert len(row.ends) == 500


def test_the_query_comes_with_its_words(tokenizer: Tokenizer) -> None:
    query, row = packed(tokenizer, Record("red rug", ("color",), (1.0,), (None,)))
    assert (query.words, row.query_length) == ([(0, 3), (4, 7)], 4)
