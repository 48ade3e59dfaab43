"""Each public format, in a few lines as they really look, becomes the records that its documentation promises."""

import gzip
import json
from pathlib import Path
from typing import Any, get_args

import pytest

from model_export.config import Source
from model_export.names import PRODUCT_TYPE, QUERYNER_TYPES
from model_export.readers import READERS
from model_export.readers.taxonomy_values import APPLIES
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


def keyed(reader: str, path: Path, seed: int = 7, **options: Any) -> list[tuple[str, Record]]:
    source = {"reader": reader, "train": path, "licence": "CC0-1.0", "rate": 1}
    return list(READERS[reader](path, Source.model_validate(source | options), seed))


def read(reader: str, path: Path, seed: int = 7, **options: Any) -> list[Record]:
    return [record for _, record in keyed(reader, path, seed, **options)]


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
    assert [key for key, _ in keyed("taxonomy_values", taxonomy)] == ["shelving"] * 3


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


# Lines of the zh-CN names as they are, but for "manuals".
NAMES_ZH: dict[str, dict[str, str]] = {
    "attributes": {"color": "颜色", "assembly": "组装说明"},
    "categories": {"fr-1": "搁架"},
    "values": {"color__red": "红酒", "color__other": "其他"},
}


@pytest.fixture
def zh(taxonomy: Path) -> Path:
    (taxonomy / "names.zh-CN.json.gz").write_bytes(gzip.compress(json.dumps(NAMES_ZH).encode()))
    return taxonomy


def test_taxonomy_in_another_language_is_kept_aside_by_its_english_kind(zh: Path) -> None:
    (only,) = keyed("taxonomy", zh, language="zh-CN")
    assert (only[0], only[1].query) == ("shelving", "搁架")


def test_taxonomy_names_without_a_translation_stay_english(zh: Path) -> None:
    assert read("taxonomy", zh, language="zh-CN")[0].attributes == ("颜色", "frame color", "组装说明")


def test_taxonomy_names_stay_english_for_the_share_that_is_asked_for(zh: Path) -> None:
    (record,) = read("taxonomy", zh, language="zh-CN", english_names=1)
    assert (record.query, record.attributes) == ("搁架", ("color", "frame color", "assembly notes"))


def test_taxonomy_values_that_are_translated_wrong_are_mended(zh: Path) -> None:
    found = [stated(record) for seed in range(20) for record in read("taxonomy_values", zh, seed, language="zh-CN")]
    assert {word for values in found for word in values.get("颜色", ())} == {"红色", "藏青色"}


def test_taxonomy_values_without_a_translation_are_left_out(zh: Path) -> None:
    (zh / "names.zh-CN.json.gz").rename(zh / "names.zh-TW.json.gz")
    found = [stated(record) for seed in range(20) for record in read("taxonomy_values", zh, seed, language="zh-TW")]
    assert {word for values in found for word in values.get("颜色", ())} == {"紅色"}


def test_taxonomy_values_of_scripts_without_spaces_come_with_and_without(zh: Path) -> None:
    found = [read("taxonomy_values", zh, seed, language="zh-CN") for seed in range(20)]
    queries = {record.query for batch in found for record in batch}
    assert {"红色搁架", "红色 搁架"} <= queries


def test_taxonomy_values_between_latin_letters_always_have_a_space(zh: Path) -> None:
    names = NAMES_ZH | {"categories": {"fr-1": "DVD"}, "values": {"color__navy": "Navy"}}
    (zh / "names.zh-TW.json.gz").write_bytes(gzip.compress(json.dumps(names).encode()))
    found = [record.query for seed in range(20) for record in read("taxonomy_values", zh, seed, language="zh-TW")]
    assert "navy dvd" in found and not {"navydvd", "dvdnavy"} & set(found)


def test_taxonomy_values_name_the_product_type_as_they_name_the_rest(zh: Path) -> None:
    for share, name in ((0, "产品类型"), (1, "product type")):
        assert all(name in r.attributes for r in read("taxonomy_values", zh, language="zh-CN", english_names=share))


def test_every_language_of_a_source_has_its_word_for_product_type() -> None:
    assert set(PRODUCT_TYPE) == set(get_args(Source.model_fields["language"].annotation))


def test_a_language_whose_names_are_not_there_is_refused_by_its_file(taxonomy: Path) -> None:
    with pytest.raises(BadRecord, match=r"names\.ja\.json\.gz"):
        read("taxonomy", taxonomy, language="ja")


def test_our_own_form_is_read_with_the_query_as_the_key(tmp_path: Path) -> None:
    line = {"query": "red rug", "attributes": ["color"], "gains": [1], "values": [["red"]]}
    file = write_lines(tmp_path / "shop.jsonl", [line])
    assert keyed("jsonl", file) == [("red rug", Record("red rug", ("color",), (1.0,), (((0, 3),),)))]


@pytest.mark.parametrize("reader", ["queryner", "titles"])
def test_a_line_that_is_not_json_is_named_with_its_file_and_number(tmp_path: Path, reader: str) -> None:
    (tmp_path / "train.jsonl").write_text("{\n", encoding="utf-8")
    with pytest.raises(BadRecord, match=r"train\.jsonl, line 1: not JSON"):
        read(reader, tmp_path / "train.jsonl")


@pytest.mark.parametrize("reader", ["queryner", "titles"])
def test_a_line_of_another_format_is_named_with_its_file_and_number(tmp_path: Path, reader: str) -> None:
    file = write_lines(tmp_path / "train.jsonl", [{"query": "red rug"}])
    with pytest.raises(BadRecord, match=r"train\.jsonl, line 1"):
        read(reader, file)


@pytest.mark.parametrize(
    ("reader", "name"), [("queryner", "train.jsonl"), ("titles", "train.jsonl.gz"), ("jsonl", "train.jsonl")]
)
def test_a_byte_that_is_no_utf_8_is_named_with_its_file_and_line(tmp_path: Path, reader: str, name: str) -> None:
    broken = b'{"tokens": ["\xff"]}\n'
    (tmp_path / name).write_bytes(gzip.compress(broken) if name.endswith("gz") else broken)
    with pytest.raises(BadRecord, match=r"train\.jsonl(\.gz)?, line 1: .*codec can't decode"):
        read(reader, tmp_path / name)


@pytest.mark.parametrize("content", [gzip.compress(b"{}")[:-9], b"no gzip"], ids=["cut", "none"])
def test_a_file_that_is_no_whole_gzip_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "train.jsonl.gz").write_bytes(content)
    with pytest.raises(BadRecord, match=r"train\.jsonl\.gz is not a whole gzip file"):
        read("titles", tmp_path / "train.jsonl.gz")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ({"tokens": ["red", "rug"], "labels": ["B-color"]}, "'labels' must hold one label for each token"),
        ({"tokens": ["red"], "labels": "O"}, "'labels' must hold one label"),
        ({"tokens": ["red"], "labels": ["B-Color"]}, "'B-Color' is no label"),
        ({"tokens": ["red"], "labels": ["color"]}, "'color' is no label"),
        ({"tokens": ["red"], "labels": [None]}, "None is no label"),
        ({"tokens": [], "labels": []}, "'tokens' must be a list of words"),
        ({"tokens": [1], "labels": ["O"]}, "'tokens' must be a list of words"),
    ],
)
def test_queryner_lines_whose_labels_are_none_are_refused_by_their_line(
    tmp_path: Path, line: dict[str, Any], told: str
) -> None:
    good = {"tokens": ["red"], "labels": ["B-color"]}
    with pytest.raises(BadRecord, match=rf"train\.jsonl, line 2: {told}"):
        read("queryner", write_lines(tmp_path / "train.jsonl", [good, line]))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ({"input": "Lure", "target_scores": ["Size"]}, "'target_scores' must be an object"),
        ({"input": "Lure", "target_scores": {"Size": "large"}}, "'target_scores' must be an object"),
        ({"input": None, "target_scores": {}}, "'input' must be a title"),
    ],
)
def test_titles_of_another_form_are_refused_by_their_line(tmp_path: Path, line: dict[str, Any], told: str) -> None:
    with pytest.raises(BadRecord, match=rf"train\.jsonl, line 1: {told}"):
        read("titles", write_lines(tmp_path / "train.jsonl", [line]))
