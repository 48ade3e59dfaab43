"""A catalogue's gaps filled: by what, what is left alone, how a run goes on, what is told of it."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from model_export import products
from model_export.__main__ import main
from model_export.filling.reading import Reader
from model_export.filling.running import PART, Job, run
from model_export.filling.survey import survey
from model_export.filling.tally import MOST_SHOWN, Tally, table
from model_export.records import BadRecord
from model_export.stage import StageFailed
from service.bundle import Bundle
from service.model import Model
from service.text import Tokenizer

GUITAR: dict[str, Any] = {
    "id": "B00OJHISTK",
    "title": "Glen Burton GA204BCO-BK Acoustic Electric Cutaway Guitar Blue",
    "attributes": {"brand": "Glen Burton Guitars", "color": None},
    "rating": 4.50,
}
HOODIE: dict[str, Any] = {
    "id": "B075XH7C6K",
    "title": "GRACE KARIN Women's Zip-up Hoodie Sweatshirt Jackets Black Size L CL612-1",
    "attributes": {"brand": " ", "size": None},
}
FLAT: dict[str, Any] = {
    "id": 3,
    "title": "Crocs Women's Jayna Ballet Flat,Nautical Navy,4 M US",
    "text": "A ballet flat with a footbed of soft leather.",
    "attributes": {"材质": None, "pairs": 0},
    "category": ["Shoes"],
}
THREE = (GUITAR, HOODIE, FLAT)
VERSION = "0123456789ab"
NAMES = ("brand", "color", "material")


@pytest.fixture(scope="session")
def reader(model: Model, tokenizer: Tokenizer, bundle: Bundle) -> Reader:
    """The shipped bundle's."""
    return Reader(model, tokenizer, bundle.value_threshold, threads=2)


def job(folder: Path, lines: Sequence[dict[str, Any]] = THREE, **options: Any) -> Job:
    """To fill these lines; `NAMES` unless others are given."""
    catalogue = folder / "in.jsonl"
    catalogue.write_bytes(b"".join(map(products.dump, lines)))
    return Job(catalogue, folder / "out.jsonl", **({"attributes": NAMES} | options))


def written(done: Job) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.out.read_bytes().splitlines()]


def test_what_titles_and_texts_state_is_filled_and_marked(tmp_path: Path, reader: Reader) -> None:
    done = job(tmp_path)
    run(done, VERSION, reader)
    guitar, hoodie, flat = written(done)
    assert guitar["attributes"] == {"brand": "Glen Burton Guitars", "color": "Blue"}
    assert hoodie["attributes"] == {"brand": "GRACE KARIN", "size": None, "color": "Black"}
    assert flat["attributes"] == {
        "材质": None, "pairs": 0, "brand": "Crocs", "color": "Nautical Navy", "material": "leather",
    }  # fmt: skip
    assert {name: mark["field"] for name, mark in flat["filled"].items()} == {
        "brand": "title", "color": "title", "material": "text",
    }  # fmt: skip
    for product in (guitar, hoodie, flat):
        for name, mark in product["filled"].items():
            assert product[mark["field"]][mark["start"] : mark["end"]] == mark["text"] == product["attributes"][name]


def test_values_are_those_of_the_service(tmp_path: Path, reader: Reader, client: TestClient) -> None:
    done = job(tmp_path, [product | {"attributes": {}} for product in THREE])
    run(done, VERSION, reader)
    for product in written(done):
        body = {"text": product["title"], "attributes": list(NAMES)}
        for answer in client.post("/v1/extract", json=body).json()["attributes"]:
            best = max(answer["values"], key=lambda value: value["confidence"], default=None)
            mark = product["filled"].get(answer["attribute"], {"field": "text"})
            assert (best is not None) == (mark["field"] == "title")
            if best:
                assert [mark[name] for name in ("text", "start", "end")] == [best["text"], best["start"], best["end"]]
                assert mark["confidence"] == pytest.approx(best["confidence"], abs=2e-3)


def test_nothing_else_of_a_product_changes(tmp_path: Path, reader: Reader) -> None:
    mark = {"confidence": 0.9, "by": "an earlier run"}
    kept = HOODIE | {"attributes": {"brand": 0, "color": False, "material": [], "size": None}, "filled": {"size": mark}}
    done = job(tmp_path, [kept, GUITAR])
    run(done, VERSION, reader)
    left, guitar = written(done)
    assert left == kept
    assert guitar == GUITAR | {"attributes": guitar["attributes"], "filled": guitar["filled"]}
    assert list(guitar["filled"]) == ["color"]


def test_marks_of_an_earlier_run_stay(tmp_path: Path, reader: Reader) -> None:
    mark = {"value": "Guitars", "confidence": 0.9}
    done = job(tmp_path, [GUITAR | {"filled": {"brand": mark}}])
    run(done, VERSION, reader)
    (guitar,) = written(done)
    assert guitar["filled"]["brand"] == mark
    assert set(guitar["filled"]) == {"brand", "color"}


NOT_RED: dict[str, Any] = {"id": 1, "title": "Office chair without armrests, not red", "attributes": {}}


def test_what_a_title_denies_is_not_filled(tmp_path: Path, reader: Reader) -> None:
    blue = NOT_RED | {"title": "Blue office chair, not red"}
    of_text = NOT_RED | {"text": "A blue office chair."}
    done = job(tmp_path, [NOT_RED, blue, of_text], attributes=["color"])
    run(done, VERSION, reader)
    assert [product["attributes"].get("color") for product in written(done)] == [None, "Blue", "blue"]


def test_a_value_that_holds_its_own_cue_is_filled(tmp_path: Path, reader: Reader) -> None:
    done = job(tmp_path, [NOT_RED | {"title": "non-slip bath mat"}], attributes=["feature"])
    run(done, VERSION, reader)
    assert written(done)[0]["attributes"] == {"feature": "non-slip"}


def test_an_attributes_own_name_is_no_value_of_it(tmp_path: Path, reader: Reader) -> None:
    done = job(tmp_path, [HOODIE], attributes=["size"])
    run(done, VERSION, reader)
    assert written(done)[0]["attributes"]["size"] != "Size"


@pytest.mark.parametrize("title", ["", " ", "🧶", "\u200b", "a" * 20_000, "red 色" * 9_000])
def test_titles_of_every_kind_are_passed_on(tmp_path: Path, reader: Reader, title: str) -> None:
    done = job(tmp_path, [{"id": 1, "title": title, "attributes": {}}], attributes=["voltage"])
    run(done, VERSION, reader)
    assert written(done)[0]["title"] == title


def test_products_keep_their_order_over_many_parts(tmp_path: Path, reader: Reader) -> None:
    colors = ("red", "blue", "black")
    lines = [{"id": n, "title": f"{colors[n % 3]} wool rug", "attributes": {}} for n in range(PART + 3)]
    done = job(tmp_path, lines, attributes=["color"])
    report = run(done, VERSION, reader)
    assert [(p["id"], p["attributes"]["color"]) for p in written(done)] == [(n, colors[n % 3]) for n in range(PART + 3)]
    assert report["products"] == report["products_filled"] == PART + 3


def test_a_higher_threshold_fills_less(tmp_path: Path, reader: Reader) -> None:
    assert run(job(tmp_path), VERSION, replace(reader, threshold=0.999_999))["products_filled"] == 0


# Going on


def test_a_run_that_was_cut_off_goes_on_where_it_stopped(tmp_path: Path, reader: Reader) -> None:
    done = job(tmp_path)
    report = run(done, VERSION, reader)
    before = written(done)
    first, second, _ = done.out.read_bytes().splitlines(keepends=True)
    mended = first.replace(b'"color": "Blue"', b'"color": "blue"')  # it would not be so, were it asked again
    assert mended != first
    done.out.write_bytes(mended + second[:70])
    again = run(done, VERSION, reader)
    assert done.out.read_bytes().startswith(mended)
    assert [product["attributes"] for product in written(done)[1:]] == [each["attributes"] for each in before[1:]]
    for counted in ("missing", "filled"):
        assert {name: each[counted] for name, each in again["attributes"].items()} == {
            name: each[counted] for name, each in report["attributes"].items()
        }


def test_a_run_that_is_done_changes_nothing(tmp_path: Path, reader: Reader) -> None:
    done = job(tmp_path)
    report = run(done, VERSION, reader)
    before = done.out.read_bytes(), done.report.read_bytes()
    assert run(done, VERSION, reader) == report
    assert (done.out.read_bytes(), done.report.read_bytes()) == before


def test_a_catalogue_that_has_grown_is_gone_on_with(tmp_path: Path, reader: Reader) -> None:
    run(job(tmp_path, [GUITAR]), VERSION, reader)
    grown = job(tmp_path)
    assert run(grown, VERSION, reader)["products"] == 3
    assert len(written(grown)) == 3


@pytest.mark.parametrize("options", [{"attributes": ["color"]}, {"attributes": None}])
def test_other_settings_are_not_mixed_into_one_file(tmp_path: Path, reader: Reader, options: dict[str, Any]) -> None:
    run(job(tmp_path), VERSION, reader)
    with pytest.raises(StageFailed, match=r"out\.jsonl was begun with other settings than these.*take another --out"):
        run(job(tmp_path, **options), VERSION, reader)


def test_neither_are_other_models_or_thresholds(tmp_path: Path, reader: Reader) -> None:
    run(job(tmp_path), VERSION, reader)
    for version, other in [("another", reader), (VERSION, replace(reader, threshold=0.9))]:
        with pytest.raises(StageFailed, match="was begun with other settings"):
            run(job(tmp_path), version, other)


def test_a_file_without_its_report_is_not_gone_on_with(tmp_path: Path, reader: Reader) -> None:
    done = job(tmp_path)
    run(done, VERSION, reader)
    done.report.unlink()
    with pytest.raises(StageFailed, match=r"out\.report\.json beside it is gone"):
        run(done, VERSION, reader)


@pytest.mark.parametrize("content", [b'{"color": ["red"]}', b"\0", b"\n"])
def test_a_file_that_is_not_ours_is_left_as_it_is(tmp_path: Path, reader: Reader, content: bytes) -> None:
    done = job(tmp_path)
    done.out.write_bytes(content)
    with pytest.raises(StageFailed, match=r"out\.jsonl .* is no file of this command.*: take another --out"):
        run(done, VERSION, reader)
    assert done.out.read_bytes() == content
    assert not done.report.exists()


def test_a_run_that_was_cut_off_in_its_first_line_is_done_again(tmp_path: Path, reader: Reader) -> None:
    done = job(tmp_path)
    run(done, VERSION, reader)
    before = done.out.read_bytes()
    for left in (before[:50], b""):
        done.out.write_bytes(left)
        run(done, VERSION, reader)
        assert done.out.read_bytes() == before


@pytest.mark.parametrize(
    "lines",
    [
        (HOODIE, GUITAR, FLAT),
        (GUITAR, HOODIE | {"title": "another title"}, FLAT),
        (GUITAR,),
        (GUITAR | {"attributes": {"brand": None, "color": None}}, HOODIE, FLAT),
    ],
)
def test_a_file_of_other_products_is_not_gone_on_with(
    tmp_path: Path, reader: Reader, lines: Sequence[dict[str, Any]]
) -> None:
    run(job(tmp_path), VERSION, reader)
    with pytest.raises(StageFailed, match=r"out\.jsonl, line [12] is not what is made of the product that stands"):
        run(job(tmp_path, lines), VERSION, reader)


@pytest.mark.parametrize(
    "change",
    [
        {"attributes": {"brand": "Glen Burton Guitars", "color": "Red"}},
        {"attributes": {"brand": "Glen Burton Guitars", "color": "Blue"}},
        {"attributes": {"brand": "Fender", "color": None}},
        {"attributes": {"color": None}},
        {"attributes": {"brand": "Glen Burton Guitars", "color": None, "strings": 6}},
        {"filled": {"brand": {"confidence": 0.9}}},
        {"rating": 5},
        {"in stock": True},
    ],
)
def test_what_was_changed_in_the_catalogue_since_is_not_passed_over(
    tmp_path: Path, reader: Reader, change: dict[str, Any]
) -> None:
    done = job(tmp_path, [GUITAR, HOODIE])
    run(done, VERSION, reader)
    before = done.out.read_bytes()
    with pytest.raises(StageFailed, match=r"out\.jsonl, line 1 is not what is made of the product that stands"):
        run(job(tmp_path, [GUITAR | change, HOODIE]), VERSION, reader)
    assert done.out.read_bytes() == before


def test_a_change_of_a_number_for_a_truth_is_one() -> None:
    assert products.made_of(HOODIE | {"new": 1}, {"new": 1} | HOODIE)
    assert not products.made_of(HOODIE | {"new": 1}, HOODIE | {"new": True})


def test_marks_of_an_earlier_run_are_gone_on_with(tmp_path: Path, reader: Reader) -> None:
    old = {name: {"value": "old", "confidence": 0.9} for name in ("brand", "color", "size")}
    done = job(tmp_path, [GUITAR | {"filled": old}, HOODIE])
    run(done, VERSION, reader)
    before = done.out.read_bytes()
    run(done, VERSION, reader)
    assert done.out.read_bytes() == before


def test_a_broken_line_of_ours_is_named_with_its_file(tmp_path: Path, reader: Reader) -> None:
    done = job(tmp_path)
    run(done, VERSION, reader)
    done.out.write_bytes(b"\0\0\0\n" + done.out.read_bytes())
    with pytest.raises(BadRecord, match=r"out\.jsonl, line 1: not JSON: .* remove the file, or take another --out"):
        run(done, VERSION, reader)


# Bad input


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"id": 1, "title": "rug", "attributes": {"price": NaN}}', "NaN is no number"),
        (b'{"id": 1, "title": "rug", "attributes": {"price": 1e999}}', "the number 1e999 is too large"),
        (b'{"id": 1, "title": "\\ud800", "attributes": {}}', "surrogates not allowed"),
        (b"[]", "a product must be a JSON object"),
        (b'{"title": "rug", "attributes": {}}', "'id' must be a text or a whole number"),
        (b'{"id": true, "title": "rug", "attributes": {}}', "'id' must be a text or a whole number"),
        (b'{"id": 1, "title": null, "attributes": {}}', "'title' must be a text"),
        (b'{"id": 1, "title": "rug", "text": 3, "attributes": {}}', "'text' must be a text"),
        (b'{"id": 1, "title": "rug"}', "'attributes' must be an object"),
        (b'{"id": 1, "title": "rug", "attributes": ["color"]}', "'attributes' must be an object"),
        (b'{"id": 1, "title": "rug", "attributes": {}, "filled": null}', "'filled' is where this command says"),
    ],
)
def test_a_bad_line_is_named_with_the_way_out_before_anything_is_written(
    tmp_path: Path, reader: Reader, line: bytes, what: str
) -> None:
    done = job(tmp_path, [GUITAR])
    done.catalogue.write_bytes(done.catalogue.read_bytes() + b"\n" + line + b"\n")
    with pytest.raises(BadRecord, match=rf"in\.jsonl, line 3: .*{what}.*: mend the line or take it out, and run again"):
        run(done, VERSION, reader)
    assert not done.out.exists()


def test_what_is_no_bad_line_is_read(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes('\ufeff{"id": "\\ud83e\\uddf6", "title": "色", "attributes": {"a": null}}\r\n \n'.encode())
    assert list(products.read(path)) == [(1, {"id": "🧶", "title": "色", "attributes": {"a": None}})]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"least_agreement": 2.0}, "the agreement 2 is not in"),
        ({"attributes": ["color", "\u200b"]}, "the attribute .* holds nothing that can be read"),
        ({"vocabulary": Path("/nowhere.json")}, "/nowhere.json: No such file or directory"),
    ],
)
def test_bad_options_are_named(tmp_path: Path, reader: Reader, options: dict[str, Any], what: str) -> None:
    with pytest.raises(StageFailed, match=what):
        run(job(tmp_path, **options), VERSION, reader)


def test_the_catalogue_itself_is_never_written(tmp_path: Path, reader: Reader) -> None:
    catalogue = job(tmp_path).catalogue
    with pytest.raises(StageFailed, match="is the catalogue itself: take another --out"):
        run(Job(catalogue, tmp_path / "." / "in.jsonl"), VERSION, reader)


# Vocabularies


def vocabulary(folder: Path, content: object) -> Path:
    path = folder / "stored.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_values_are_named_as_the_vocabulary_names_them(tmp_path: Path, reader: Reader) -> None:
    stored = vocabulary(tmp_path, {"color": ["Beige", "Black", "BLUE"], "material": ["Leather", "Wool"]})
    done = job(tmp_path, vocabulary=stored)
    run(done, VERSION, reader)
    guitar, _, flat = written(done)
    assert guitar["filled"]["color"] | {"value": "BLUE", "text": "Blue", "agreement": 1.0} == guitar["filled"]["color"]
    assert (flat["attributes"]["color"], flat["filled"]["color"]["text"]) == ("BLUE", "Nautical Navy")
    assert flat["attributes"]["material"] == "Leather"
    assert "agreement" not in flat["filled"]["brand"]


def test_what_a_title_denies_is_not_named_as_the_vocabulary_names_it(tmp_path: Path, reader: Reader) -> None:
    done = job(tmp_path, [NOT_RED], attributes=["color"], vocabulary=vocabulary(tmp_path, {"color": ["Red", "Blue"]}))
    run(done, VERSION, reader)
    assert written(done) == [NOT_RED]


def test_a_value_that_no_entry_agrees_with_is_not_filled(tmp_path: Path, reader: Reader) -> None:
    stored = vocabulary(tmp_path, {"color": ["Pink"], "brand": ["Nike", "Adidas"]})
    done = job(tmp_path, vocabulary=stored)
    report = run(done, VERSION, reader)
    assert report["attributes"]["color"] == {"missing": 3, "filled": 0}
    assert all(product["attributes"].get("color") is None for product in written(done))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ([], r"stored\.json must hold a JSON object of lists of values by attribute"),
        ({"color": "red"}, r"stored\.json, 'color': it must be a list with a value or more, or be left out"),
        ({"color": []}, "it must be a list with a value or more"),
        ({"color": ["red", 3]}, "the value 3 is no text that can be read: take it out"),
        ({"color": ["\u200b"]}, "the value .* is no text that can be read"),
        ({"color": ["\ud800"]}, r"stored\.json: not JSON: "),
    ],
)
def test_a_bad_vocabulary_is_named(tmp_path: Path, reader: Reader, content: object, what: str) -> None:
    with pytest.raises(BadRecord, match=what):
        run(job(tmp_path, vocabulary=vocabulary(tmp_path, content)), VERSION, reader)


# Names


def test_the_usual_names_are_those_that_a_tenth_of_the_kind_has(tmp_path: Path) -> None:
    def product(kind: str | None, *names: str) -> dict[str, Any]:
        return {"id": 1, "title": "t", "kind": kind, "attributes": dict.fromkeys(names, "x")}

    lines = [product("rug", "color", "size") for _ in range(10)]
    lines += [product("rug", "pile"), product("lamp", "voltage"), product(None, "color", "🧶")]
    found = survey(job(tmp_path, lines).catalogue, None, lambda name: name != "🧶")
    assert found.products == 13
    assert found.usual == {"rug": ("color", "size"), "lamp": ("voltage",), None: ("color",)}
    assert found.missing(product("rug", "size")) == ["color"]
    assert found.missing(product("another kind")) == []


@pytest.mark.parametrize("nothing", [None, "", " "])
def test_a_name_without_a_value_is_usual_too(tmp_path: Path, nothing: object) -> None:
    lines: list[dict[str, Any]] = [{"id": 1, "title": "t", "attributes": {"color": nothing}} for _ in range(10)]
    lines += [{"id": 1, "title": "t", "attributes": {}} for _ in range(80)]
    lines += [{"id": 1, "title": "t", "attributes": {"size": nothing}} for _ in range(9)]
    assert survey(job(tmp_path, lines).catalogue, None, bool).usual == {None: ("color",)}


def test_what_is_null_throughout_a_catalogue_is_filled(tmp_path: Path, reader: Reader) -> None:
    done = job(tmp_path, [each | {"attributes": {"color": None}} for each in (GUITAR, HOODIE)], attributes=None)
    run(done, VERSION, reader)
    assert [each["attributes"] for each in written(done)] == [{"color": "Blue"}, {"color": "Black"}]


def test_without_names_the_usual_ones_are_filled(tmp_path: Path, reader: Reader) -> None:
    done = job(tmp_path, [HOODIE | {"attributes": {"color": "Black"}}, GUITAR], attributes=None)
    run(done, VERSION, reader)
    assert written(done)[1]["attributes"]["color"] == "Blue"


# The report


def test_the_report_counts_what_was_missing_and_what_was_filled(tmp_path: Path, reader: Reader) -> None:
    done = job(tmp_path)
    report = run(done, VERSION, reader)
    assert json.loads(done.report.read_text(encoding="utf-8")) == report
    assert report["complete"] is True
    assert (report["products"], report["products_filled"]) == (3, 3)
    counts = {name: (each["missing"], each["filled"]) for name, each in report["attributes"].items()}
    assert counts == {"color": (3, 3), "brand": (2, 2), "material": (3, 1)}
    marks = [product["filled"]["color"]["confidence"] for product in written(done)]
    assert report["attributes"]["color"]["confidence"]["mean"] == pytest.approx(sum(marks) / 3, abs=2e-4)


def test_quantiles_are_right_to_half_a_thousandth() -> None:
    tally = Tally()
    for step in range(1, 101):
        tally.count(["color", "size"], {"color": step / 100})
    tally.count([], {})
    told = tally.to_json()
    assert (told["products"], told["products_filled"]) == (101, 100)
    assert told["attributes"]["size"] == {"missing": 100, "filled": 0}
    confidence = told["attributes"]["color"]["confidence"]
    assert confidence["mean"] == 0.505
    for share, value in confidence["quantiles"].items():
        assert value == pytest.approx(float(share), abs=1.1e-3)


def test_the_table_shows_the_most_filled_attributes() -> None:
    tally = Tally()
    for place in range(MOST_SHOWN + 5):
        tally.count(["color", f"name {place}"], {"color": 0.9})
    shown = table(tally.to_json())
    assert shown.startswith("45 of 45 products have something new\n")
    assert "color                                   45        45 100.0%  0.900, 0.900, 0.900" in shown
    assert shown.endswith("… and 6 more attributes, in the report")


def test_the_command_fills_and_prints_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = ["--catalogue", str(job(tmp_path).catalogue), "--out", str(tmp_path / "new" / "filled.jsonl")]
    monkeypatch.setattr(sys, "argv", ["model_export", "fill", *paths, "--attributes", "brand, color,brand"])
    main()
    shown = capsys.readouterr().out
    assert "3 of 3 products have something new" in shown
    assert "filled.report.json" in shown
    report = json.loads((tmp_path / "new" / "filled.report.json").read_text(encoding="utf-8"))
    assert report["settings"]["attributes"] == ["brand", "color"]


@pytest.mark.parametrize(
    ("flags", "what"),
    [
        ([], r"\S+none\.jsonl: No such file or directory: mend that and run again"),
        (["--threshold", "1"], "the threshold 1 is no probability between 0 and 1"),
        (["--threshold", "nan"], "the threshold nan is no probability"),
    ],
)
def test_the_command_tells_what_is_wrong_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], what: str
) -> None:
    paths = ["--catalogue", str(tmp_path / "none.jsonl"), "--out", str(tmp_path / "out.jsonl")]
    monkeypatch.setattr(sys, "argv", ["model_export", "fill", *paths, *flags])
    with pytest.raises(SystemExit, match=rf"^model_export: {what}"):
        main()
