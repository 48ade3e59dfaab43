"""`python -m model_export STAGE --config FILE`: run one stage, or all of them.

Knows: which stage reads which folder. Does not know: what a stage does.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_export import config as configuration
from model_export import stage
from model_export.config import BadConfig, Config
from model_export.records import BadRecord
from model_export.stage import StageFailed
from service.errors import RankerError

SHIPPED = Path(__file__).parent / "configs" / "default.toml"

Work = Callable[[Path], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Stage:
    """What a stage reads, which options it depends on, and what it does. Its folder bears its name."""

    inputs: Iterable[Path]
    options: Iterable[str]
    work: Work
    resumable: bool = False


def stages(config: Config) -> dict[str, Stage]:
    """Every stage, in order. Imports are here so that `--help` needs no torch."""
    from model_export import pretrained
    from model_export.examples import write_examples
    from model_export.export import export
    from model_export.package import write_bundle
    from model_export.quantise import quantise
    from model_export.report import report
    from model_export.sources import write_sources
    from model_export.train import train
    from model_export.verify import verify

    raw = {config.data / path for s in config.sources.values() for path in (s.train, s.dev) if path is not None}
    base = pretrained.base_folder(config)
    at = {name: config.work / name for name in ("sources", "examples", "train", "export", "quantise", "verify")}
    made = [at["examples"], at["train"], at["export"], at["quantise"]]
    text = ("base", "max_query_tokens", "max_attribute_tokens")

    return {
        "sources": Stage(sorted(raw), ("sources", "seed"), lambda out: write_sources(config, out)),
        "examples": Stage(
            [at["sources"], base], ("sources", *text), lambda out: write_examples(config, at["sources"], out)
        ),
        "train": Stage(
            [at["examples"], base],
            ("sources", "training", "seed", *text),
            lambda out: train(config, at["examples"], out),
            resumable=True,
        ),
        "export": Stage(
            [at["examples"], at["train"], base],
            ("gpu_file", "value_threshold", *text),
            lambda out: export(config, at["examples"], at["train"], out),
        ),
        "quantise": Stage(
            [at["examples"], at["export"]],
            ("quantising", "seed", *text),
            lambda out: quantise(config, at["examples"], at["export"], out),
        ),
        "verify": Stage(
            made,
            ("thresholds", "gpu_file", "value_threshold", *text),
            lambda out: verify(config, at["examples"], at["train"], at["export"], at["quantise"], out),
        ),
        "package": Stage(
            [at["export"], at["quantise"], at["verify"]],
            Config.model_fields,
            lambda out: write_bundle(config, at["export"], at["quantise"], at["verify"], out),
        ),
        "report": Stage(
            [*made, at["verify"]],
            ("name", "sources"),
            lambda out: report(config, at["examples"], at["train"], at["export"], at["quantise"], at["verify"], out),
        ),
    }


def main() -> None:
    """Read the command line and run. Errors that name their way out are told in one sentence."""
    names = ("all", "sources", "examples", "train", "export", "quantise", "verify", "package", "report")
    parser = argparse.ArgumentParser(prog="python -m model_export", description="From data to a bundle.")
    parser.add_argument("stage", choices=names, help="which stage to run; 'all' runs each that has something to do")
    parser.add_argument("--config", type=Path, default=SHIPPED, help="the run's TOML file (default: the shipped one)")
    parser.add_argument("--data", type=Path, help="folder of the data sets (default: the config's)")
    parser.add_argument("--work", type=Path, help="folder of the stages (default: the config's)")
    arguments = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        config = configuration.load(arguments.config, data=arguments.data, work=arguments.work)
        config.work.mkdir(parents=True, exist_ok=True)
        found = stages(config)
        for name in found if arguments.stage == "all" else (arguments.stage,):
            chosen = found[name]
            stage.run(
                name,
                config.work / name,
                config=config.model_dump(mode="json", include=set(chosen.options)),
                inputs=chosen.inputs,
                work=chosen.work,
                resumable=chosen.resumable,
            )
    except (BadConfig, BadRecord, StageFailed, RankerError) as error:
        sys.exit(f"model_export: {error}")


if __name__ == "__main__":
    main()
