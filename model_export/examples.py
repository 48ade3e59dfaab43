"""Stage 3: records to what training reads: the records themselves, fixed dev candidates, and the pool of other names.

Knows: the names the catalogues use, which of them mean nearly the same, how dev candidates are drawn.
Does not know: batches, tokens, losses.
"""

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_export import pretrained, records
from model_export.config import Config
from model_export.names import PRODUCT_TYPE, TYPES_IN
from model_export.records import Record
from model_export.spellings import SPELLINGS
from model_export.translations import attribute_names

MATCHES = ".matches.npy"
NEAR = 0.6
"""Names whose pretrained embeddings have a larger cosine may mean the same."""

DEV_OTHERS = 20
CATALOGUES = ("taxonomy", "titles", "jsonl")
"""Readers whose records use names as a catalogue does; those of `labelled` all ask the same few."""


class NamePool:
    """Attribute names of the catalogues in one language, how many records use each, and which are near each."""

    def __init__(self, counts: dict[str, int], near: dict[str, frozenset[str]]) -> None:
        self._names, self._near = list(counts), near
        self._cumulated = list(accumulate(counts.values()))

    def knows(self, names: Sequence[str]) -> int:
        """How many of these names, in lower case, are among those of the pool or near one."""
        return sum(name.lower() in self._near for name in names)

    def others(
        self, own: Sequence[str], draw: random.Random, size: int, *, frequent: float, complete: bool = False
    ) -> list[str]:
        """Up to `size` names that are none of `own`: the share `frequent` by frequency, the rest evenly.

        Unless `own` is complete, names of near meaning are left out, too.
        """
        barred = {name.lower() for name in own}
        if not complete:
            barred = barred.union(*(self._near.get(name, frozenset()) for name in barred))
        found: dict[str, None] = {}
        for _ in range(size * 20 if self._names else 0):
            if len(found) == size:
                break
            (name,) = draw.choices(self._names, cum_weights=self._cumulated if draw.random() < frequent else None)
            if name not in barred:
                found[name] = None
        return list(found)


def write_examples(config: Config, sources: Path, out: Path) -> dict[str, Any]:
    """Write `names.json`, `<source>.train.jsonl` and `<source>.dev.jsonl`, and how well values match where records
    hold products; give the counts.
    """
    used = {
        name: Counter(
            attribute.lower()
            for record in records.read(sources / f"{name}.train.jsonl")
            for attribute in record.attributes
        )
        for name, source in config.sources.items()
        if source.reader in CATALOGUES
    }
    pools, names = {}, {}
    for language in sorted({source.language for source in config.sources.values()}):
        own = (used[name] for name in used if config.sources[name].language == language)
        counts = sum(own, Counter[str]())
        spelled = [name for name in SPELLINGS if language == ("en" if name.isascii() else "zh-CN")]
        near = _near(config, [*counts, *(name for name in spelled if name not in counts)])
        pools[language], names[language] = {"counts": dict(counts), "near": near}, len(counts)
    content = {"pools": pools, "translations": _translations(config)}
    (out / "names.json").write_text(json.dumps(content, ensure_ascii=False, indent=0), encoding="utf-8")
    written = {}
    for name, source in config.sources.items():
        train = list(records.read(sources / f"{name}.train.jsonl"))
        dev = records.read(sources / f"{name}.dev.jsonl")
        if source.reader == "taxonomy":
            dev = with_others(dev, used[name])
        if any(record.products for record in train):
            np.save(out / f"{name}{MATCHES}", value_matches(config, train))
        written[name] = {
            "train": records.write(out / f"{name}.train.jsonl", train),
            "dev": records.write(out / f"{name}.dev.jsonl", dev),
        }
    return {"records": written, "names": names}


def value_matches(config: Config, train: Sequence[Record]) -> NDArray[np.float32]:
    """How well each product's value of each attribute matches the record's query: the cosine of the start's embeddings,
    less its mean over the record's products that have a value; 0 where a product has none.

    (records, most products, most attributes), in the records' order.
    """
    shape = max(len(r.products) for r in train), max(len(r.attributes) for r in train)
    texts = {r.query for r in train} | {v for r in train for p in r.products for v in p.values if v is not None}
    ordered = sorted(texts, key=lambda text: (len(text), text))
    place = {text: index for index, text in enumerate(ordered)}
    vectors = pretrained.embed(config, ordered, folder=pretrained.start_folder(config))
    found = np.full((len(train), *shape), np.nan, np.float32)
    for row, record in enumerate(train):
        query = vectors[place[record.query]]
        for line, product in enumerate(record.products):
            for column, value in enumerate(product.values):
                if value is not None:
                    found[row, line, column] = vectors[place[value]] @ query
    counts = (~np.isnan(found)).sum(axis=1, keepdims=True)
    means = np.nansum(found, axis=1, keepdims=True) / np.maximum(counts, 1)
    centred: NDArray[np.float32] = np.nan_to_num(found - means, nan=0.0)
    return centred


def _translations(config: Config) -> dict[str, dict[str, str]]:
    """By language, what the taxonomy and we call an English attribute name."""
    if config.languages.taxonomy is None:
        return {}
    folder = config.data / config.languages.taxonomy
    return {
        language: attribute_names(folder, language)
        | TYPES_IN.get(language, {})
        | {PRODUCT_TYPE["en"]: PRODUCT_TYPE[language].lower()}
        for language in config.languages.names
    }


def _near(config: Config, names: Sequence[str]) -> dict[str, list[str]]:
    if not names:
        return {}
    vectors = pretrained.embed(config, names, folder=pretrained.start_folder(config))
    cosine = vectors @ vectors.T
    near = {
        name: {names[other] for other in np.flatnonzero(cosine[index] > NEAR).tolist()}.union(SPELLINGS.get(name, ()))
        for index, name in enumerate(names)
    }
    for name, spellings in SPELLINGS.items():
        for other in near.keys() & set(spellings):
            near[other].add(name)
    return {name: sorted(others) for name, others in near.items()}


def with_others(dev: Iterable[Record], used: Counter[str]) -> Iterator[Record]:
    """The dev question of a kind of product: its own attributes against names drawn from the rest by frequency."""
    for record in dev:
        draw = random.Random(record.query)
        own = set(record.attributes)
        counts = {name: count for name, count in used.items() if name not in own}
        names, weights = list(counts), list(counts.values())
        others: dict[str, None] = {}
        while len(others) < min(DEV_OTHERS, len(names)):
            others[draw.choices(names, weights)[0]] = None
        yield replace(
            record,
            attributes=(*record.attributes, *others),
            gains=record.gains + (0.0,) * len(others),
            values=record.values + (None,) * len(others),
        )


@dataclass(frozen=True, slots=True)
class Names:
    """What is known of attribute names: a pool for each language, and by language what an English name is there."""

    pools: dict[str, NamePool]
    translations: dict[str, dict[str, str]]


def read_names(examples: Path) -> Names:
    """What `write_examples` left."""
    content = json.loads((examples / "names.json").read_text(encoding="utf-8"))
    pools = {
        language: NamePool(pool["counts"], {name: frozenset(near) for name, near in pool["near"].items()})
        for language, pool in content["pools"].items()
    }
    return Names(pools, content["translations"])
