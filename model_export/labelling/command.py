"""`python -m model_export label`: queries that nobody labelled, with the labels of a finished run.

None of them is one that `evaluate` ranks: who learns from them has not seen those.

Knows: the command line, which files of a run are read, which queries are not made. Does not know: how texts are made,
what makes a label.
"""

import argparse
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from model_export import config as configuration
from model_export import records
from model_export.config import Config
from model_export.records import Record
from model_export.stage import StageFailed

if TYPE_CHECKING:
    from model_export.network import PackedRanker


def main(arguments: Sequence[str], *, shipped: Path) -> None:
    """Read the command line and write. Raises BadConfig, BadRecord and StageFailed, each with its way out."""
    parser = argparse.ArgumentParser(
        prog="python -m model_export label",
        description="Make queries of a source's and of titles' words, label them by a finished run, and write them as "
        "training records; or, with --kinds, ask for what a catalogue's products are, as the run reads it in their "
        'titles. Point a source with reader = "labelled" at the file.',
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.jsonl", help="the records, one a line")
    made = parser.add_mutually_exclusive_group(required=True)
    made.add_argument("--source", help="the run's source whose queries are recombined and whose names are asked")
    made.add_argument(
        "--kinds",
        action="store_true",
        help="ask for kinds, beside what only mentions them; wants --catalogue, in English",
    )
    parser.add_argument("--count", type=int, default=20_000, help="so many records (default: %(default)s)")
    parser.add_argument(
        "--catalogue",
        type=Path,
        help="products whose titles are used: lines as fill reads them, or a public set's folder",
    )
    parser.add_argument("--config", type=Path, default=shipped, help="the run's TOML file (default: the shipped one)")
    parser.add_argument(
        "--data", type=Path, help="folder of the data sets, whose judged queries are not made (default: the config's)"
    )
    parser.add_argument("--work", type=Path, help="the run's folder (default: the config's)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="as the run had it")
    given = parser.parse_args(arguments)
    os.environ["HF_HUB_OFFLINE"] = "1"
    config = configuration.load(given.config, data=given.data, work=given.work, replaced=given.set)
    if given.count < 1:
        raise StageFailed(f"--count {given.count} leaves nothing: give at least 1")
    if not given.kinds:
        written = label(config, given.source, given.out, catalogue=given.catalogue, count=given.count)
    elif given.catalogue:
        written = ask_for_kinds(config, given.out, catalogue=given.catalogue, count=given.count)
    else:
        raise StageFailed("--kinds asks for products: say with --catalogue which")
    print(f"{written} records written: {given.out}", flush=True)


def label(config: Config, source: str, out: Path, *, catalogue: Path | None, count: int) -> int:
    """The same without a command line; returns how many were written, fewer where the words do not give so many.

    Queries of the source itself, of training and of dev, are not among them, nor are `ranked_queries`.
    """
    from model_export import catalogues
    from model_export.labelling.texts import texts

    train, dev = (config.work / "examples" / f"{source}.{half}.jsonl" for half in ("train", "dev"))
    for path in (train, dev):
        if not path.is_file():
            raise StageFailed(f"{path} is missing: finish a run with the source {source!r} first")
    ranker = _finished(config)
    known = list(records.read(train))
    if not known:
        raise StageFailed(f"{train} is empty: there is nothing to recombine")
    names = list(dict.fromkeys(name for record in known for name in record.attributes))
    if len(names) > records.MOST_ATTRIBUTES:
        raise StageFailed(
            f"the source {source!r} names {len(names)} attributes, a record holds {records.MOST_ATTRIBUTES}: "
            "take a source of fewer names"
        )
    own = {record.query for part in (known, records.read(dev)) for record in part}
    barred = {" ".join(query.lower().split()) for query in own | ranked_queries(config)}
    products = catalogues.read(catalogue) if catalogue else []
    made = list(islice(texts(known, products, config.seed, barred=barred), count))
    return records.write(out, _labelled(config, ranker, made, names, "records"))


def ask_for_kinds(config: Config, out: Path, *, catalogue: Path, count: int) -> int:
    """Likewise for queries of what a catalogue's products are, none of which asks for one or many of what one of
    `ranked_queries` asks for. Raises StageFailed where none can be made.
    """
    from model_export import catalogues
    from model_export.labelling.kinds import KIND, Titled, kind_queries

    ranker = _finished(config)
    products = {product.title: product for product in catalogues.read(catalogue) if product.title.strip()}
    read = _labelled(config, ranker, list(products), [KIND], "titles")
    titled = [Titled.of(products[each.query], each.values[0] or ()) for each in read]
    made = list(islice(kind_queries(titled, config.seed, barred=ranked_queries(config)), count))
    if not made:
        raise StageFailed(
            f"no title of {catalogue} states a kind of product in English words that no judged query asks for: "
            "bring another catalogue"
        )
    return records.write(out, made)


def ranked_queries(config: Config) -> set[str]:
    """The judged queries of the config's `ranking.lists` that it does not train on: `evaluate` ranks their products.

    Tells of each list that is not there. Raises BadRecord.
    """
    from model_export.benchmark.products import judged

    found: set[str] = set()
    for folder in config.ranking.lists:
        if (path := config.data / folder).is_dir():
            found |= judged(config, folder.as_posix()).keys()
        else:
            print(f"there is no {path}: what was judged there may be among the queries", flush=True)
    return found


def _finished(config: Config) -> "PackedRanker":
    """The network of the finished run. Raises StageFailed where it is not finished."""
    from model_export.distilling import WEIGHTS, load, untrained

    trained = config.work / "train"
    if not (trained / WEIGHTS).is_file():
        raise StageFailed(f"{trained / WEIGHTS} is missing: finish a run first")
    return load(untrained(config), trained)


def _labelled(
    config: Config, ranker: "PackedRanker", texts: Sequence[str], names: Sequence[str], what: str
) -> Iterator[Record]:
    """What the network says of the texts, with a progress bar."""
    from model_export import pretrained
    from model_export.labelling.labels import labelled

    found = labelled(ranker, pretrained.tokenizer(config), texts, names)
    return iter(tqdm(found, what, total=len(texts)))
