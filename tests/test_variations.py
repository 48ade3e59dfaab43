"""Variations: what changes leaves every label on the words and the candidate that it was for."""

import random
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import NAMES

from model_export.config import Source
from model_export.examples import NamePool, Names
from model_export.records import Record, Span
from model_export.spellings import AROUND, SPELLINGS
from model_export.variations import misspelled, spelling, spoiled, thinned, varied

WORDS = st.lists(st.sampled_from(["red", "wool", "cotton", "rug", "2x8", "größe", "羊毛"]), min_size=1, max_size=8)


@settings(deadline=None)
@given(name=st.sampled_from(sorted(SPELLINGS)), share=st.floats(0, 1), seed=st.integers())
def test_a_spelling_is_the_name_or_one_that_is_written_down(name: str, share: float, seed: int) -> None:
    assert spelling(name, random.Random(seed), share) in {name, *decorated(SPELLINGS[name])}


def decorated(names: Iterable[str]) -> set[str]:
    """The names as they are and, if English, with whatever may stand around them."""
    return {form.format(name) for name in names for form in ("{}", *(AROUND if name.isascii() else ()))}


def test_a_name_is_spelled_otherwise_as_often_as_is_asked_for() -> None:
    draw = random.Random(3)
    assert [spelling("Color", draw, 0.25) for _ in range(1000)].count("Color") == pytest.approx(750, abs=50)


def test_a_name_without_other_spellings_stays() -> None:
    draw = random.Random(3)
    assert {spelling("tempo", draw, 1.0) for _ in range(500)} == decorated(["tempo"])


def test_nothing_stands_around_a_name_that_keeps_its_spelling_nor_around_a_chinese_one() -> None:
    draw = random.Random(3)
    assert {spelling("tempo", draw, 0.0) for _ in range(500)} == {"tempo"}
    assert {spelling("速度", draw, 1.0) for _ in range(500)} == {"速度"}


@st.composite
def stating(draw: st.DrawFn) -> Record:
    """A query of words and, for four attributes, runs of its characters that do not end in the air."""
    words = draw(WORDS)
    query = " ".join(words)
    borders = st.integers(0, len(query) - 1).flatmap(
        lambda start: st.tuples(st.just(start), st.integers(start + 1, len(query)))
    )
    spans = borders.filter(lambda span: query[slice(*span)].strip() == query[slice(*span)])
    values = [draw(st.none() | st.lists(spans, max_size=2).map(tuple)) for _ in NAMES]
    return Record(query, NAMES, (4.0, 3.0, 2.0, 1.0), tuple(values))


def texts(record: Record, index: int) -> list[str]:
    return [record.query[start:end] for start, end in record.values[index] or ()]


@settings(deadline=None)
@given(record=stating(), seed=st.integers())
def test_every_value_of_a_thinned_query_is_part_of_the_value_it_was(record: Record, seed: int) -> None:
    thin = thinned(record, random.Random(seed))
    for index in range(len(NAMES)):
        assert all(any(text in was for was in texts(record, index)) and text for text in texts(thin, index))


@settings(deadline=None)
@given(record=stating(), seed=st.integers())
def test_a_thinned_query_has_some_of_the_words_in_their_order(record: Record, seed: int) -> None:
    left = iter(record.query.split())
    words = thinned(record, random.Random(seed)).query.split()
    assert words and all(word in left for word in words)


@settings(deadline=None)
@given(record=stating(), seed=st.integers())
def test_what_nobody_knows_stays_unknown_in_a_thinned_query(record: Record, seed: int) -> None:
    thin = thinned(record, random.Random(seed))
    assert [spans is None for spans in thin.values] == [spans is None for spans in record.values]


@settings(deadline=None)
@given(record=stating(), seed=st.integers())
def test_a_value_that_goes_takes_its_gain_with_it(record: Record, seed: int) -> None:
    thin = thinned(record, random.Random(seed))
    for index, was in enumerate(record.values):
        assert thin.gains[index] == (0 if was and not thin.values[index] else record.gains[index])


@settings(deadline=None)
@given(record=stating(), seed=st.integers())
def test_a_value_whose_words_all_stay_is_still_stated(record: Record, seed: int) -> None:
    thin = thinned(record, random.Random(seed))
    if thin.query == record.query:
        assert thin.values == record.values


@settings(deadline=None)
@given(record=stating(), seed=st.integers())
def test_a_misspelled_query_states_every_value_with_the_same_words(record: Record, seed: int) -> None:
    wrong = misspelled(record, random.Random(seed))
    assert [stated_words(wrong, spans) for spans in wrong.values] == [
        stated_words(record, spans) for spans in record.values
    ]


def stated_words(record: Record, spans: tuple[Span, ...] | None) -> list[list[int]] | None:
    """For each span the places, among the query's words, of those that it touches."""
    words = [found.span() for found in re.finditer(r"\S+", record.query)]
    if spans is None:
        return None
    return [[i for i, (a, b) in enumerate(words) if a < end and b > start] for start, end in spans]


@settings(deadline=None)
@given(record=stating(), seed=st.integers())
def test_a_value_that_is_whole_words_is_so_in_a_misspelled_query(record: Record, seed: int) -> None:
    whole = tuple(tuple(found.span() for found in re.finditer(r"\S+", record.query)) for _ in NAMES)
    wrong = misspelled(Record(record.query, NAMES, record.gains, whole), random.Random(seed))
    assert texts(wrong, 0) == wrong.query.split()


@settings(deadline=None)
@given(record=stating(), seed=st.integers())
def test_misspelling_changes_at_most_one_latin_word_and_never_its_first_letter(record: Record, seed: int) -> None:
    was, now = record.query.split(), misspelled(record, random.Random(seed)).query.split()
    changed = [(one, other) for one, other in zip(was, now, strict=True) if one != other]
    assert len(changed) <= 1
    assert all(len(one) >= 4 and one[0] == other[0] and abs(len(one) - len(other)) <= 1 for one, other in changed)


def test_every_kind_of_typing_error_comes() -> None:
    record, draw = Record("cotton", ("color",), (1.0,), (None,)), random.Random(3)
    lengths = Counter(len(misspelled(record, draw).query) for _ in range(400))
    assert set(lengths) == {5, 6, 7} and lengths[6] > lengths[5]


def test_short_words_and_other_scripts_are_never_misspelled() -> None:
    record = Record("red 2x8 größe 羊毛地毯", ("color",), (1.0,), (None,))
    assert {misspelled(record, random.Random(seed)).query for seed in range(50)} == {record.query}


def test_a_latin_word_between_chinese_ones_may_be_misspelled() -> None:
    record = Record("红色nike跑鞋", ("color", "type"), (1.0, 1.0), (((0, 2),), ((6, 8),)))
    for seed in range(50):
        wrong = misspelled(record, random.Random(seed))
        assert (texts(wrong, 0), texts(wrong, 1)) == (["红色"], ["跑鞋"])


LABELLED = Record("red wool rug", NAMES, (4.0, 3.0, 0.0, 0.0), (((0, 3),), ((4, 8),), (), None))


@settings(deadline=None)
@given(seed=st.integers())
def test_spoiling_deals_the_labels_out_anew_and_keeps_their_pairs(seed: int) -> None:
    found = spoiled(LABELLED, random.Random(seed))
    assert (found.query, found.attributes) == (LABELLED.query, LABELLED.attributes)
    pairs = [Counter(zip(each.gains, each.values, strict=True)) for each in (found, LABELLED)]
    assert pairs[0] == pairs[1]


def test_spoiling_gives_every_attribute_every_label() -> None:
    assert {spoiled(LABELLED, random.Random(seed)).gains[0] for seed in range(50)} == {4.0, 3.0, 0.0}


# Names that are known under no other spelling, so that what a translation becomes is the translation.
OTHERS = Names(
    {"en": NamePool({f"other {number}": 1 for number in range(9)}, {})},
    {"zh-CN": {"color": "第一", "material": "第二", "hue": "第一"}, "de": {"color": "erstes", "material": "zweites"}},
)
RUG = Record("red wool rug", ("color", "material", "size", "hue"), (3.0, 2.0, 1.0, 0.0), (((0, 3),), ((4, 8),), (), ()))


def source(**options: Any) -> Source:
    return Source.model_validate(
        {"reader": "jsonl", "train": "unread", "licence": "CC0-1.0", "rate": 1, "others": 0} | options
    )


@settings(deadline=None)
@given(
    seed=st.integers(),
    others=st.integers(0, 5),
    candidates=st.integers(2, 9),
    translated=st.sampled_from([0.0, 0.5, 1.0]),
    drop_words=st.sampled_from([0.0, 1.0]),
    misspell=st.sampled_from([0.0, 1.0]),
)
def test_every_candidate_tells_which_attribute_of_the_record_it_was(
    seed: int, others: int, candidates: int, translated: float, drop_words: float, misspell: float
) -> None:
    options = source(others=others, candidates=candidates, translated=translated, drop_words=drop_words)
    found = varied(RUG, options, OTHERS, random.Random(seed), misspell=misspell)
    assert len(found.origins) == len(found.record.attributes) <= candidates
    known = [origin for origin in found.origins if origin is not None]
    assert len(set(known)) == len(known)
    for name, gain, origin in zip(found.record.attributes, found.record.gains, found.origins, strict=True):
        if origin is None:
            assert name in decorated([f"other {number}" for number in range(9)]) and gain == 0
        else:
            assert name in meanings(RUG.attributes[origin])
            assert gain == RUG.gains[origin] or (drop_words and gain == 0)


def meanings(name: str) -> set[str]:
    """Everything that an attribute of these tests may be called."""
    foreign = {names[name] for names in OTHERS.translations.values() if name in names}
    return {name} | decorated(foreign | set(SPELLINGS.get(name, (name,))))


def test_of_two_attributes_that_come_to_one_name_the_first_stays() -> None:
    options = source(translated=1.0)
    found = [varied(RUG, options, OTHERS, random.Random(seed)) for seed in range(50)]
    chinese = [each for each in found if "第一" in each.record.attributes]
    places = {each.origins[each.record.attributes.index("第一")] for each in chinese}
    assert places == {0}


def test_a_translated_record_has_its_names_in_one_language() -> None:
    draws = map(random.Random, range(50))
    found = [varied(RUG, source(translated=1.0), OTHERS, draw, respell=0.0).record for draw in draws]
    languages = [{"第一", "第二"} & set(record.attributes) or {"erstes", "zweites"} for record in found]
    assert all(names <= set(record.attributes) for names, record in zip(languages, found, strict=True))
    assert {frozenset(names) for names in languages} == {frozenset({"第一", "第二"}), frozenset({"erstes", "zweites"})}


def test_names_without_a_translation_stay() -> None:
    found = varied(RUG, source(translated=1.0), OTHERS, random.Random(3)).record.attributes
    assert set(found) & meanings("size")


def test_records_are_translated_as_often_as_is_asked_for() -> None:
    draw, options = random.Random(3), source(translated=0.25)
    found = [varied(RUG, options, OTHERS, draw).record.attributes for _ in range(800)]
    assert sum(bool({"第一", "erstes"} & set(names)) for names in found) == pytest.approx(200, abs=40)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_records_are_respelled_as_often_as_is_asked_for(share: float) -> None:
    record, draw = Record("red rug", ("color",), (1.0,), (None,)), random.Random(3)
    found = [varied(record, source(), OTHERS, draw, respell=share).record.attributes for _ in range(800)]
    kept = sum("color" in names for names in found) / 800
    # A record that is to be respelled keeps a name in a quarter of the cases, or where "color" itself is drawn.
    assert kept == pytest.approx(1 - 0.75 * share, abs=0.05)


def test_queries_are_misspelled_as_often_as_is_asked_for() -> None:
    draw, record = random.Random(3), Record("cotton shirt", ("color",), (1.0,), (None,))
    found = [varied(record, source(), OTHERS, draw, misspell=0.25).record.query for _ in range(800)]
    assert sum(query != record.query for query in found) == pytest.approx(200, abs=45)


def test_others_come_in_the_language_of_the_source() -> None:
    pools = {
        "en": NamePool({"price": 1}, {"color": frozenset()}),
        "zh-CN": NamePool({"价格": 1}, {"颜色": frozenset()}),
    }
    record = Record("红色地毯", ("颜色",), (1.0,), (None,))
    found = varied(record, source(others=1, language="zh-CN"), Names(pools, {}), random.Random(3)).record
    assert set(found.attributes) == {"颜色", "价格"}


def test_others_come_in_english_where_the_names_are_english() -> None:
    pools = {
        "en": NamePool({"price": 1}, {"color": frozenset()}),
        "zh-CN": NamePool({"价格": 1}, {"颜色": frozenset()}),
    }
    record = Record("红色地毯", ("shape",), (1.0,), (None,))
    known = Names({"en": NamePool({"price": 1}, {"shape": frozenset()}), "zh-CN": pools["zh-CN"]}, {})
    found = varied(record, source(others=1, language="zh-CN"), known, random.Random(3)).record
    assert set(found.attributes) == {"shape", "price"}
