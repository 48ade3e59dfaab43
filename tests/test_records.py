"""The record's file form: what is read is what was meant, and what is not a record is refused by its line."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_export import records
from model_export.records import BadRecord, Product, Record
from service.api.schemas import MAX_ATTRIBUTES

LINE: dict[str, Any] = {"query": "red wool rug", "attributes": ["color", "price"], "gains": [1, 0]}
PRODUCT: dict[str, Any] = {"gain": 1, "title": "Berber runner", "values": ["red", None]}
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(str.strip)


@st.composite
def whole_records(draw: st.DrawFn) -> Record:
    query = draw(TEXTS)
    names = draw(st.lists(TEXTS, min_size=1, max_size=4, unique=True))
    starts = st.integers(0, len(query) - 1)
    span = starts.flatmap(lambda start: st.tuples(st.just(start), st.integers(start + 1, len(query))))
    numbers = st.floats(0, 1e6)
    product = st.builds(Product, numbers, TEXTS, st.tuples(*(st.none() | TEXTS for _ in names)))
    return Record(
        query,
        tuple(names),
        tuple(draw(numbers) for _ in names),
        tuple(draw(st.none() | st.lists(span, max_size=3).map(tuple)) for _ in names),
        draw(numbers),
        tuple(draw(st.lists(product, max_size=3))),
    )


def test_a_value_given_as_words_stands_where_the_query_has_them() -> None:
    record = records.parse(LINE | {"values": [["red", "wool rug"], []]})
    assert record.values == (((0, 3), (4, 12)), ())


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("Small mall bag", "mall", "mall bag"),
        ("Mallorca small mall", "mall", "mall"),
        ("Red WOOL rug", "wool", "WOOL rug"),
        ("rug 10pcs", "10", "10pcs"),
        ("C++ book", "c++", "C++ book"),
        ("红色羊毛地毯", "羊毛", "羊毛地毯"),
        ("İstanbul rug", "rug", "rug"),
        ("16GB内存笔记本", "16GB", "16GB内存笔记本"),
        ("内存16GB笔记本", "16GB", "16GB笔记本"),
    ],
)
def test_a_value_is_found_at_the_borders_of_words_whatever_its_case(text: str, value: str, expected: str) -> None:
    found = records.find_value(text, value)
    assert found is not None and text[found[0] :] == expected


@pytest.mark.parametrize("text", ["merinowool rug", "cotton rug", ""])
def test_a_value_that_begins_no_word_is_not_found(text: str) -> None:
    assert records.find_value(text, "wool") is None


def test_a_value_given_by_offsets_is_taken_as_it_is() -> None:
    assert records.parse(LINE | {"values": [[[4, 8]], []]}).values == (((4, 8),), ())


def test_offsets_count_code_points() -> None:
    line = {"query": "🧶 羊毛 rug", "attributes": ["material"], "gains": [1], "values": [["羊毛"]]}
    assert records.parse(line).values == (((2, 4),),)


def test_values_left_out_are_unknown() -> None:
    assert records.parse(LINE).values == (None, None)


def test_a_value_of_null_is_unknown_and_an_empty_list_is_not() -> None:
    assert records.parse(LINE | {"values": [None, []]}).values == (None, ())


def test_a_weight_left_out_is_one() -> None:
    assert records.parse(LINE).weight == 1.0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"query": "  "}, "'query'"),
        ({"query": 7}, "'query'"),
        ({"attributes": []}, "'attributes'"),
        ({"attributes": ["color", 7]}, "'attributes'"),
        ({"attributes": ["color", " "]}, "names that are not blank"),
        ({"valeus": [[], []]}, "'valeus' is no field of a record"),
        ({"products": [PRODUCT | {"id": 7}]}, "'id' is no field of a product"),
        ({"attributes": ["color", "color"]}, "twice"),
        ({"gains": [1]}, "'gains'"),
        ({"gains": [1, -1]}, "'gains'"),
        ({"gains": [1, math.nan]}, "'gains'"),
        ({"gains": [True, 0]}, "'gains'"),
        ({"gains": None}, "'gains'"),
        ({"values": [[]]}, "'values'"),
        ({"values": [["blue"], []]}, "'blue' does not stand in the query"),
        ({"values": [[""], []]}, "a value must be words"),
        ({"values": [[[4, 13]], []]}, "[4, 13]"),
        ({"values": [[[4, 4]], []]}, "[4, 4]"),
        ({"values": [[[-1, 4]], []]}, "[-1, 4]"),
        ({"weight": -1}, "'weight'"),
        ({"weight": None}, "'weight'"),
        ({"values": ["red", []]}, "'values'"),
        ({"values": [4, []]}, "'values'"),
        ({"products": {}}, "'products'"),
        ({"products": ["rug"]}, "'products'"),
        ({"products": [PRODUCT | {"gain": -1}]}, "the 'gain' of a product"),
        ({"products": [PRODUCT | {"gain": None}]}, "the 'gain' of a product"),
        ({"products": [PRODUCT | {"title": " "}]}, "the 'title' of a product"),
        ({"products": [PRODUCT | {"values": ["red"]}]}, "the 'values' of a product"),
        ({"products": [PRODUCT | {"values": ["red", 7]}]}, "the 'values' of a product"),
        ({"gains": [10**400, 0]}, "'gains'"),
    ],
)
def test_what_is_not_a_record_is_refused_by_name(change: dict[str, Any], named: str) -> None:
    with pytest.raises(BadRecord) as refusal:
        records.parse(LINE | change)
    assert named in str(refusal.value)


def test_products_have_one_value_or_none_for_each_attribute() -> None:
    assert records.parse(LINE | {"products": [PRODUCT]}).products == (Product(1.0, "Berber runner", ("red", None)),)


def test_products_left_out_are_none() -> None:
    assert records.parse(LINE).products == () and "products" not in records.dump(records.parse(LINE))


def test_a_record_may_teach_through_its_products_alone() -> None:
    record = records.parse(LINE | {"gains": [0, 0], "products": [PRODUCT]})
    assert record.products and not record.ranks


@pytest.mark.parametrize(("gains", "expected"), [((1, 0), True), ((1, 1), False), ((0, 0), False), ((1,), False)])
def test_a_record_ranks_when_some_candidates_have_a_gain_and_some_have_none(
    gains: tuple[float, ...], expected: bool
) -> None:
    names = tuple(f"attribute {number}" for number in range(len(gains)))
    assert Record("rug", names, gains, (None,) * len(gains)).ranks == expected


@settings(deadline=None)
@given(record=whole_records())
def test_a_record_survives_its_json_form(record: Record) -> None:
    assert records.parse(json.loads(json.dumps(records.dump(record)))) == record


@settings(deadline=None)
@given(record=whole_records())
def test_parse_undoes_dump(record: Record) -> None:
    assert records.parse(records.dump(record)) == record


def test_a_file_is_read_in_its_order_without_its_empty_lines(tmp_path: Path) -> None:
    file = tmp_path / "shop.jsonl"
    lines = [json.dumps(LINE | {"query": query}) for query in ("red rug", "blue rug")]
    file.write_text("\n" + "\n \n".join(lines) + "\n", encoding="utf-8")
    assert [record.query for record in records.read(file)] == ["red rug", "blue rug"]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    written = [Record("红色羊毛地毯", ("颜色", "材质"), (1.0, 0.5), (((0, 2),), None), 2.0)]
    records.write(tmp_path / "shop.jsonl", written)
    assert list(records.read(tmp_path / "shop.jsonl")) == written


def test_a_file_is_replaced_when_all_of_it_is_written(tmp_path: Path) -> None:
    path, record = tmp_path / "new/shop.jsonl", records.parse(LINE)
    records.write(path, [record])

    def broken() -> Iterator[Record]:
        yield from (record, record)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        records.write(path, broken())
    assert list(records.read(path)) == [record]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "shop.jsonl").mkdir()
    with pytest.raises(BadRecord, match=r"shop\.jsonl was not written: .*directory"):
        records.write(tmp_path / "shop.jsonl", [records.parse(LINE)])


def test_writing_tells_how_many_records_there_were(tmp_path: Path) -> None:
    assert records.write(tmp_path / "shop.jsonl", [records.parse(LINE)] * 3) == 3


@pytest.mark.parametrize("bad", ["{", "[]", '"rug"', "{}"])
def test_a_bad_line_is_named_with_its_file_and_number(tmp_path: Path, bad: str) -> None:
    file = tmp_path / "shop.jsonl"
    file.write_text(f"{json.dumps(LINE)}\n\n{bad}\n", encoding="utf-8")
    with pytest.raises(BadRecord, match=r"shop\.jsonl, line 3: "):
        list(records.read(file))


def test_a_file_in_another_encoding_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "shop.jsonl"
    file.write_bytes(json.dumps(LINE | {"query": "crème rug"}, ensure_ascii=False).encode("latin-1"))
    with pytest.raises(BadRecord, match=r"shop\.jsonl"):
        list(records.read(file))


def test_a_record_has_no_more_attributes_than_a_request_may_have() -> None:
    names = [f"name {n}" for n in range(MAX_ATTRIBUTES + 1)]
    fits = {"query": "rug", "attributes": names[:-1], "gains": [1] * MAX_ATTRIBUTES}
    assert len(records.parse(fits).attributes) == MAX_ATTRIBUTES
    with pytest.raises(BadRecord, match="'attributes' names 257, allowed are 256"):
        records.parse({"query": "rug", "attributes": names, "gains": [1] * len(names)})
