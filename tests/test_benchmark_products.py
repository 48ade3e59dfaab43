"""Judged products: real lines of ESCI, read into lists to rank."""

import gzip
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_config

from model_export.benchmark.products import MOST_ATTRIBUTES, JudgedList, Product, lists
from model_export.config import Config
from model_export.sources import kept_aside

# Two products of ESCI, without their descriptions.
ESCI = """\
{"asin": "B01M3YCXD2", "title": "Makita XBP02TX 18V LXT Lithium-Ion Cordless Portable Band Saw Kit (5.0Ah),", \
"brand": "Makita", "color": null, "category": ["Tools & Home Improvement", "Saws", "Band Saws"], "price": null}
{"asin": "B07CXG6C9W", "title": "Kindle Paperwhite – Now Waterproof with 2x the Storage – Ad-Supported", \
"brand": "Amazon", "color": "Black", "category": [], "price": null}
"""


def with_judgements(folder: Path, judgements: str, **sources: Any) -> Config:
    (folder / "esci").mkdir()
    (folder / "esci" / "products.jsonl.gz").write_bytes(gzip.compress(ESCI.encode()))
    (folder / "esci" / "judgments.csv").write_text("query,product_id,label\n" + judgements, encoding="utf-8")
    jsonl = {"reader": "jsonl", "train": "shop.jsonl", "licence": "CC0-1.0", "rate": 1}
    return tiny_config(folder, data=folder, sources={"shop": jsonl} | sources)


def test_a_list_has_the_gains_and_the_attributes_of_its_products(tmp_path: Path) -> None:
    (found,) = lists(with_judgements(tmp_path, "saw,B01M3YCXD2,E\nsaw,B07CXG6C9W,S\n"), "esci")
    assert found.gains == (1.0, 0.1)
    assert [dict(product.attributes) for product in found.products] == [
        {"product type": "band saws", "brand": "Makita"},
        {"brand": "Amazon", "color": "Black"},
    ]


def test_a_list_of_one_grade_or_of_unknown_products_is_left_out(tmp_path: Path) -> None:
    judgements = "saw,B01M3YCXD2,E\nsaw,B07CXG6C9W,E\nkindle,B07CXG6C9W,E\nkindle,missing,I\n"
    assert lists(with_judgements(tmp_path, judgements), "esci") == []


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_queries_that_were_trained_on_are_left_out(tmp_path: Path, share: float) -> None:
    queries = [f"saw {number}" for number in range(40)]
    judgements = "".join(f"{query},B01M3YCXD2,E\n{query},B07CXG6C9W,S\n" for query in queries)
    trained = {"reader": "judgments", "train": "esci", "keep_aside": share, "licence": "CC0-1.0", "rate": 1}
    found = lists(with_judgements(tmp_path, judgements, judged=trained), "esci")
    assert [each.query for each in found] == [query for query in queries if kept_aside(query, share)]


def test_the_attributes_filled_most_often_are_the_candidates() -> None:
    many = Product("a", {f"name {number}": "x" for number in range(100)})
    found = JudgedList("q", (many, Product("b", {"name 99": "y"})), (1.0, 0.0)).attributes()
    assert len(found) == MOST_ATTRIBUTES
    assert found[0] == "name 99"
