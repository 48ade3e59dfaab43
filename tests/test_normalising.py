"""NFKC piece by piece is what NFKC of the whole is, and endless runs of marks cost no more than other texts."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.normalising import MOST_MARKS, PIECE, nfkc

LETTERS = ["a", " ", "é", "e\u0301", "o\u0316\u0301", "ｶﾞ", "ﬁ", "㎏", "각", "\u1112\u1161\u11ab", "红", "①", "नि"]
WORDS = st.lists(st.sampled_from(LETTERS), max_size=20).map("".join)


@given(st.lists(WORDS, max_size=6).map(" ".join), st.integers(0, 2 * PIECE))
def test_long_texts_are_normalised_as_short_ones(text: str, before: int) -> None:
    long = "x" * before + text * 8
    assert nfkc(long) == unicodedata.normalize("NFKC", long)


@pytest.mark.parametrize("mark", ["\u0301", "\uff9e", "\u11ab", "\u1161"])
@pytest.mark.parametrize("before", range(PIECE - 3, PIECE + 2))
def test_no_letter_is_cut_off_from_its_mark(mark: str, before: int) -> None:
    text = "x" * before + {"\u0301": "e", "\uff9e": "ｶ", "\u11ab": "가", "\u1161": "\u1112"}[mark] + mark + "y"
    assert nfkc(text) == unicodedata.normalize("NFKC", text)


def test_marks_without_end_are_normalised_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    longest = 0

    class Counted:
        category = staticmethod(unicodedata.category)

        @staticmethod
        def normalize(form: str, text: str) -> str:
            nonlocal longest
            longest = max(longest, len(text))
            return unicodedata.normalize(form, text)

    monkeypatch.setattr("service.normalising.unicodedata", Counted)
    assert len(nfkc("a" + "\u0301\u0316" * 5000)) >= 9_999
    assert longest <= PIECE + MOST_MARKS
