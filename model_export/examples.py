"""Stage 2: records to what training reads: the records themselves, fixed dev candidates, and the pool of other names.

Knows: the names the catalogues use, which of them mean nearly the same, how dev candidates are drawn.
Does not know: batches, tokens, losses.
"""

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from model_export import pretrained, records
from model_export.config import Config
from model_export.names import SPELLINGS
from model_export.records import Record

NEAR = 0.6
"""Names whose pretrained embeddings have a larger cosine may mean the same."""

DEV_OTHERS = 20
CATALOGUES = ("taxonomy", "titles", "jsonl")


class NamePool:
    """Attribute names of the catalogues, how many records use each, and which names are near each name."""

    def __init__(self, counts: dict[str, int], near: dict[str, frozenset[str]]) -> None:
        self._names, self._near = list(counts), near
        self._cumulated = list(accumulate(counts.values()))

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
    """Write `names.json`, `<source>.train.jsonl` and `<source>.dev.jsonl`; give the counts."""
    used = {
        name: Counter(
            attribute.lower()
            for record in records.read(sources / f"{name}.train.jsonl")
            for attribute in record.attributes
        )
        for name, source in config.sources.items()
        if source.reader in CATALOGUES
    }
    counts = sum(used.values(), Counter[str]())
    near = _near(config, [*counts, *(name for name in SPELLINGS if name not in counts)])
    content = {"counts": dict(counts), "near": near}
    (out / "names.json").write_text(json.dumps(content, ensure_ascii=False, indent=0), encoding="utf-8")
    written = {}
    for name, source in config.sources.items():
        train = records.read(sources / f"{name}.train.jsonl")
        dev = records.read(sources / f"{name}.dev.jsonl")
        if source.reader == "taxonomy":
            dev = _with_others(dev, used[name])
        written[name] = {
            "train": records.write(out / f"{name}.train.jsonl", train),
            "dev": records.write(out / f"{name}.dev.jsonl", dev),
        }
    return {"records": written, "names": len(counts)}


def _near(config: Config, names: Sequence[str]) -> dict[str, list[str]]:
    vectors = pretrained.embed(config, names)
    cosine = vectors @ vectors.T
    near = {
        name: {names[other] for other in np.flatnonzero(cosine[index] > NEAR).tolist()}.union(SPELLINGS.get(name, ()))
        for index, name in enumerate(names)
    }
    for name, spellings in SPELLINGS.items():
        for other in near.keys() & set(spellings):
            near[other].add(name)
    return {name: sorted(others) for name, others in near.items()}


def _with_others(dev: Iterator[Record], used: Counter[str]) -> Iterator[Record]:
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


def read_pool(examples: Path) -> NamePool:
    """The pool that `write_examples` left."""
    content = json.loads((examples / "names.json").read_text(encoding="utf-8"))
    return NamePool(content["counts"], {name: frozenset(near) for name, near in content["near"].items()})
