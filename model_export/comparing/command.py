"""`python -m model_export compare A B --requests FILE.jsonl`: how a new bundle's weights differ, before it is taken.

Knows: the command line, the files written. Does not know: what is measured.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from model_export.stage import StageFailed, make
from service.bundle import Bundle, open_bundle
from service.model import open_graph
from service.text import Tokenizer

JSON, PAGE = "comparison.json", "comparison.html"
MOST_REQUESTS = 10_000


def main(arguments: Sequence[str]) -> None:
    """Compare and write `comparison.json` and `comparison.html`.

    Raises BadRecord, StageFailed and RankerError, each with a sentence that names its way out.
    """
    parser = argparse.ArgumentParser(
        prog="python -m model_export compare",
        description="Ask two bundles the same requests: divergence of the weights, changed top-1, entropy, and where "
        "the requests have gains top-1, MAP and nDCG of both, with 95 % intervals.",
    )
    parser.add_argument("a", type=Path, metavar="A", help="folder of the bundle in service")
    parser.add_argument("b", type=Path, metavar="B", help="folder of the bundle that may take its place")
    parser.add_argument(
        "--requests", type=Path, required=True, metavar="FILE.jsonl",
        help='a request on each line, {"query", "attributes", "gains"?}; may be gzipped',
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("runs/comparison"), help="folder of the results")
    parser.add_argument(
        "--most", type=int, default=MOST_REQUESTS, help="requests asked, spread over the file (default: %(default)s)"
    )
    given = parser.parse_args(arguments)
    compare(given.a, given.b, given.requests, given.out, most=given.most)


def compare(a: Path, b: Path, requests: Path, out: Path, *, most: int = MOST_REQUESTS) -> None:
    """The same without a command line. matplotlib is imported once both folders are known to be bundles."""
    if most < 1:
        raise StageFailed(f"--most {most} asks for no request: give at least 1")
    bundles = open_bundle(a), open_bundle(b)
    make(out)
    from model_export.benchmark.judge import Judge
    from model_export.comparing import page
    from model_export.comparing import requests as reading
    from model_export.comparing.comparison import Weighed, compared

    tokenizers = [_tokenizer(bundle) for bundle in bundles]
    asked = reading.read(requests, most=most)
    readable = [record for record in asked if reading.readable(tokenizers, record)]
    if not readable:
        raise StageFailed(f"{requests} holds no request that both bundles can read")
    sides = []
    for side, bundle, tokenizer in zip("AB", bundles, tokenizers, strict=True):
        judge = Judge(
            open_graph(bundle.paths["cpu"], device="cpu"), tokenizer, bundle.temperature, bundle.value_threshold
        )
        sides.append([judge.weights(answer) for answer in judge.answers(readable, side)])
    weighed = [Weighed(*each) for each in zip(readable, *sides, strict=True)]
    found = compared(weighed, len(asked) - len(readable))
    names = [page.Name(bundle.name, bundle.version) for bundle in bundles]
    (out / JSON).write_text(page.to_json(found, *names), encoding="utf-8")
    (out / PAGE).write_text(page.page(found, *names), encoding="utf-8")
    print(f"{page.table(found)}\n\nwritten: {out / JSON}, {out / PAGE}", flush=True)


def _tokenizer(bundle: Bundle) -> Tokenizer:
    return Tokenizer(
        bundle.paths["tokenizer"],
        max_query_tokens=bundle.max_query_tokens,
        max_attribute_tokens=bundle.max_attribute_tokens,
    )
