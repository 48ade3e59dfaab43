"""`python -m model_export evaluate --bundle FOLDER --data FOLDER`: everything that a bundle claims, measured.

Knows: the command line, the files written. Does not know: the suites.
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from model_export import config as configuration
from service.bundle import default_folder, open_bundle
from service.model import open_graph
from service.text import Tokenizer

JSON, PAGE = "evaluation.json", "evaluation.html"


def main(arguments: Sequence[str], *, shipped: Path) -> None:
    """Measure and write `evaluation.json` and `evaluation.html`.

    Raises BadConfig, BadRecord, StageFailed and RankerError, each with a sentence that names its way out.
    """
    parser = argparse.ArgumentParser(
        prog="python -m model_export evaluate",
        description="Measure a bundle on the dev halves of the data, with 95 % intervals and baselines.",
    )
    parser.add_argument("--bundle", type=Path, help="the bundle's folder (default: the shipped one)")
    parser.add_argument("--data", type=Path, help="folder of the data sets (default: the config's)")
    parser.add_argument(
        "--config", type=Path, default=shipped, help="a run's TOML file, for its sources and their split"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/evaluation"), help="folder of the results")
    parser.add_argument("--fp32", type=Path, help="the run's fp32 graph: tell each metric's difference to it")
    given = parser.parse_args(arguments)
    os.environ["HF_HUB_OFFLINE"] = "1"
    evaluate(given.bundle, configuration.load(given.config, data=given.data), given.out, fp32=given.fp32)


def evaluate(bundle_folder: Path | None, config: configuration.Config, out: Path, *, fp32: Path | None = None) -> None:
    """The same without a command line. What needs torch is imported once the bundle is known to be one."""
    folder = bundle_folder or default_folder()
    bundle = open_bundle(folder)
    tokenizer = Tokenizer(
        bundle.paths["tokenizer"],
        max_query_tokens=bundle.max_query_tokens,
        max_attribute_tokens=bundle.max_attribute_tokens,
    )
    from model_export.benchmark import page, suites
    from model_export.benchmark.judge import Judge
    from model_export.prior import read as read_prior

    judge = Judge(open_graph(bundle.paths["cpu"], device="cpu"), tokenizer, bundle.temperature, bundle.value_threshold)
    setting = suites.Setting(config, judge, read_prior(folder), suites.pretrained_vectors(config), bundle.formula)
    found = suites.run(setting)
    reference = None
    if fp32:
        reference = suites.run(replace(setting, judge=replace(judge, model=open_graph(fp32, device="cpu"))))
    out.mkdir(parents=True, exist_ok=True)
    named = {"name": bundle.name, "version": bundle.version}
    (out / JSON).write_text(page.to_json(found, **named, fp32=reference), encoding="utf-8")
    html = page.page(found, **named, temperature=bundle.temperature, fp32=reference)
    (out / PAGE).write_text(html, encoding="utf-8")
    print(page.table(found, reference))
    print(f"\nwritten: {out / JSON}, {out / PAGE}", flush=True)
