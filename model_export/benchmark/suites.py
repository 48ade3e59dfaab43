"""Which suites there are: what each asks of the bundle, on which data, beside which baselines.

Knows: the order of things. Does not know: how anything is computed, where results go.
"""

import random
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from model_export import baselines as compared
from model_export import evaluation, pretrained, sources
from model_export.benchmark import applicability, composed, kinds, mentions, products, ranking, splits, values
from model_export.benchmark.applicability import CHINESE, LANGUAGES, frequency_and_cosine, in_language
from model_export.benchmark.calibration import calibration
from model_export.benchmark.judge import Answer, Judge, Remembered, Vectors
from model_export.benchmark.measure import Suite
from model_export.benchmark.mentions import Baselines
from model_export.benchmark.splits import Split
from model_export.config import Config, Source
from model_export.evaluation import Prediction
from model_export.prior import Prior
from model_export.prior import read as read_prior
from model_export.records import Record
from model_export.spellings import SPELLINGS, UNSEEN
from model_export.stage import hashes
from service.bundle import Bundle, Formula
from service.matching.parsing import Parser
from service.matching.units import Units

OTHERS = "others"
"""The group of sources of every reader without a suite of its own."""
MOST_ASKED = 2_000
"""So many queries of such a source, or of composed ones, are asked, drawn by the config's seed."""
NO_DEV = "its dev half holds nothing to ask: give it `dev` or `keep_aside`"


class Answering(Protocol):
    """A bundle's `Judge`, or what stands in its place."""

    @property
    def temperature(self) -> float:
        """What logits are divided by before they become weights."""
        ...

    def answers(self, asked: Sequence[Record], what: str) -> list[Answer]:
        """The answers to the questions of the suite `what`, in the records' order."""
        ...


@dataclass(frozen=True, slots=True)
class Setting:
    """What the suites run on: a config for the data and its split, who is asked, and the baselines' knowledge.

    Products are ranked with a bundle's judge alone, by the bundle's `formula`.
    """

    config: Config
    judge: Answering
    prior: Prior
    pretrained: Vectors
    formula: Formula

    @classmethod
    def of(cls, config: Config, judge: Answering, bundle: Bundle) -> Self:
        """With the prior and the formula of a bundle."""
        prior = read_prior(bundle.paths["prior"].parent)
        return cls(config, judge, prior, pretrained_vectors(config), bundle.formula)

    def predictions(self, asked: Sequence[Record], what: str) -> list[Prediction]:
        """The judge's answers as predictions."""
        return [evaluation.prediction(a.record, a.query, a.pairs) for a in self.judge.answers(asked, what)]

    def baselines(self, train: Sequence[Record], dev: Sequence[Record]) -> Baselines:
        """Ranking metrics of every baseline that reads no query with the model."""
        return compared.baselines(self.config, train, dev, self.prior, embed=self._embed)

    def _embed(self, _: Config, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.pretrained(texts).astype(np.float32)


@dataclass(slots=True)
class Findings:
    """Measures by suite, the predictions that the reliability plots show, the hash of every file read, the splits."""

    suites: dict[str, Suite] = field(default_factory=dict)
    reliability: dict[str, list[Prediction]] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    splits: list[Split] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def pretrained_vectors(config: Config) -> Vectors:
    """The base before any training, each text embedded once."""
    return Remembered(lambda texts: pretrained.embed(config, texts).astype(np.float64))


def run(setting: Setting) -> Findings:
    """Measure everything that the data folder has data for."""
    found = Findings(splits=splits.of_sources(setting.config))
    by_reader = _by_reader(setting.config, found)
    for name, source in by_reader["queryner"].items():
        _mention(setting, name, source, found)
    for name, source in by_reader["titles"].items():
        _values(setting, name, source, found)
    for name, source in by_reader["taxonomy"].items():
        if source.language == "en":
            _applicability(setting, name, source, found)
        elif source.train not in {each.train for each in by_reader["taxonomy"].values() if each.language == "en"}:
            found.left_out.append(f"{name}: other languages are asked of an English source of the same taxonomy")
    trained = kinds.trained_on(setting.config) if by_reader["catalogue"] else set()
    for name, source in by_reader["catalogue"].items():
        _kinds(setting, name, source, trained, found)
    for name, source in by_reader["taxonomy_values"].items():
        _composed(setting, name, source, found)
    for name, source in by_reader[OTHERS].items():
        _as_asked(setting, name, source, found)
    if isinstance(setting.judge, Judge):
        _ranking(setting, setting.judge, found)
    else:
        found.left_out.append("ranking products: that is measured of a bundle alone")
    return found


def _ranking(setting: Setting, judge: Judge, found: Findings) -> None:
    sets, parser = {}, Parser(Units.read())
    if not setting.config.ranking.lists:
        found.left_out.append("ranking products: the config's ranking.lists names no judged products")
    for folder in map(Path.as_posix, setting.config.ranking.lists):
        path = setting.config.data / folder
        if path.is_dir():
            found.data |= {key.removeprefix("0/"): digest for key, digest in hashes([path]).items()}
            vectors, lists = Remembered(judge.vectors), products.lists(setting.config, folder)
            ranked = ranking.features(lists, judge, vectors, setting.pretrained, parser)
            sets[folder] = ranking.by_query(ranked, setting.formula)
            found.suites[f"ranking products, {folder}"] = ranking.ranking(sets[folder])
            found.splits.append(splits.of_lists(setting.config, folder))
        else:
            found.left_out.append(f"ranking products, {folder}: there is no {path}")
    if len(sets) > 1:
        pooled = ranking.pooled(list(sets.values()))
        found.suites[f"ranking products, {' and '.join(sets)}"] = ranking.ranking(pooled)


def _by_reader(config: Config, found: Findings) -> dict[str, dict[str, Source]]:
    """The sources whose files are there, by reader and name; notes the others, and the hashes of these."""
    own = ("queryner", "titles", "taxonomy", "taxonomy_values", "catalogue")
    groups: dict[str, dict[str, Source]] = {reader: {} for reader in (*own, OTHERS)}
    for name, source in config.sources.items():
        missing = [path for path in source.paths if not (config.data / path).exists()]
        if missing:
            found.left_out.append(f"{name}: there is no {config.data / missing[0]}")
        else:
            groups.get(source.reader, groups[OTHERS])[name] = source
            found.data |= sources.raw_files(config, source)
    return groups


def _mention(setting: Setting, name: str, source: Source, found: Findings) -> None:
    config = setting.config
    train = list(sources.half_of(config, source, "train"))
    dev = list(sources.half_of(config, source, "dev"))
    if not dev:
        found.left_out.append(f"{name}: {NO_DEV}")
        return
    title = f"mention, {name}"
    plain = setting.predictions(dev, title)
    found.suites[title] = mentions.mention(plain, setting.baselines(train, dev))
    others = mentions.far_names(_catalogue_names(config), dev[0].attributes, setting.pretrained)
    if others:
        more = [mentions.among_others(record, others, seed=config.seed) for record in dev]
        with_others = f"{title}, {mentions.OTHERS} other names"
        suite = mentions.ranking(setting.predictions(more, with_others), setting.baselines(train, more))
        found.suites[with_others] = suite
    else:
        found.left_out.append(f"{title}, other names: the catalogues have none of other meaning")
    for kind, spellings in (("unseen names", UNSEEN), ("training spellings", SPELLINGS)):
        renamed = [mentions.renamed(record, spellings, seed=config.seed) for record in dev]
        predicted = setting.predictions(renamed, f"{title}, {kind}")
        suite = mentions.ranking(predicted, setting.baselines(train, renamed))
        found.suites[f"{title}, {kind}"] = suite | mentions.beside_plain(predicted, plain)
    _calibrate(setting, name, plain, found)


def _calibrate(setting: Setting, name: str, predictions: list[Prediction], found: Findings) -> None:
    found.reliability[name] = predictions
    folds = [ranking.fold(prediction.record.query, 0) for prediction in predictions]
    suite = calibration(predictions, folds, temperature=setting.judge.temperature)
    found.suites[f"calibration, {name}"] = suite


def _catalogue_names(config: Config) -> set[str]:
    """Attribute names, in lower case, of the sources of taxonomy and titles in English that are there."""
    catalogues = [s for s in config.sources.values() if s.reader in {"taxonomy", "titles"} and s.language == "en"]
    there = [source for source in catalogues if (config.data / source.train).exists()]
    records = (record for source in there for record in sources.half_of(config, source, "train"))
    return {name.lower() for record in records for name in record.attributes}


def _values(setting: Setting, name: str, source: Source, found: Findings) -> None:
    titles = values.dev_titles(setting.config, source)
    if titles:
        answers = setting.judge.answers([title.record() for title in titles], f"values, {name}")
        found.suites[f"values, {name}"] = values.values(titles, answers)
    else:
        found.left_out.append(f"{name}: {NO_DEV}")


def _applicability(setting: Setting, name: str, source: Source, found: Findings) -> None:
    config = setting.config
    for language in ("en", *LANGUAGES):
        if language != "en" and not (config.data / source.train / f"names.{language}.json.gz").is_file():
            found.left_out.append(f"{name}, {language}: the taxonomy has no names.{language}.json.gz")
            continue
        spoken = in_language(source, language)
        counts = applicability.used(config, spoken)
        asked = applicability.questions(config, spoken, counts)
        if not asked:
            found.left_out.append(f"{name}, {language}: {NO_DEV}")
            continue
        predictions = setting.predictions(asked, f"applicability, {name}, {language}")
        with_cosine = language in {"en", CHINESE}
        baselines = _applicability_baselines(setting, counts, asked) if with_cosine else {}
        found.suites[f"applicability, {name}, {language}"] = mentions.ranking(predictions, baselines)
        if language == "en":
            _calibrate(setting, name, predictions, found)


def _kinds(setting: Setting, name: str, source: Source, trained: Set[kinds.Name], found: Findings) -> None:
    config = setting.config
    known = list(sources.half_of(config, source, "train"))
    asked, seen = kinds.unseen(config, source, trained)
    if seen:
        found.left_out.append(f"fill and spread, {name}: {', '.join(seen)}: another source trains on the kind")
    for title, questions in ((name, asked), (f"{name}, asked by titles", kinds.by_titles(config, source, asked))):
        if questions:
            predictions = setting.predictions([each.record for each in questions], f"fill and spread, {title}")
            cosines = compared.cosines(config, [each.record for each in questions], setting._embed)
            beside = kinds.baselines(questions, known, cosines)
            found.suites[f"fill and spread, {title}"] = kinds.ranking(
                questions, [p.logits for p in predictions], beside
            )
        else:
            found.left_out.append(f"fill and spread, {title}: no kind that training never saw can be asked about")


def _composed(setting: Setting, name: str, source: Source, found: Findings) -> None:
    train, asked = composed.halves(setting.config, source)
    asked = _some(setting.config, name, asked)
    if asked:
        title = f"composed queries, {name}"
        found.suites[title] = mentions.mention(setting.predictions(asked, title), setting.baselines(train, asked))
    else:
        found.left_out.append(f"{name}: {NO_DEV}")


def _some(config: Config, name: str, asked: list[Record]) -> list[Record]:
    """At most `MOST_ASKED` of them."""
    if len(asked) <= MOST_ASKED:
        return asked
    return random.Random(f"{config.seed}/{name}").sample(asked, MOST_ASKED)


def _as_asked(setting: Setting, name: str, source: Source, found: Findings) -> None:
    """The dev queries of a source with the attributes that it holds beside them."""
    config = setting.config
    asked = [record for record in sources.half_of(config, source, "dev") if record.ranks]
    if not asked:
        found.left_out.append(f"{name}: no query of its dev half has attributes of which some matter and some do not")
        return
    asked = _some(config, name, asked)
    predictions = setting.predictions(asked, f"as asked, {name}")
    beside = setting.baselines(list(sources.half_of(config, source, "train")), asked)
    found.suites[f"as asked, {name}"] = mentions.mention(predictions, beside)
    _calibrate(setting, name, predictions, found)


def _applicability_baselines(setting: Setting, counts: Counter[str], asked: Sequence[Record]) -> Baselines:
    cosines = compared.cosines(setting.config, asked, setting._embed)
    frequency = [np.array([float(counts[name]) for name in record.attributes]) for record in asked]
    scores = {
        "equal weights": [np.zeros(len(record.attributes)) for record in asked],
        "type frequency": frequency,
        "pretrained cosine": cosines,
        "frequency and cosine": frequency_and_cosine(asked, counts, cosines),
    }
    return {name: compared.measured(rows, asked, seed=setting.config.seed) for name, rows in scores.items()}
