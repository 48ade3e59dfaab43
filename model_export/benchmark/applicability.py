"""Which attributes a kind of product has: kinds that training never saw, in English and in other languages.

Knows: how the dev questions of the taxonomy are made in any of its languages, this suite's own baseline.
Does not know: the model.
"""

import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model_export.baselines import together
from model_export.config import Config, Source
from model_export.examples import with_others
from model_export.records import Record
from model_export.sources import half_of

CHINESE = "zh-CN"
MOST_KINDS = 200
"""So many kinds are asked in a language that is there for information only: what is neither English nor Chinese."""

LANGUAGES = (CHINESE, "zh-TW", "ja", "de", "es", "fr", "pt-BR")


def in_language(source: Source, language: str) -> Source:
    """The same source of the taxonomy, its kinds and names in another language."""
    return source.model_copy(update={"language": language, "english_names": 0.0})


def used(config: Config, source: Source) -> Counter[str]:
    """How many records of the train half have each name."""
    return Counter(name.lower() for record in half_of(config, source, "train") for name in record.attributes)


def questions(config: Config, source: Source, counts: Counter[str]) -> list[Record]:
    """The kinds kept aside, their own attributes against others drawn by frequency, as the stage `examples` does.

    In a language for information at most `MOST_KINDS` of them, drawn by the config's seed.
    """
    found = [record for record in with_others(half_of(config, source, "dev"), counts) if record.ranks]
    if source.language in {"en", CHINESE} or len(found) <= MOST_KINDS:
        return found
    return random.Random(f"{config.seed}/{source.language}").sample(found, MOST_KINDS)


def frequency_and_cosine(
    asked: Sequence[Record], counts: Counter[str], cosines: Sequence[NDArray[np.float64]]
) -> list[NDArray[np.float64]]:
    """The baseline that adds a name's log frequency and its cosine to the query, each standardised by record."""
    return [
        together(np.log1p([counts[name] for name in record.attributes]), cosine)
        for record, cosine in zip(asked, cosines, strict=True)
    ]
