"""`python -m model_export STAGE --config FILE`: run one stage, or all of them.

`evaluate` measures any bundle, `compare` tells two apart, `fill` fills the gaps of a catalogue with one, `label` makes
records of queries that nobody labelled, `examples --ubi` of what people did (`examples` alone is the stage).

Knows: which stage reads which folder, which options and which code it depends on. Does not know: what a stage does.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_export import config as configuration
from model_export import logged, stage
from model_export.benchmark import command
from model_export.comparing import command as comparing
from model_export.config import BadConfig, Config
from model_export.filling import command as filling
from model_export.labelling import command as labelling
from model_export.records import BadRecord
from model_export.stage import StageFailed
from service.errors import RankerError

SHIPPED = Path(__file__).parent / "configs" / "default.toml"
NAMES = (
    "sources",
    "base",
    "examples",
    "train",
    "export",
    "quantise",
    "verify",
    "prior",
    "constants",
    "pictures",
    "report",
    "package",
)
TEXT_OPTIONS = ("base", "languages", "max_query_tokens", "max_attribute_tokens")
TOKENS = ("service/naming", "service/text")
SCORES = (*TOKENS, "service/model", "service/scoring", "service/spans")
"""What of the service texts become tokens by, and scores."""
READERS = (
    *("readers", "service/feedback/actions", "service/feedback/keys", "service/feedback/ubi"),
    "service/normalising",
)
"""The readers with what of the service they read events by."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What a stage reads, the options and modules it depends on, and what it does. Its folder bears its name."""

    inputs: Sequence[Path]
    options: Sequence[str]
    modules: Sequence[str]
    work: Callable[[Path], dict[str, Any]]
    resumable: bool = False

    def run(self, name: str, config: Config) -> None:
        """Run it unless nothing it depends on has changed."""
        licences: dict[str, Any] = {"sources": {"__all__": {"licence"}}, "pictures": {"licence"}}
        options = config.model_dump(
            mode="json", include=set(self.options), exclude=licences if name != "package" else None
        )
        stage.run(
            name,
            config.work / name,
            config={"options": options, "code": stage.code(*self.modules)},
            inputs=self.inputs,
            work=self.work,
            resumable=self.resumable,
        )


def stages(config: Config) -> dict[str, Stage]:
    """Every stage by name. Imports are here so that `--help` needs no torch."""
    from model_export import bundled, pretrained
    from model_export.base import write_base
    from model_export.benchmark.constants import write_constants
    from model_export.examples import write_examples
    from model_export.export import export
    from model_export.package import write_bundle
    from model_export.pictures import write_pictures
    from model_export.prior import write_prior
    from model_export.quantise import quantise
    from model_export.report import report
    from model_export.soup import average
    from model_export.sources import write_sources
    from model_export.train import train
    from model_export.verify import verify

    raw = sorted({config.data / path for s in config.sources.values() for path in s.paths})
    raw_names = [config.data / config.languages.taxonomy] if config.languages.taxonomy else []
    base = pretrained.base_folder(config)
    start = pretrained.start_folder(config)
    earlier = {run / "train" for run in (config.teacher, *config.mean_of) if run}
    bundle = {folder for folder in (bundled.start_of(config),) if folder}
    grown = pretrained.grown_folder(config)
    sources, _, examples, trained, exported, quantised, verified, prior, constants, pictures, *_ = (
        config.work / name for name in NAMES
    )
    made = (examples, trained, exported, quantised)
    packed = (sources, exported, quantised, verified, prior, constants, pictures)
    of_sources, of_training = ("sources", "seed"), ("sources", "seed", "training", "layers", "mean_of", *TEXT_OPTIONS)
    of_verify = ("thresholds", "gpu_file", "value_threshold", "layers", *TEXT_OPTIONS)
    works: dict[str, Stage] = {
        "sources": Stage(
            raw,
            of_sources,
            ("sources", *READERS, "catalogues", "products", "records", "names"),
            lambda out: write_sources(config, out),
        ),
        "base": Stage(
            (sources, base, *raw_names, *bundle),
            (*of_sources, *TEXT_OPTIONS),
            (
                *("base", "batches", "bundled", "losses", "names", "network", "pretrained"),
                *(*READERS, "records", "sources", "translations", *TOKENS),
            ),
            lambda out: write_base(config, sources, out),
        ),
        "examples": Stage(
            (sources, start, *raw_names),
            (*of_sources, *TEXT_OPTIONS),
            ("examples", "names", "pretrained", "records", "spellings", "translations", *TOKENS),
            lambda out: write_examples(config, sources, out),
        ),
        "train": Stage(
            (examples, *sorted({start, grown}), *sorted(earlier | bundle)),
            of_training,
            (
                *("train", "batches", "losses", "network", "optimising", "sample_weights", "sampling", "variations"),
                *("bundled", "distilling", "soup"),
                *("examples", "pretrained", "records", "rows", "spellings", *TOKENS),
            ),
            lambda out: average(config, out) if config.mean_of else train(config, examples, out),
            resumable=True,
        ),
        "export": Stage(
            (examples, trained, start),
            ("gpu_file", "layers", *TEXT_OPTIONS),
            ("export", "distilling", "network", "batches", "evaluation", "pretrained", "rows", *SCORES),
            lambda out: export(config, examples, trained, out),
        ),
        "quantise": Stage(
            (examples, exported),
            ("quantising", "seed", *TEXT_OPTIONS),
            ("quantise", "ranges", "attention", "pretrained", "rows", *TOKENS),
            lambda out: quantise(config, examples, exported, out),
        ),
        "verify": Stage(
            made,
            of_verify,
            ("verify", "evaluation", "metrics", "network", "pretrained", "reference", "rows", *SCORES),
            lambda out: verify(config, *made, out),
        ),
        "prior": Stage(
            (examples, quantised),
            ("sources", "seed", *TEXT_OPTIONS),
            ("prior", "pretrained", "records", "spellings", *SCORES),
            lambda out: write_prior(config, examples, quantised, out),
        ),
        "pictures": Stage(
            (quantised, start, *([config.data / config.pictures.catalogue] if config.pictures.catalogue else [])),
            ("pictures", "seed", "value_threshold", *TEXT_OPTIONS),
            (
                *("pictures", "lessons", "gating", "fusion", "filling", "products"),
                *(*SCORES, "service/denial", "service/matching", "service/normalising", "service/pictures"),
            ),
            lambda out: write_pictures(config, quantised, out),
        ),
        "report": Stage(
            (*made, verified, prior),
            ("name", *of_training),
            ("report", "figures", "baselines", "metrics", "evaluation", "pretrained", "rows", *SCORES),
            lambda out: report(config, *made, verified, prior, out),
        ),
        "constants": Stage(
            (exported, quantised, *(config.data / folder for folder in config.ranking.lists)),
            ("ranking", "sources", "value_threshold", *TEXT_OPTIONS),
            (
                *("benchmark", "catalogues", "metrics", "pretrained", "products", *READERS, "spellings"),
                *(*SCORES, "service/matching", "service/relevance"),
            ),
            lambda out: write_constants(config, exported, quantised, out),
        ),
        "package": Stage(
            packed,
            sorted(set(Config.model_fields) - {"data", "work"}),
            ("package", "verify"),
            lambda out: write_bundle(config, *packed, out),
        ),
    }
    return works


def main() -> None:
    """Read the command line and run. Errors that name their way out are told in one sentence."""
    try:
        if sys.argv[1:2] == ["evaluate"]:
            command.main(sys.argv[2:], shipped=SHIPPED)
        elif sys.argv[1:2] == ["examples"] and any(argument.startswith("--ubi") for argument in sys.argv):
            logged.main(sys.argv[2:])
        elif sys.argv[1:2] == ["compare"]:
            comparing.main(sys.argv[2:])
        elif sys.argv[1:2] == ["fill"]:
            filling.main(sys.argv[2:])
        elif sys.argv[1:2] == ["label"]:
            labelling.main(sys.argv[2:], shipped=SHIPPED)
        else:
            _run_stages()
    except (BadConfig, BadRecord, StageFailed, RankerError) as error:
        sys.exit(f"model_export: {error}")


def _run_stages() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m model_export",
        description="From data to a bundle.",
        epilog="In place of a stage, 'evaluate' measures a bundle, 'compare' tells two apart, 'fill' fills a "
        "catalogue's missing attributes and 'label' labels queries: see python -m model_export evaluate --help, and so "
        "on. 'examples --ubi FOLDER --out FILE.jsonl' makes training records of what people did.",
    )
    parser.add_argument("stage", choices=("all", *NAMES), help="'all' runs each stage that has something to do")
    parser.add_argument("--config", type=Path, default=SHIPPED, help="the run's TOML file (default: the shipped one)")
    parser.add_argument("--data", type=Path, help="folder of the data sets (default: the config's)")
    parser.add_argument("--work", type=Path, help="folder of the stages (default: the config's)")
    weightings = ("none", "likelihood-ratio", "self-paced")
    parser.add_argument("--sample-weighting", choices=weightings, help="short for --set training.sample_weighting=")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="like training.steps=100")
    arguments = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    weighting = arguments.sample_weighting
    replaced = [*arguments.set, *([f"training.sample_weighting={weighting}"] if weighting else [])]
    config = configuration.load(arguments.config, data=arguments.data, work=arguments.work, replaced=replaced)
    config.work.mkdir(parents=True, exist_ok=True)
    found = stages(config)
    needed = [name for name in NAMES if name != "base" or config.teacher is None]  # a teacher brings its own
    for name in needed if arguments.stage == "all" else (arguments.stage,):
        found[name].run(name, config)
    if arguments.stage == "verify":
        from model_export.verify import refuse

        refuse(config, *(config.work / name for name in ("export", "quantise", "verify")))


if __name__ == "__main__":
    main()
