"""`python -m model_export label`: queries that nobody labelled, with the labels of a finished run.

Knows: the command line, which files of a run are read. Does not know: how texts are made, what makes a label.
"""

import argparse
import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from model_export import config as configuration
from model_export import records
from model_export.config import Config
from model_export.stage import StageFailed


def main(arguments: Sequence[str], *, shipped: Path) -> None:
    """Read the command line and write. Raises BadConfig, BadRecord and StageFailed, each with its way out."""
    parser = argparse.ArgumentParser(
        prog="python -m model_export label",
        description="Make queries of a source's and of titles' words, label them by a finished run, and write them as "
        'training records. Point a source with reader = "labelled" at the file.',
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.jsonl", help="the records, one a line")
    parser.add_argument(
        "--source", required=True, help="the run's source whose queries are recombined and whose names are asked"
    )
    parser.add_argument("--count", type=int, default=20_000, help="so many records (default: %(default)s)")
    parser.add_argument(
        "--catalogue",
        type=Path,
        help="products whose titles are used: lines as fill reads them, or a public set's folder",
    )
    parser.add_argument("--config", type=Path, default=shipped, help="the run's TOML file (default: the shipped one)")
    parser.add_argument("--work", type=Path, help="the run's folder (default: the config's)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="as the run had it")
    given = parser.parse_args(arguments)
    os.environ["HF_HUB_OFFLINE"] = "1"
    config = configuration.load(given.config, work=given.work, replaced=given.set)
    if given.count < 1:
        raise StageFailed(f"--count {given.count} leaves nothing: give at least 1")
    written = label(config, given.source, given.out, catalogue=given.catalogue, count=given.count)
    print(f"{written} records written: {given.out}", flush=True)


def label(config: Config, source: str, out: Path, *, catalogue: Path | None, count: int) -> int:
    """The same without a command line; returns how many were written, fewer where the words do not give so many.

    Queries of the source itself, of training and of dev, are not among them.
    """
    from model_export import catalogues, pretrained
    from model_export.distilling import WEIGHTS, load, untrained
    from model_export.labelling.labels import labelled
    from model_export.labelling.texts import texts

    train, dev = (config.work / "examples" / f"{source}.{half}.jsonl" for half in ("train", "dev"))
    trained = config.work / "train"
    for path in (train, dev, trained / WEIGHTS):
        if not path.is_file():
            raise StageFailed(f"{path} is missing: finish a run with the source {source!r} first")
    known = list(records.read(train))
    if not known:
        raise StageFailed(f"{train} is empty: there is nothing to recombine")
    names = list(dict.fromkeys(name for record in known for name in record.attributes))
    if len(names) > records.MOST_ATTRIBUTES:
        raise StageFailed(
            f"the source {source!r} names {len(names)} attributes, a record holds {records.MOST_ATTRIBUTES}: "
            "take a source of fewer names"
        )
    barred = {" ".join(record.query.lower().split()) for part in (known, records.read(dev)) for record in part}
    products = catalogues.read(catalogue) if catalogue else []
    made = list(islice(texts(known, products, config.seed, barred=barred), count))
    ranker = load(untrained(config), trained)
    found = labelled(ranker, pretrained.tokenizer(config), made, names)
    return records.write(out, tqdm(found, "records", total=len(made)))
