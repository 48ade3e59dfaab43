"""`python -m model_export evaluate --bundle FOLDER --data FOLDER`: everything that a bundle claims, measured.

`--questions` writes what is asked of it, `--answers` measures another system by what it answered.

Knows: the command line, the files written. Does not know: the suites.
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from model_export import config as configuration
from model_export.stage import make, sha256
from service.bundle import default_folder, open_bundle

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
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--fp32", type=Path, help="the run's fp32 graph: tell each metric's difference to it")
    one.add_argument("--questions", type=Path, metavar="FILE.jsonl", help="write all questions and measure nothing")
    one.add_argument("--answers", type=Path, metavar="FILE.jsonl", help="measure these answers in place of a bundle's")
    given = parser.parse_args(arguments)
    os.environ["HF_HUB_OFFLINE"] = "1"
    config = configuration.load(given.config, data=given.data)
    if given.questions:
        write_questions(given.bundle, config, given.questions)
    else:
        evaluate(given.bundle, config, given.out, fp32=given.fp32, answers=given.answers)


def write_questions(bundle_folder: Path | None, config: configuration.Config, path: Path) -> None:
    """Write what the suites ask, products to rank left out, as `model_export.benchmark.answers` documents it."""
    bundle = open_bundle(bundle_folder or default_folder())
    from model_export.benchmark import suites
    from model_export.benchmark.answers import Questions

    questions = Questions()
    suites.run(suites.Setting.of(config, questions, bundle))
    questions.write(path)
    print(f"written: {path}, {len(questions.lines):,} questions", flush=True)


def evaluate(
    bundle_folder: Path | None,
    config: configuration.Config,
    out: Path,
    *,
    fp32: Path | None = None,
    answers: Path | None = None,
) -> None:
    """The same without a command line; with `answers` the bundle lends the baseline of its prior and no more.

    What needs torch is imported once the bundle is known to be one.
    """
    bundle = open_bundle(bundle_folder or default_folder())
    make(out)
    from model_export.benchmark import page, suites
    from model_export.benchmark.answers import Answers
    from model_export.benchmark.judge import Judge

    judge = Answers(answers) if answers else Judge.of(bundle, bundle.paths["cpu"])
    setting = suites.Setting.of(config, judge, bundle)
    found = suites.run(setting)
    reference = suites.run(replace(setting, judge=Judge.of(bundle, fp32))) if fp32 else None
    named = {"name": bundle.name, "version": bundle.version}
    if answers:
        named = {"name": answers.name, "version": sha256(answers)[:12]}
    (out / JSON).write_text(page.to_json(found, **named, fp32=reference), encoding="utf-8")
    html = page.page(found, **named, temperature=judge.temperature, fp32=reference)
    (out / PAGE).write_text(html, encoding="utf-8")
    print(page.table(found, reference))
    print(f"\nwritten: {out / JSON}, {out / PAGE}", flush=True)
