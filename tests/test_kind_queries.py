"""Queries of what products are: whose kind is whose, what is asked, and which products are right."""

import random
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_bert, tiny_config, write_base, write_judged

from model_export import records
from model_export.__main__ import main
from model_export.catalogues import CatalogueProduct
from model_export.labelling import kinds
from model_export.labelling.command import ask_for_kinds
from model_export.labelling.kinds import MOST_OF_ONE, PRODUCTS, Titled, kind_queries
from model_export.network import PackedRanker
from model_export.records import Record, Span
from model_export.stage import StageFailed


def titled(title: str, *stated: str, **values: str) -> Titled:
    """A product whose title states these kinds."""
    spans: list[Span] = [(title.index(kind), title.index(kind) + len(kind)) for kind in stated]
    return Titled.of(CatalogueProduct(title, title, None, values), spans)


PROJECTORS = [titled(f"NEC NP{n} data projector", "data projector", brand="NEC") for n in range(3)]
LAMPS = [titled(f"HP L{n} projector lamp", "projector lamp", brand="HP") for n in range(3)]
BATTERIES = [titled(f"Canon NB-{n} battery pack", "battery pack", brand="Canon") for n in range(8)]
SHOP = [*PROJECTORS, *LAMPS, *BATTERIES]


@pytest.mark.parametrize(
    ("title", "stated", "kind"),
    [
        ("HP Notebook Cases", ("Notebook Cases",), ("notebook", "cases")),
        ("Case for notebook", ("Case", "notebook"), ("case",)),
        ("Fits iPad: sleeve, cover", ("sleeve", "cover"), ()),
        ("HP notebook PC", ("notebook PC",), ("notebook",)),
        ("Tool set", ("set",), ("set",)),
        ("Something", (), ()),
    ],
)
def test_a_products_kind_is_what_its_title_states_of_itself(
    title: str, stated: tuple[str, ...], kind: tuple[str, ...]
) -> None:
    assert titled(title, *stated).kind == kind


def test_a_title_mentions_a_word_that_is_no_end_of_a_kind_it_states() -> None:
    assert LAMPS[0].mentions("projector") and not LAMPS[0].mentions("lamp") and not LAMPS[0].mentions("scanner")
    assert not titled("Lamp and projector", "Lamp", "projector").mentions("projector")
    assert not titled("Projector thing").mentions("projector"), "what it is nobody knows"


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("batteries", "battery"),
        ("boxes", "box"),
        ("switches", "switch"),
        ("brushes", "brush"),
        ("mattresses", "mattress"),
        ("cases", "case"),
        ("dress", "dress"),
        ("bus", "bus"),
    ],
)
def test_a_kind_has_one_stem_however_many_there_are(written: str, found: str) -> None:
    assert kinds.stem(written) == kinds.stem(found) == found


def test_no_product_is_both_right_and_wrong() -> None:
    shop = [*SHOP, *(titled(f"Box of {n} batteries", "batteries") for n in range(5))]
    for record in kind_queries(shop, 7):
        wrong = {product.title for product in record.products if not product.gain}
        assert not wrong & right(record)
        assert "batter" not in record.query or not any("batter" in title for title in wrong)


def test_a_query_says_nothing_that_is_no_word_of_the_title() -> None:
    shop = [
        titled(f"HP notebook {n} lcd monitors", "notebook", wireless="no", panel="lcd", colour="note", brand="HP")
        for n in range(400)
    ]
    asked = {kinds._asked(each, shop, random.Random(n))[0] for n, each in enumerate(shop)}
    assert asked == {f"{before}notebook{s}" for before in ("", "hp ", "lcd ") for s in ("", "s")}


def of(found: list[Record], word: str) -> list[Record]:
    """The records of queries that end in the word."""
    return [record for record in found if record.query.removesuffix("s").endswith(word)]


def right(record: Record) -> set[str]:
    """The titles with a gain."""
    return {product.title for product in record.products if product.gain}


def test_who_asks_for_a_kind_wants_no_product_that_only_mentions_it() -> None:
    found = of(list(kind_queries(SHOP, 7)), "projector")
    assert len(found) == len(PROJECTORS)
    for record in found:
        titles = {product.title for product in record.products}
        assert right(record) <= {each.product.title for each in PROJECTORS}
        assert {each.product.title for each in LAMPS} <= titles - right(record)
        assert len(record.products) <= PRODUCTS and len(titles) == len(record.products)


def test_a_query_is_words_of_the_kind_with_the_brand_or_a_value_before_them() -> None:
    red = [titled(f"Red wool rug {n}", "wool rug", brand="Hali", color="Red", size="2x8") for n in range(300)]
    asked = [kinds._asked(each, red, random.Random(n))[0] for n, each in enumerate(red)]
    before = {query.split("rug")[0].strip() for query in asked}
    assert before == {"", "wool", "hali", "hali wool", "red", "red wool"}
    assert {query.split("rug")[1] for query in asked} == {"", "s"}


def test_products_of_another_brand_do_not_fit_a_query_with_the_brand() -> None:
    rugs = [titled(f"{brand} rug {n}", "rug", brand=brand) for brand in ("Hali", "Moda") for n in range(20)]
    found = [kinds._asked(rugs[0], rugs, random.Random(n)) for n in range(60)]
    assert {query.startswith("hali") for query, _ in found} == {True, False}
    for query, alike in found:
        assert len(alike) == (19 if query.startswith("hali") else 39) and rugs[0] not in alike


def test_of_kinds_that_end_alike_so_many_are_asked_for_and_of_numbers_none() -> None:
    cables = [titled(f"Cable {n} m", "Cable") for n in range(3 * MOST_OF_ONE)]
    found = list(kind_queries([*cables, *BATTERIES, titled("Type 42", "42")], 7))
    ends = Counter(record.query.split()[-1].removesuffix("s") for record in found)
    assert ends == {"cable": MOST_OF_ONE, "battery": len(BATTERIES)}


def test_only_the_text_tells_and_a_seed_gives_the_same() -> None:
    found = list(kind_queries(SHOP, 7))
    assert found == list(kind_queries(SHOP, 7)) != list(kind_queries(SHOP, 8))
    for record in found:
        assert record.attributes == ("product type",) and record.gains == (0.0,) and record.values == (None,)
        assert all(product.values == (None,) for product in record.products)


@pytest.mark.parametrize("barred", ["Projectors", "projector"])
def test_a_barred_query_is_not_asked_in_singular_or_plural_but_longer_ones_are(barred: str) -> None:
    asked = {record.query.removesuffix("s") for record in kind_queries(SHOP, 7)}
    left = {record.query.removesuffix("s") for record in kind_queries(SHOP, 7, barred=[barred])}
    assert "projector" in asked and left == asked - {"projector"} and any(" projector" in query for query in left)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hoodies", "hoodie"),
        ("camera lenses", "camera  lens"),
        ("axes", "axe"),
        ("battery", "BATTERIES"),
        ("case phone", "phone cases"),
    ],
)
def test_one_and_many_ask_alike(one: str, other: str) -> None:
    assert kinds.without_number(one) == kinds.without_number(other) != kinds.without_number("rug")


@given(st.from_regex("[a-z]{1,8}(ies|ches|shes|sses|xes|es|s|y|e)?", fullmatch=True))
def test_what_has_one_stem_asks_alike(word: str) -> None:
    assert kinds.without_number(word) == kinds.without_number(kinds.stem(word))


def test_where_nothing_else_is_sold_nothing_is_asked() -> None:
    assert list(kind_queries(PROJECTORS, 7)) == []


def finished(folder: Path) -> Path:
    """A run with a network that reads every word as the kind, and a catalogue."""
    base = write_base(folder / "base")
    ranker = PackedRanker(tiny_bert())
    torch.nn.init.constant_(ranker.value_bias, 50.0)
    (folder / "work/train").mkdir(parents=True)
    torch.save(ranker.state_dict(), folder / "work/train/weights.pt")
    lines = (f'{{"id": "{title}", "title": "{title}", "attributes": {{}}}}\n' for title in ("red rug", "blue mat"))
    (folder / "shop.jsonl").write_text("".join(lines), encoding="utf-8")
    return base


def test_a_finished_run_reads_the_kinds_of_a_catalogue(tmp_path: Path) -> None:
    config = tiny_config(finished(tmp_path), work=tmp_path / "work")
    out = tmp_path / "kinds.jsonl"
    assert ask_for_kinds(config, out, catalogue=tmp_path / "shop.jsonl", count=20) == 2
    found = {record.query.split()[-1].removesuffix("s"): right(record) for record in records.read(out)}
    assert found == {"rug": {"red rug"}, "mat": {"blue mat"}}
    assert ask_for_kinds(config, out, catalogue=tmp_path / "shop.jsonl", count=1) == 1


def test_a_query_that_is_ranked_is_not_asked(tmp_path: Path) -> None:
    config = tiny_config(
        finished(tmp_path), work=tmp_path / "work", data=tmp_path, ranking={"lists": ["esci", "elsewhere"]}
    )
    write_judged(tmp_path / "esci", "Rugs", "red rug")
    out = tmp_path / "kinds.jsonl"
    assert ask_for_kinds(config, out, catalogue=tmp_path / "shop.jsonl", count=20) == 1
    (found,) = records.read(out)
    assert "mat" in found.query


def test_a_catalogue_whose_titles_state_no_kind_is_told(tmp_path: Path) -> None:
    config = tiny_config(finished(tmp_path), work=tmp_path / "work")
    line = '{"id": 1, "title": "红色", "attributes": {}}\n'
    (tmp_path / "shop.jsonl").write_text(line, encoding="utf-8")
    with pytest.raises(StageFailed, match=r"no title of .*shop\.jsonl states a kind"):
        ask_for_kinds(config, tmp_path / "kinds.jsonl", catalogue=tmp_path / "shop.jsonl", count=20)
    assert not (tmp_path / "kinds.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["--kinds"], "say with --catalogue which"), ([], "one of the arguments --source --kinds is required")],
)
def test_the_command_line_says_what_is_missing(
    arguments: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = ["--out", str(tmp_path / "kinds.jsonl"), "--work", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["model_export", "label", *out, *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert told in str(ended.value) + capsys.readouterr().err
