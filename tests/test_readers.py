"""Each public format, in a few lines as they really look, becomes the records that its documentation promises."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from model_export.names import QUERYNER_TYPES
from model_export.readers import APPLIES, READERS
from model_export.records import BadRecord, Record

ATTRIBUTES: list[dict[str, Any]] = [
    {"id": "color", "name": "Color", "values": ["Navy", "Red", "Other"], "extends": None},
    {"id": "frame_color", "name": "Frame color", "values": [], "extends": "color"},
    {"id": "assembly", "name": "Assembly notes", "values": [], "extends": None},
]
CATEGORIES: list[dict[str, Any]] = [
    {"id": "aa", "path": ["Apparel"], "attributes": []},
    {"id": "fr-1", "path": ["Furniture", "Shelving"], "attributes": ["color", "frame_color", "assembly"]},
    {"id": "fr-2", "path": ["Furniture", "Manuals"], "attributes": ["assembly"]},
]


def write_lines(path: Path, lines: list[dict[str, Any]]) -> Path:
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def read(reader: str, path: Path, seed: int = 7) -> list[Record]:
    return [record for _, record in READERS[reader](path, seed)]


def stated(record: Record) -> dict[str, list[str]]:
    """The words that state each attribute, for the attributes that are stated."""
    values = zip(record.attributes, record.values, strict=True)
    return {name: [record.query[start:end] for start, end in spans] for name, spans in values if spans}


def gains(record: Record) -> dict[str, float]:
    return dict(zip(record.attributes, record.gains, strict=True))


@pytest.fixture
def taxonomy(tmp_path: Path) -> Path:
    write_lines(tmp_path / "attributes.jsonl.gz", ATTRIBUTES)
    write_lines(tmp_path / "categories.jsonl.gz", CATEGORIES)
    return tmp_path


def queryner(folder: Path, tokens: str, labels: str) -> Record:
    line = {"tokens": tokens.split(), "labels": labels.split()}
    return read("queryner", write_lines(folder / "train.jsonl", [line]))[0]


def test_queryner_tags_become_spans_of_the_joined_query(tmp_path: Path) -> None:
    record = queryner(tmp_path, "white duvet cover queen", "B-color B-core_product_type I-core_product_type B-UoM")
    assert stated(record) == {"color": ["white"], "product type": ["duvet cover"], "size": ["queen"]}


def test_queryner_has_every_type_as_a_candidate(tmp_path: Path) -> None:
    assert queryner(tmp_path, "rug", "B-core_product_type").attributes == tuple(QUERYNER_TYPES.values())


def test_queryner_gives_gain_to_what_is_mentioned_alone(tmp_path: Path) -> None:
    record = queryner(tmp_path, "white rug", "B-color B-core_product_type")
    assert {name for name, gain in gains(record).items() if gain} == {"color", "product type"}


def test_queryner_says_of_a_type_without_words_that_none_are_there(tmp_path: Path) -> None:
    record = queryner(tmp_path, "rug", "B-core_product_type")
    assert record.values[record.attributes.index("color")] == ()


def test_queryner_words_outside_any_type_part_two_values(tmp_path: Path) -> None:
    assert stated(queryner(tmp_path, "red or blue", "B-color O B-color")) == {"color": ["red", "blue"]}


def test_queryner_begins_a_value_anew_at_every_b(tmp_path: Path) -> None:
    assert stated(queryner(tmp_path, "red blue", "B-color B-color")) == {"color": ["red", "blue"]}


def test_queryner_takes_an_inside_tag_after_another_type_as_a_beginning(tmp_path: Path) -> None:
    assert stated(queryner(tmp_path, "red wool", "B-color I-material")) == {"color": ["red"], "material": ["wool"]}


def test_titles_become_records_with_the_values_in_place(tmp_path: Path) -> None:
    line = {
        "input": "Crocs Women's Jayna Ballet Flat,Nautical Navy,4 M US",
        "category": "Shoes",
        "target_scores": {"Brand": {"Crocs": 1}, "Color": {"nautical navy": 1}, "Size": {"4 M US": 1}},
    }
    (record,) = read("titles", write_lines(tmp_path / "train.jsonl", [line]))
    assert stated(record) == {"Brand": ["Crocs"], "Color": ["Nautical Navy"], "Size": ["4 M US"]}


def title(folder: Path, text: str, value: str) -> Record:
    line = {"input": text, "category": "Lure", "target_scores": {"Size": {value: 1}}}
    return read("titles", write_lines(folder / "train.jsonl", [line]))[0]


def test_titles_give_no_gain_where_the_value_is_not_available(tmp_path: Path) -> None:
    record = title(tmp_path, "Spinner Bait n/a", "n/a")
    assert (record.gains, record.values) == ((0.0,), ((),))


def test_titles_prefer_a_value_at_word_borders(tmp_path: Path) -> None:
    assert title(tmp_path, "Small mall bag", "mall").values == (((6, 10),),)


def test_titles_give_a_stated_value_its_gain_also_where_nobody_knows_its_place(tmp_path: Path) -> None:
    record = title(tmp_path, "Spinner Bait", "large")
    assert (record.gains, record.values) == ((1.0,), (None,))


def test_titles_without_attributes_are_left_out(tmp_path: Path) -> None:
    line = {"input": "Spinner Bait", "category": "Lure", "target_scores": {}}
    assert read("titles", write_lines(tmp_path / "train.jsonl", [line])) == []


def test_taxonomy_asks_for_a_kind_with_its_curated_attributes(taxonomy: Path) -> None:
    assert read("taxonomy", taxonomy)[0] == Record(
        "shelving", ("color", "frame color", "assembly notes"), (1.0, 1.0, 1.0), (None, None, None)
    )


def test_taxonomy_leaves_out_kinds_without_attributes(taxonomy: Path) -> None:
    assert [record.query for record in read("taxonomy", taxonomy)] == ["shelving", "manuals"]


def test_taxonomy_values_compose_three_queries_for_each_kind_with_values(taxonomy: Path) -> None:
    assert [key for key, _ in READERS["taxonomy_values"](taxonomy, 7)] == ["shelving"] * 3


def test_taxonomy_values_state_the_kind_and_values_of_its_own(taxonomy: Path) -> None:
    allowed = {"color": {"navy", "red"}, "frame color": {"navy", "red"}, "product type": {"shelving"}}
    for record in read("taxonomy_values", taxonomy):
        assert all(set(words) <= allowed[name] for name, words in stated(record).items())


def test_taxonomy_values_are_taken_from_the_attribute_that_is_extended(taxonomy: Path) -> None:
    found = [stated(record) for seed in range(20) for record in read("taxonomy_values", taxonomy, seed)]
    assert {word for words in found for word in words.get("frame color", ())} == {"navy", "red"}


def test_taxonomy_values_never_state_that_it_is_another(taxonomy: Path) -> None:
    queries = [record.query for seed in range(20) for record in read("taxonomy_values", taxonomy, seed)]
    assert not any("other" in query for query in queries)


def test_taxonomy_values_give_all_gain_to_what_is_stated_and_some_to_what_applies(taxonomy: Path) -> None:
    for record in read("taxonomy_values", taxonomy):
        assert gains(record) == {name: 1.0 if name in stated(record) else APPLIES for name in record.attributes}


def test_taxonomy_values_are_every_word_of_their_query(taxonomy: Path) -> None:
    for record in read("taxonomy_values", taxonomy):
        words = [word for found in stated(record).values() for word in found]
        assert sorted(" ".join(words).split()) == sorted(record.query.split())


def test_taxonomy_values_are_the_same_for_the_same_seed(taxonomy: Path) -> None:
    assert read("taxonomy_values", taxonomy, 3) == read("taxonomy_values", taxonomy, 3)


def test_our_own_form_is_read_with_the_query_as_the_key(tmp_path: Path) -> None:
    line = {"query": "red rug", "attributes": ["color"], "gains": [1], "values": [["red"]]}
    file = write_lines(tmp_path / "shop.jsonl", [line])
    assert list(READERS["jsonl"](file, 7)) == [("red rug", Record("red rug", ("color",), (1.0,), (((0, 3),),)))]


@pytest.mark.parametrize("reader", ["queryner", "titles"])
def test_a_line_that_is_not_json_is_named_with_its_file_and_number(tmp_path: Path, reader: str) -> None:
    (tmp_path / "train.jsonl").write_text("{\n", encoding="utf-8")
    with pytest.raises(BadRecord, match=r"train\.jsonl, line 1: not JSON"):
        read(reader, tmp_path / "train.jsonl")


# Fails: KeyError in place of BadRecord, when a file of another format is given to a reader.
@pytest.mark.parametrize("reader", ["queryner", "titles"])
def test_a_line_of_another_format_is_named_with_its_file_and_number(tmp_path: Path, reader: str) -> None:
    file = write_lines(tmp_path / "train.jsonl", [{"query": "red rug"}])
    with pytest.raises(BadRecord, match=r"train\.jsonl, line 1"):
        read(reader, file)
