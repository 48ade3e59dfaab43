"""`python -m model_export examples --ubi FOLDER --out FILE.jsonl`: what people did, as records to train from.

`FOLDER` has what `python -m service events --out FOLDER` writes, or any sender's `ubi_events.json` and
`ubi_queries.json`. Queries that led to orders come first, then those with the most choices.

Knows: the command line, which queries come first, how much a record counts. Does not know: events, training.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from model_export import catalogues, records
from model_export import products as lines
from model_export.catalogues import CatalogueProduct
from model_export.readers.ubi import EVENTS, QUERIES, Behaviour, Reading, behaviours, record_of
from model_export.records import BadRecord, Record
from model_export.stage import StageFailed

MOST_OF_CLIENT, HALF_CHOICES = 10, 3
"""So many choices of one client count for one query; a record of so many choices counts half of what it can count."""


def main(arguments: Sequence[str]) -> None:
    """Read and write. Raises BadRecord and StageFailed, each with a sentence that names its way out."""
    parser = argparse.ArgumentParser(
        prog="python -m model_export examples",
        description="Turn stored events into training records, corrected for position: a record for each query that "
        'something was chosen after, those with orders first. Point a source with reader = "jsonl" at the file.',
    )
    parser.add_argument("--ubi", type=Path, required=True, metavar="FOLDER", help=f"folder with {EVENTS} and {QUERIES}")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.jsonl", help="the records, one a line")
    parser.add_argument(
        "--catalogue",
        type=Path,
        help="the products: lines as fill reads them, or a folder of a public set; without it as the log has them",
    )
    parser.add_argument("--most", type=int, help="write the first so many records")
    parser.add_argument(
        "--client-cap",
        type=int,
        default=MOST_OF_CLIENT,
        help="choices of one client for one query (default: %(default)s)",
    )
    parser.add_argument(
        "--first-position", type=int, choices=(0, 1), default=1, help="what the first position is called (default: 1)"
    )
    given = parser.parse_args(arguments)
    for name, value in (("--most", given.most), ("--client-cap", given.client_cap)):
        if value is not None and value < 1:
            raise StageFailed(f"{name} {value} leaves nothing: give at least 1")
    count = write_examples(
        given.ubi, given.out, catalogue=given.catalogue, most=given.most,
        reading=Reading(given.first_position, given.client_cap),
    )  # fmt: skip
    print(f"{count} records written: {given.out}", flush=True)


def write_examples(ubi: Path, out: Path, *, catalogue: Path | None, most: int | None, reading: Reading) -> int:
    """The same without a command line; returns the number of records."""
    for name in (EVENTS, QUERIES):
        if not (ubi / name).is_file():
            raise StageFailed(f"{ubi / name} is missing: write it with python -m service events --out {ubi}")
    products = read_products(catalogue) if catalogue else {}
    done = behaviours(ubi, reading)
    if not done:
        raise StageFailed(
            f"{ubi} holds no text of a query that anything was done after: the service logs it with choices that name "
            "the query_id of an answer to /v1/weights or /v1/rank (and a user_id, where the request named one); for "
            "answers of others send queries, with query_id and user_query, to /v1/events"
        )
    found = examples(done, products)[:most]
    if not found:
        raise StageFailed(
            f"{ubi} holds no choice of a known attribute or product after a known query: nothing to train from"
        )
    return records.write(out, tqdm(found, "records"))


def examples(done: Mapping[str, Behaviour], products: Mapping[str, CatalogueProduct]) -> list[Record]:
    """The records of what was done, by query. A record counts n / (n + `HALF_CHOICES`) for n choices: a query that one
    person chose once after tells little of what others will choose.
    """
    first = sorted(done, key=lambda query: (-done[query].orders, -done[query].choices, query))
    told = ((done[query].choices, record_of(query, done[query], products)) for query in first)
    return [_weighted(record, choices) for choices, record in told if record]


def _weighted(record: Record, choices: int) -> Record:
    weight = round(choices / (choices + HALF_CHOICES), 4)
    return Record(record.query, record.attributes, record.gains, record.values, weight, record.products)


def read_products(path: Path) -> dict[str, CatalogueProduct]:
    """The products by id. Raises BadRecord."""
    try:
        if path.is_dir():
            return {product.id: product for product in catalogues.read(path)}
        read = (_product(line) for _, line in lines.read(path))
        return {product.id: product for product in read if product.title.strip()}
    except OSError as error:
        raise BadRecord(f"{path} cannot be read: {error.strerror}") from error


def _product(line: lines.Product) -> CatalogueProduct:
    kind = lines.kind_of(line)
    named = {name.strip().lower(): line["attributes"][name] for name in lines.given(line)}
    values = {name: text for name, value in named.items() if name and (text := _text(value))}
    return CatalogueProduct(str(line["id"]), line["title"], kind.lower() if kind else None, values)


def _text(value: object) -> str:
    """A value as text: several with commas between, nothing of what is no plain value."""
    if isinstance(value, list):
        return ", ".join(filter(None, map(_text, value)))
    return str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
