"""Stage 9: the constants of a product's score, fitted to judged products, and how near two names must be to mean one.

The text's and the attributes' constants are those whose nDCG@10 is best on the average, every set of judged products
counting alike; what that is worth on queries they were not fitted to is told by cross-validation. Names are joined at
the cosine where most other spellings find their own name and fewest find another.

Knows: what is fitted, on which data, where it is kept. Does not know: the formula, how spellings are made.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_export import metrics, pretrained
from model_export.benchmark import products, ranking
from model_export.benchmark.judge import Judge, Remembered, Vectors
from model_export.benchmark.ranking import EXCLUSIONS, OVERLAPS, STRENGTHS, TOP, Features
from model_export.config import Config
from model_export.export import CALIBRATION
from model_export.quantise import INT8
from model_export.spellings import SPELLINGS, UNSEEN
from service.bundle import Formula
from service.matching.parsing import Parser
from service.matching.units import Units
from service.model import open_graph

CONSTANTS = "constants.json"
JOINS = tuple(round(0.5 + step / 50, 2) for step in range(25))
"""Cosines at which names may be joined, 0.5 to 0.98."""

Settings = NDArray[np.float64]


def write_constants(config: Config, exported: Path, quantised: Path, out: Path) -> dict[str, Any]:
    """Run the stage: `constants.json`, a number for each constant of `service.bundle.Formula`.

    Without judged products (`ranking.lists`) all of them are the config's. Raises BadRecord.
    """
    fitted = Formula(config.ranking.overlap, config.ranking.exclusion, config.ranking.strength, config.ranking.join)
    outcome: dict[str, Any] = {}
    if config.ranking.lists:
        temperature = json.loads((exported / CALIBRATION).read_text(encoding="utf-8"))["temperature"]
        model = open_graph(quantised / INT8, device="cpu")
        judge = Judge(model, pretrained.tokenizer(config), temperature, config.value_threshold)
        vectors = Remembered(judge.vectors)
        sets = {str(folder): _features(config, str(folder), judge, vectors) for folder in config.ranking.lists}
        fitted, outcome["nDCG@10, cross-validated"] = fit_score(sets, fitted)
        join, told = fit_join(lambda names: vectors([judge.tokenizer.plain(name).casefold() for name in names]))
        fitted, outcome["unseen names joined"] = fitted._replace(join=join), told
    (out / CONSTANTS).write_text(json.dumps(fitted._asdict(), indent=1) + "\n", encoding="utf-8")
    return outcome | fitted._asdict()


def _features(config: Config, folder: str, judge: Judge, vectors: Vectors) -> list[Features]:
    return ranking.features(products.lists(config, folder), judge, vectors, vectors, Parser(Units.read()))


def fit_score(sets: Mapping[str, Sequence[Features]], given: Formula) -> tuple[Formula, dict[str, float]]:
    """The constants with the best mean, and by set the cross-validated nDCG@10. Of equally good ones the smallest."""
    settings = list(product(OVERLAPS, EXCLUSIONS, STRENGTHS))
    means, validated = [], {}
    for name, found in sets.items():
        scores = [[ranking.score(each, "model", *setting) for each in found] for setting in settings]
        gains = [each.gains for each in found]
        means.append([_mean(row, gains) for row in scores])
        validated[name] = float(ranking.validated(scores, [each.query for each in found], gains).mean())
    overlap, exclusion, strength = settings[int(np.mean(means, axis=0).argmax())]
    return given._replace(overlap=overlap, exclusion=exclusion, strength=strength), validated


def _mean(scores: Sequence[Settings], gains: Sequence[Settings]) -> float:
    return float(np.mean([metrics.ndcg(one, each, top=TOP) for one, each in zip(scores, gains, strict=True)]))


def fit_join(vectors: Vectors) -> tuple[float, dict[str, float]]:
    """The cosine at which spellings are joined to names, and how it does on the spellings that no training saw.

    Every spelling looks for the nearest of all names twice: its own among them, and not. Joined to its own it is right,
    to another it is wrong; the threshold with the most right less wrong is taken, of equally good ones the largest.
    `recall`: share of the unseen spellings joined to their own; `precision`: of those joined to any.
    """
    decided = decisions(SPELLINGS, vectors)
    worth = [sum((1 if right else -1) for cosine, right in decided if cosine >= join) for join in JOINS]
    best = max(range(len(JOINS)), key=lambda place: (worth[place], JOINS[place]))
    unseen = [right for cosine, right in decisions(UNSEEN, vectors) if cosine >= JOINS[best]]
    asked = sum(map(len, UNSEEN.values()))
    return JOINS[best], {"recall": sum(unseen) / asked, "precision": sum(unseen) / len(unseen) if unseen else 1.0}


def decisions(spellings: Mapping[str, Sequence[str]], vectors: Vectors) -> list[tuple[float, bool]]:
    """(cosine to the nearest name, whether it is of the same meaning), twice for every English spelling."""
    names = [name for name in SPELLINGS if name.isascii()]
    owners = {name: {name, *SPELLINGS[name]} for name in names}
    asked = [(s, name) for name, others in spellings.items() if name.isascii() for s in others if s not in owners]
    cosines = vectors([spelling for spelling, _ in asked]) @ vectors(names).T
    found = []
    for row, (spelling, name) in zip(cosines, asked, strict=True):
        own = np.array([other == name or spelling in owners[other] or name in owners[other] for other in names])
        nearest = int(row.argmax())
        found.append((float(row[nearest]), bool(own[nearest])))
        found.append((float(row[~own].max()), False))
    return found
