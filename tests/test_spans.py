"""Values are words of the text as it was given, as a reader would mark them."""

import pytest

from service.spans import values
from service.text import Tokenizer


def test_values_are_the_texts_own_words_and_spans_beyond_them_none(tokenizer: Tokenizer) -> None:
    text = "🧶 RED wool rug"
    found = values(text, tokenizer.query(text), [(1, 2, 0.9), (3, 3, 0.7), (3, 4, 0.8)])
    assert found == (("RED wool", 2, 10, 0.9), ("rug", 11, 14, 0.7))


def test_a_value_ends_in_no_dash_or_comma(tokenizer: Tokenizer) -> None:
    text = "Thorne - wool, - rug"
    query = tokenizer.query(text)
    assert [each.text for each in values(text, query, [(0, 1, 0.9), (1, 4, 0.8), (3, 5, 0.7)])] == [
        "Thorne",
        "wool",
        "rug",
    ]
    assert values(text, query, [(1, 1, 0.9), (3, 4, 0.5)]) == ()


def test_a_value_has_all_of_a_number(tokenizer: Tokenizer) -> None:
    text = "price $1,299.99 or 3.5 lbs, sizes 6,7"
    query = tokenizer.query(text)
    place = {text[start:end]: word for word, (start, end) in enumerate(zip(query.starts, query.ends, strict=True))}
    cut = [(place["$"], place["$"], 0.9), (place["299"], place["299"], 0.7), (place["99"], place["99"], 0.8)]
    assert [(each.text, each.confidence) for each in values(text, query, cut)] == [("1,299.99", 0.8)]
    assert [each.text for each in values(text, query, [(place["5"], place["lbs"], 0.9)])] == ["3.5 lbs"]


def test_a_value_ends_in_no_conjunction(tokenizer: Tokenizer) -> None:
    text = "size 8 or 9 and red"
    query = tokenizer.query(text)
    assert [each.text for each in values(text, query, [(2, 3, 0.9), (3, 4, 0.8), (1, 3, 0.9)])] == ["9", "9", "8 or 9"]


def stated(tokenizer: Tokenizer, text: str, said: str) -> str:
    """The value that a span of these words of a text stands for."""
    query, start = tokenizer.query(text), text.index(said)
    (found,) = values(text, query, [(query.starts.index(start), query.ends.index(start + len(said)), 0.9)])
    assert (text[found.start : found.end], found.confidence) == (found.text, 0.9)
    return found.text


@pytest.mark.parametrize(
    ("text", "said", "value"),
    [
        ("Red . Size large.", ". Size large.", "Size large"),
        ("Red.Size large. Soft", ".Size large.", "Size large"),
        ("wool ... rug ...", "... rug ...", "rug"),
        ("Color: red! Size = L * wool", "= L *", "L"),
        ("Color: red ! Size ? L", "red !", "red"),
        ("Color: red ! Size ? L", "? L", "L"),
        ("• 羊毛。红色！软", "• 羊毛。", "羊毛"),
        ("• 羊毛。红色！软", "。红色！", "红色"),
        ("Zip-up 10-12 wide", "-up", "up"),
        ("Zip-up 10-12 wide", "-12", "12"),
        ("Lure -5cm and 10-20 °C", "-5cm", "5cm"),
        ("Lure -5cm and 10-20 °C", "-20 °C", "20 °C"),
        ("brand - 20 cm", "- 20 cm", "20 cm"),
        ('screen 14".', '14".', '14"'),
        ("Size M. Soft", "M.", "M"),
        ("made in U.S...", "U.S...", "U.S."),
    ],
)
def test_a_value_neither_begins_nor_ends_in_marks(tokenizer: Tokenizer, text: str, said: str, value: str) -> None:
    assert stated(tokenizer, text, said) == value


@pytest.mark.parametrize(
    "value",
    [".5 inch", ".NET", "-20 °C", "–.5°", "-40 degrees", "$50", "#8", '14"', "C++", "U.S.", "3.5'", "1/2 in.",
     "8 fl oz.", "Acme Inc.", "Dr. Martens", "Yahoo!", "*NSYNC", "100%", "Gore-Tex®", "~5 mm", "> 5 mm", "don't"],
)  # fmt: skip
@pytest.mark.parametrize("text", ["{}", "a {} rug", "({}), soft"])
def test_marks_that_are_part_of_a_value_stay(tokenizer: Tokenizer, text: str, value: str) -> None:
    assert stated(tokenizer, text.format(value), value) == value


@pytest.mark.parametrize(
    ("text", "said", "value"),
    [
        ("Toothbrush, 4 count (pack of 3), soft", "4 count (pack of 3", "4 count (pack of 3)"),
        ("Toothbrush, 4 count (pack of 3), soft", "4 count (pack of 3)", "4 count (pack of 3)"),
        ("Lotion 8 ounce (235ml) pump", "235ml)", "235ml"),
        ("Lotion 8 ounce (235ml) pump", "(235ml", "235ml"),
        ("Lotion 8 ounce (235ml) pump", "(235ml)", "235ml"),
        ("Lotion 8 ounce (235ml) pump", "8 ounce (", "8 ounce"),
        ("Lotion 8 ounce (235 ml) pump", "ounce (235", "ounce (235"),
        ("Lotion [8 ounce (235ml)] pump", "8 ounce (235ml)]", "8 ounce (235ml)"),
        ("Lotion [8 ounce (235ml)] pump", "[8 ounce (235ml", "8 ounce (235ml)"),
        ("Lotion (red) or (blue)", "(red) or (blue)", "(red) or (blue)"),
        ("Lotion (red] pump", "red]", "red"),
        ("地毯（羊毛）红色", "（羊毛）", "羊毛"),
        ("lavender & silk", "& silk", "silk"),
        ("arm & hammer", "arm & hammer", "arm & hammer"),
    ],
)
def test_a_bracket_has_its_other_half(tokenizer: Tokenizer, text: str, said: str, value: str) -> None:
    assert stated(tokenizer, text, said) == value
