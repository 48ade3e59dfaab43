"""`python -m model_export fill --catalogue IN.jsonl --out OUT.jsonl`: missing attributes, filled from what texts state.

Knows: the command line, how a bundle becomes a reader. Does not know: how a catalogue is filled.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from model_export.filling.reading import Reader
from model_export.filling.running import LEAST_AGREEMENT, Job, run
from model_export.filling.tally import table
from model_export.stage import StageFailed
from service.bundle import default_folder, open_bundle
from service.cores import usable_cores
from service.model import open_model
from service.pictures import open_pictures
from service.text import Tokenizer


def main(arguments: Sequence[str]) -> None:
    """Fill, and write the report. Raises BadRecord, StageFailed and RankerError, each naming its way out."""
    parser = argparse.ArgumentParser(
        prog="python -m model_export fill",
        description="Fill a catalogue's missing attributes with the values that its titles and texts state. "
        'A line is {"id", "title", "text"?, "attributes": {name: value or null}}; other fields stay as they are. '
        "A run that was cut off goes on where it stopped.",
    )
    parser.add_argument("--catalogue", type=Path, required=True, metavar="IN.jsonl", help="the products, one a line")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT.jsonl", help="the same products, filled")
    parser.add_argument("--bundle", type=Path, help="the bundle's folder (default: the shipped one)")
    usual = "those that a tenth of the products of the same kind or category name, with a value or null"
    parser.add_argument("--attributes", metavar="A,B,C", help=f"the names of what is to be filled (default: {usual})")
    parser.add_argument("--threshold", type=float, help="least probability of a value (default: the bundle's)")
    parser.add_argument(
        "--vocabulary", type=Path, help="JSON file {attribute: [value, …]}: fill with these values only"
    )
    parser.add_argument(
        "--least-agreement",
        type=float,
        default=LEAST_AGREEMENT,
        help="how well a value of the vocabulary must agree with the words found, in [-1, 1] (default: %(default)s)",
    )
    parser.add_argument("--device", default="cpu", choices=("auto", "cpu", "cuda"), help="default: %(default)s")
    given = parser.parse_args(arguments)
    names = None if given.attributes is None else [name.strip() for name in given.attributes.split(",")]
    job = Job(given.catalogue, given.out, names and list(dict.fromkeys(names)), given.vocabulary, given.least_agreement)
    report = fill(job, given.bundle, threshold=given.threshold, device=given.device)
    print(f"{table(report)}\n\nwritten: {job.out}, {job.report}", flush=True)


def fill(job: Job, folder: Path | None, *, threshold: float | None, device: str) -> dict[str, Any]:
    """The same without a command line; returns the report. `threshold` None for the bundle's."""
    bundle = open_bundle(folder or default_folder())
    threshold = bundle.value_threshold if threshold is None else threshold
    if not 0 < threshold < 1:
        raise StageFailed(f"the threshold {threshold:g} is no probability between 0 and 1: take another --threshold")
    tokenizer = Tokenizer(
        bundle.paths["tokenizer"],
        max_query_tokens=bundle.max_query_tokens,
        max_attribute_tokens=bundle.max_attribute_tokens,
    )
    model = open_model(bundle, device=device, threads=1)
    reader = Reader(model, tokenizer, threshold, threads=1 if model.bound else usable_cores())
    return run(job, bundle.version, reader, open_pictures(bundle, model.width))
