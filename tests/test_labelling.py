"""Labelled queries: the words that are made into queries, and what a network's scores make of them."""

import math
import random
import sys
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny import shop_records, tiny_bert, tiny_config, tiny_tokenizer, write_base, write_judged

from model_export import records
from model_export.__main__ import main
from model_export.catalogues import CatalogueProduct
from model_export.labelling import texts as making
from model_export.labelling.command import label, ranked_queries
from model_export.labelling.labels import UNSURE, labelled, stated
from model_export.labelling.texts import fragment, mentions_of, recombined, texts
from model_export.network import PackedRanker
from model_export.records import Record
from model_export.sources import kept_aside
from model_export.stage import StageFailed
from service.scoring import RowScores, pair_scores
from service.text import QueryTokens

PRODUCT = CatalogueProduct(
    "1", "Berber Runner (Wool) | Red, 2 x 8 ft", "runner rugs", {"brand": "Hali", "color": "Red"}
)


def test_a_recombined_query_keeps_what_is_no_mention_and_swaps_within_an_attribute() -> None:
    record = Record("red rug for wool floors", ("color", "material"), (1, 1), (((0, 3),), ((12, 16),)))
    mentions = {"color": [["blue"]], "material": [["cotton"]]}
    found = Counter(recombined(record, mentions, random.Random(seed)) for seed in range(200))
    straight = {f"{color} rug for {material} floors" for color in ("red", "blue") for material in ("wool", "cotton")}
    assert straight < found.keys()
    words = {"red", "blue", "rug", "for", "wool", "cotton", "floors"}
    assert all(set(text.split()) <= words and len(text.split()) == 5 for text in found)


def test_a_query_left_without_words_is_an_empty_text() -> None:
    record = Record("red", ("color",), (1,), (((0, 3),),))
    found = {recombined(record, {"color": [[" "]]}, random.Random(seed)) for seed in range(200)}
    assert found == {"red", ""}


def test_of_mentions_that_overlap_the_first_alone_may_go() -> None:
    record = Record("red wool rug", ("color", "material"), (1, 1), (((0, 8),), ((4, 8),)))
    mentions = {"color": [["blue"]], "material": [["cotton"]]}
    found = {recombined(record, mentions, random.Random(seed)) for seed in range(100)}
    assert {"red wool rug", "blue rug"} <= found
    assert not any("cotton" in text for text in found)


def test_mentions_come_from_queries_and_from_products_that_have_the_attribute() -> None:
    record = Record("red rug", ("Color", "price"), (1, 0), (((0, 3),), None))
    assert mentions_of([record], [PRODUCT]) == {"color": [["red"], ["Red"]], "price": []}


def test_a_fragment_is_words_of_the_title_with_brand_or_kind_before_them() -> None:
    words = {"berber", "runner", "wool", "red", "2", "x", "8", "ft", "hali", "rugs"}
    found = [fragment(PRODUCT, random.Random(seed)) for seed in range(300)]
    assert all(text and set(text.split()) <= words for text in found)
    assert any(text.startswith("hali ") for text in found) and any(text.startswith("runner rugs ") for text in found)
    assert {len(text.split()) for text in found} >= set(making.LENGTHS)


def test_texts_differ_are_none_that_is_barred_and_end() -> None:
    train = shop_records()
    barred = {record.query for record in train}
    found = list(texts(train, [], 7, barred=barred))
    assert len(found) == len(set(found)) and not barred & set(found)
    # Colors and materials change places only within their attribute, and a query may begin at any of its three words.
    assert {frozenset(text.split()) for text in found} == {frozenset(text.split()) for text in barred}
    assert len(found) == 12 * 2


def test_half_of_the_texts_are_of_titles_and_a_seed_gives_the_same() -> None:
    train = [Record(f"{word} rug", ("color",), (1,), (((0, len(word)),),)) for word in map(str, range(400))]
    products = [CatalogueProduct(str(n), f"title {n} of many words", None, {}) for n in range(400)]
    found = list(islice(texts(train, products, 7, barred=frozenset()), 400))
    assert found == list(islice(texts(train, products, 7, barred=frozenset()), 400))
    assert 150 < sum("rug" in text for text in found) < 250


def test_what_is_too_short_or_too_long_for_a_query_is_left_out() -> None:
    titles = [CatalogueProduct(title, title, None, {}) for title in ("l", "x" * 91, "rug")]
    train = [Record("y" * 91, ("color",), (0,), ((),))]
    assert list(texts(train, titles, 7, barred=frozenset())) == ["rug"]


def tokens(*pieces: int) -> QueryTokens:
    """A query of as many words as there are numbers, each of so many tokens and one letter."""
    starts = tuple(range(0, 2 * len(pieces), 2))
    word_of = tuple(word for word, size in enumerate(pieces) for _ in range(size))
    return QueryTokens((0,) * (len(word_of) + 2), starts, tuple(start + 1 for start in starts), word_of)


def logits(*chances: float) -> NDArray[np.float32]:
    """Those of probabilities."""
    return np.array([math.log(chance / (1 - chance)) for chance in chances], np.float32)


@pytest.mark.parametrize(
    ("chances", "spans"),
    [
        ((0.1, 0.2, 0.01), ()),
        ((0.9, 0.9, 0.1), ((0, 3),)),
        ((0.9, 0.1, 0.8), ((0, 1), (4, 5))),
        ((0.9, 0.5, 0.1), None),
        ((0.66, 0.34, 0.01), ((0, 1),)),
    ],
)
def test_sure_words_make_spans_and_an_unsure_one_leaves_them_unknown(
    chances: tuple[float, ...], spans: tuple[tuple[int, int], ...] | None
) -> None:
    assert stated(tokens(1, 1, 1), logits(*chances)) == spans


def test_a_word_is_as_sure_as_the_mean_of_its_tokens_logits() -> None:
    found = np.array([6.0, -1.0, -6.0], np.float32)
    assert stated(tokens(2, 1), found) == ((0, 1),)
    none = np.zeros(1, np.float32)
    (served,) = pair_scores(RowScores(none, found[None], none), (0, 0, 1), threshold=UNSURE[1])
    assert [(span.first, span.last) for span in served.spans] == [(0, 0)]
    assert stated(tokens(2, 1), np.array([2.0, -2.0, -6.0], np.float32)) is None


def test_gains_are_the_networks_weights(base: Path) -> None:
    ranker, tokenizer = PackedRanker(tiny_bert()).eval(), tiny_tokenizer(base)
    asked = ["red wool rug of many words", "blue"]
    found = list(labelled(ranker, tokenizer, asked, ("color", "price")))
    assert [record.query for record in found] == ["blue", "red wool rug of many words"]
    alone = [next(labelled(ranker, tokenizer, [record.query], ("color", "price"))) for record in found]
    for one, other in zip(found, alone, strict=True):
        assert sum(one.gains) == pytest.approx(1, abs=1e-3)
        assert one.gains == pytest.approx(other.gains, abs=2e-4)


def finished(folder: Path) -> Path:
    """What a run leaves of its stages `examples` and `train`; the network has learned nothing."""
    base = write_base(folder / "base")
    for name in ("examples", "train"):
        (folder / "work" / name).mkdir(parents=True)
    records.write(folder / "work/examples/shop.train.jsonl", shop_records()[:8])
    records.write(folder / "work/examples/shop.dev.jsonl", shop_records()[8:])
    torch.save(PackedRanker(tiny_bert()).state_dict(), folder / "work/train/weights.pt")
    return base


def test_a_source_of_more_names_than_a_record_holds_is_refused(tmp_path: Path) -> None:
    config = tiny_config(finished(tmp_path), work=tmp_path / "work")
    wide = (
        Record(f"rug {n}", tuple(f"name {n} {m}" for m in range(100)), (1.0,) * 100, (None,) * 100) for n in range(3)
    )
    records.write(tmp_path / "work/examples/shop.train.jsonl", wide)
    with pytest.raises(StageFailed, match="'shop' names 300 attributes, a record holds 256"):
        label(config, "shop", tmp_path / "labelled.jsonl", catalogue=None, count=5)


def test_a_finished_run_labels_what_is_neither_trained_nor_measured_on(tmp_path: Path) -> None:
    config = tiny_config(finished(tmp_path), work=tmp_path / "work")
    assert label(config, "shop", tmp_path / "out/labelled.jsonl", catalogue=None, count=5) == 5
    found = list(records.read(tmp_path / "out/labelled.jsonl"))
    assert len(found) == 5 and not {record.query for record in found} & {record.query for record in shop_records()}
    assert all(record.attributes == ("color", "material", "price") for record in found)


def test_a_dev_query_is_not_labelled_whatever_its_case_and_blanks(tmp_path: Path) -> None:
    config = tiny_config(finished(tmp_path), work=tmp_path / "work")
    made = shop_records()
    dev = [Record(f" {r.query.upper().replace(' ', '  ')}", ("color",), (1.0,), (None,)) for r in made[2:4]]
    records.write(tmp_path / "work/examples/shop.train.jsonl", made[:2] + made[4:8])
    records.write(tmp_path / "work/examples/shop.dev.jsonl", dev)
    label(config, "shop", tmp_path / "labelled.jsonl", catalogue=None, count=1_000)
    found = {record.query for record in records.read(tmp_path / "labelled.jsonl")}
    assert found and not found & {record.query for record in made[2:4]}


def test_a_query_that_is_ranked_is_not_labelled(tmp_path: Path) -> None:
    options = {"data": tmp_path, "ranking": {"lists": ["esci", "elsewhere"]}}
    config = tiny_config(finished(tmp_path), work=tmp_path / "work", **options)
    label(config, "shop", tmp_path / "before.jsonl", catalogue=None, count=1_000)
    made = [record.query for record in records.read(tmp_path / "before.jsonl")]
    write_judged(tmp_path / "esci", f" {made[0].upper().replace(' ', '  ')}", made[1])
    label(config, "shop", tmp_path / "after.jsonl", catalogue=None, count=1_000)
    assert {record.query for record in records.read(tmp_path / "after.jsonl")} == {*made} - {*made[:2]}


def test_a_query_that_the_run_trains_on_may_be_labelled(tmp_path: Path) -> None:
    judged = {"reader": "judgments", "train": "esci", "keep_aside": 0.5, "licence": "CC0-1.0", "rate": 1}
    options = {"data": tmp_path, "sources": {"judged": judged}, "ranking": {"lists": ["esci"]}}
    config = tiny_config(finished(tmp_path), work=tmp_path / "work", **options)
    queries = [f"{record.query} {n}" for n, record in enumerate(shop_records())]
    write_judged(tmp_path / "esci", *queries)
    aside = [query for query in queries if kept_aside(query, 0.5)]
    assert 0 < len(aside) < len(queries) and ranked_queries(config) == {*aside}


def test_judged_products_that_are_not_there_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tiny_config(tmp_path, data=tmp_path, ranking={"lists": ["esci"]})
    assert ranked_queries(config) == set()
    assert f"there is no {tmp_path / 'esci'}" in capsys.readouterr().out


def test_the_command_line_says_where_the_data_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = finished(tmp_path)
    turned = [f"{thing} {color} {material}" for color, material, thing in (r.query.split() for r in shop_records())]
    write_judged(tmp_path / "elsewhere/esci", *turned)
    source = '{reader = "jsonl", train = "shop.jsonl", licence = "CC0-1.0", rate = 1}'
    text = f'name = "tiny"\nbase = "{base}"\nmax_query_tokens = 64\nmax_attribute_tokens = 16\n'
    config = tmp_path / "run.toml"
    config.write_text(f'{text}sources.shop = {source}\nranking.lists = ["esci"]\n', encoding="utf-8")
    options = {"config": config, "work": tmp_path / "work", "data": tmp_path / "elsewhere", "source": "shop"}
    given = [word for name, option in options.items() for word in (f"--{name}", str(option))]
    out = tmp_path / "labelled.jsonl"
    monkeypatch.setattr(sys, "argv", ["model_export", "label", *given, "--out", str(out)])
    main()
    found = {record.query for record in records.read(out)}
    assert found and not found & {*turned}


def test_a_run_that_is_not_finished_labels_nothing(tmp_path: Path) -> None:
    config = tiny_config(finished(tmp_path), work=tmp_path / "work")
    (tmp_path / "work/train/weights.pt").unlink()
    with pytest.raises(StageFailed, match=r"weights\.pt is missing: finish a run"):
        label(config, "shop", tmp_path / "labelled.jsonl", catalogue=None, count=5)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--source", "shop", "--count", "0"], "--count 0"),
        (["--source", "none"], "finish a run with the source 'none'"),
    ],
)
def test_the_command_line_says_what_is_wrong(
    arguments: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = ["--out", str(tmp_path / "labelled.jsonl"), "--work", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["model_export", "label", *out, *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert told in str(ended.value)
