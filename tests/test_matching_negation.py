"""Which words of a query are negated. The queries are real ones of ESCI and QueryNER where they read like it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.matching.negation import (
    affirmed,
    asked_without,
    denied_words,
    is_negated,
    negated_spans,
    resisted_spans,
    without_cue,
)


def governed(text: str) -> list[str]:
    return [text[start:end] for start, end in negated_spans(text)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("1.75 leather belts without buckles", ["buckles"]),
        ("%100 silicone not clear", ["clear"]),
        ("1/2gallon water bottle without straw", ["straw"]),
        ("wireless thermostat without c wire", ["c wire"]),
        ("tortillas without interesterified soybean oil”", ["interesterified soybean oil"]),
        ("humidifier without filter for large room", ["filter"]),
        ("accent chair covers without arms set of 2", ["arms"]),
        ("1 1/4 mini metal rustic barn star without hole for the", ["hole"]),
        ("$75 visa gift card email delivery without a fee", ["fee"]),
        ("10 inch saute pan nonstick without long handle", ["stick", "long handle"]),
        ("no steam iron without holes", ["steam", "holes"]),
        ("leggings with pockets not high waisted", ["high waisted"]),
        ("phone case not leather", ["leather"]),
        ("gift not included batteries", ["included batteries"]),
        ("dress no sleeves", ["sleeves"]),
        ("dress no sleeves size 8", ["sleeves"]),
        ("full bed frame no box spring needed", ["box spring"]),
        ("sure jell for less or no sugar", ["sugar"]),
        ("no drill grab bars", ["drill"]),
        ("non slip bath mat without suction cups", ["slip", "suction cups"]),
        ("cast aluminum non-stick dutch oven", ["stick"]),
        ("sugar free white chocolate syrup", ["sugar"]),
        ("Gluten-Free pasta", ["Gluten"]),
        ("soap free of parabens or dyes, blue", ["parabens or dyes"]),
        ("bag w/o zipper", ["zipper"]),
        ("shirt without sleeves, cotton", ["sleeves"]),
        ("shirt without sleeves and with pockets", ["sleeves"]),
        ("tub without lid 12 inch", ["lid"]),
        ("Tisch without Ärmel", ["Ärmel"]),
        ("shoes that are not red", ["red"]),
        ("bag which is not leather for men", ["leather"]),
        ("I don't want red shoes", ["red shoes"]),
        ("shirt that doesn’t have pockets", ["pockets"]),
        ("snack does not contain nuts", ["nuts"]),
        ("anything but black", ["black"]),
        ("dress in any color but red", ["red"]),
        ("dress that isn't red", ["red"]),
        ("shoes which aren’t red or blue", ["red or blue"]),
        ("phone case other than black", ["black"]),
        ("dress except red", ["red"]),
        ("rug neither red nor blue", ["red nor blue"]),
        ("rug not red, not blue", ["red", "blue"]),
    ],
)
def test_a_cue_governs_what_it_says_in_real_queries(query: str, expected: list[str]) -> None:
    assert governed(query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("不含糖的饼干", ["糖"]),
        ("不含人工香料", ["人工香料"]),
        ("不含 BPA 水杯", ["BPA"]),
        ("无糖", ["糖"]),
        ("除了红色以外的鞋", ["红色"]),
        ("无硅油洗发水", ["硅油"]),
        ("免打孔置物架", ["打孔"]),
        ("非转基因", ["转基"]),
        ("不带支架", ["支架"]),
        ("不是红色的连衣裙", ["红色"]),
        ("无袖黑色连衣裙", ["袖"]),
        ("无袖连衣裙", ["袖"]),
        ("无领白色T恤", ["领"]),
        ("无扣米色外套", ["扣"]),
        ("非黑色", ["黑色"]),
        ("不褪色袜子", ["褪色"]),
    ],
)
def test_chinese_cues_govern_what_follows(query: str, expected: list[str]) -> None:
    assert governed(query) == expected


@pytest.mark.parametrize(
    "query",
    [
        "这款是不是红色",
        "no show socks women",
        "breast pump hands free",
        "region free dvd player",
        "carolyn brown kindle books free",
        "heavy bag free standing martial arts",
        "ck free for men",
        "no 10 nail brush",
        "michela wrong do not disturb",
        "that's not what i meant",
        "it isn't easy being green shirt",
        "any small, but red",
        "the one for whom food is not enough gorman",
        "watch the game not your phone tshirt",
        "not your mothers dry shampoo dark",
        "listen without prejudice shirt",
        "microsoft wireless mouse",
        "stainless steel mixing bowls",
        "samsung note 9 case",
        "no more than 50 dollars",
        "无线耳机",
        "不锈钢保温杯",
        "无人机",
        "without",
        "shoes, not",
        "free",
        "",
    ],
)
def test_names_slogans_and_limits_only_look_like_negations(query: str) -> None:
    assert governed(query) == []


def test_a_value_is_negated_where_half_of_it_is() -> None:
    query = "无袖连衣裙"
    spans = negated_spans(query)
    assert is_negated(spans, 1, 2)
    assert not is_negated(spans, 2, 5)


@pytest.mark.parametrize(
    ("query", "value", "left"),
    [
        ("dress anything but red", "but red", "red"),
        ("dress other than red", "than red", "red"),
        ("dress that isn't red", "isn", ""),
        ("shoes that aren't red", "aren't red", "red"),
        ("rug in any color except red", "color except red", "red"),
        ("dress any color but red", "color but red", "red"),
        ("不是红色的连衣裙", "是红色", "红色"),
        ("belt without buckle", "without buckle", "buckle"),
        ("non-slip mat", "non-slip", "non-slip"),
        ("sugar free gum", "sugar free", "sugar free"),
        ("shirt cotton not polyester", "cotton not polyester", "cotton not polyester"),
        ("rug not red, blue", "red, blue", "red, blue"),
        ("dress other than red", "dress", "dress"),
    ],
)
def test_a_value_is_left_without_the_cue_that_negates_it(query: str, value: str, left: str) -> None:
    start = query.index(value)
    first, last = without_cue(query, negated_spans(query), start, start + len(value))
    assert query[first:last] == left


CUED = st.lists(
    st.sampled_from(
        ["without", "no", "non-", "not", "free", "-free", "of", "or", "不", "无", "不含", ",", " ", "red", "糖"]
    )
    | st.text(max_size=5)
).map(" ".join)


@given(CUED | st.lists(st.sampled_from(["no", "free", " ", "-", "不"])).map("".join))
def test_spans_are_in_order_apart_and_inside_the_text(text: str) -> None:
    bounds = [bound for span in negated_spans(text) for bound in span]
    assert bounds == sorted(set(bounds))
    assert all(0 <= bound <= len(text) for bound in bounds)


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("not red or blue shirt", "shirt"),
        ("anything but black dress", "dress"),
        ("any color other than black dress", "any color dress"),
        ("dress that isn't red", "dress"),
        ("shoes that are not red", "shoes"),
        ("belt without buckle", "belt"),
        ("not machine washable", "washable"),
        ("除了红色以外的鞋", "鞋"),
        ("不是红色的连衣裙", "连衣裙"),
        ("无领白色T恤", "白色T恤"),
        ("without", "without"),
    ],
)
def test_something_is_left_that_a_query_asks_for(query: str, left: str) -> None:
    assert affirmed(query, asked_without(query)) == left


def test_a_text_denies_what_its_words_end_on_less_say() -> None:
    assert denied_words("Armless chair, not red", negated_spans("Armless chair, not red")) == ["red", "arm"]
    assert denied_words("stainless steel, unless blue", []) == []


@pytest.mark.parametrize(
    ("text", "kept_off"),
    [
        ("Anti-Slip Bath Mat", ["Slip"]),
        ("antislip mat, Antique brass", ["slip"]),
        ("Slip Resistant Shoe with tear-resistance", ["Slip", "tear"]),
        ("waterproof, shock-proof watch", ["water", "shock"]),
        ("odor control litter with remote control", ["odor"]),
        ("防滑浴室垫", ["滑"]),
        ("防蓝光眼镜 预防 防护", ["蓝光"]),
    ],
)
def test_a_product_tells_what_it_keeps_off(text: str, kept_off: list[str]) -> None:
    assert [text[start:end] for start, end in resisted_spans(text)] == kept_off


@pytest.mark.parametrize("part", ["not ", "free ", "不", "without no ", "-", " ", "İ not ", "free-"])
def test_of_a_long_text_the_beginning_is_read(part: str) -> None:
    assert all(end <= 2_000 for _, end in negated_spans((part * 10_000)[:10_000]))
