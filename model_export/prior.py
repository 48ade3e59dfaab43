"""Stage 8: what each attribute name is worth before the query is read, for answers without the model.

A name's logit here is the log of the mean of `exp(logit)` over a sample of training queries, mixed over the sources as
training mixes them: the weight that it has on the average, for a caller who always sends the same candidates. (The mean
of the logits themselves puts "color", which every product has and few queries name, behind rare names.)

Knows: which names get an entry, the sample. Does not know: how the table is served.
"""

import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_export import pretrained, records
from model_export.config import Config
from model_export.quantise import INT8
from model_export.records import Record
from model_export.spellings import SPELLINGS
from service.model import Model, open_graph
from service.text import Tokenizer, pack

PRIOR = "prior.json"
QUERIES = 240
MOST_NAMES, RARE_NAMES = 4_000, 100
ROW_TOKENS = 96

LEAST = 5
"""A name of the table has a gain in so many training records; the rarer ones make the default."""


def counted(train: Iterable[Record]) -> Counter[str]:
    """In how many records each name, in lower case, has a gain."""
    gained = ((name.lower() for name, gain in zip(r.attributes, r.gains, strict=True) if gain > 0) for r in train)
    return Counter(name for names in gained for name in set(names))


def known(counts: Counter[str]) -> list[str]:
    """The names of the table: the frequent ones, most frequent first, then their other spellings."""
    frequent = [name for name, count in counts.most_common() if count >= LEAST]
    spelled = (spelling for name in frequent for spelling in SPELLINGS.get(name, ()))
    return list(dict.fromkeys([*frequent, *spelled]))[:MOST_NAMES]


def sampled(config: Config, train: Mapping[str, Sequence[Record]]) -> list[str]:
    """Training queries, from each source as many as its rate says."""
    draw = random.Random(f"{config.seed}/prior")
    names = [name for name in config.sources if train[name]]
    drawn = draw.choices(names, [config.sources[name].rate for name in names], k=QUERIES)
    return [draw.choice(train[name]).query for name in drawn]


def average_logits(
    model: Model, tokenizer: Tokenizer, queries: Sequence[str], names: Sequence[str]
) -> NDArray[np.float64]:
    """`log(mean(exp(logit)))` of each name over the queries: (names,)."""
    total = np.zeros(len(names))
    attributes = [tokenizer.attribute(name) for name in names]
    for query in queries:
        rows = pack(tokenizer.query(query), attributes, row_tokens=ROW_TOKENS)
        total += np.exp(np.concatenate([model.run([row])[0].logits for row in rows]).astype(np.float64))
    return np.log(total / len(queries))


@dataclass(frozen=True, slots=True)
class Prior:
    """The table: a logit for each known name in lower case, and one for all others."""

    default: float
    logits: Mapping[str, float]

    def of(self, name: str) -> float:
        """The logit of a name."""
        return self.logits.get(name.lower(), self.default)


def read(folder: Path) -> Prior:
    """The table that `write_prior` left."""
    return Prior(**json.loads((folder / PRIOR).read_text(encoding="utf-8")))


def write_prior(config: Config, examples: Path, quantised: Path, out: Path) -> dict[str, Any]:
    """Run the stage: `prior.json`, `{"default": ..., "logits": {name: ...}}`.

    The default is the mean over the training names that are too rare for the table, or over the table where none is.
    """
    train = {name: list(records.read(examples / f"{name}.train.jsonl")) for name in config.sources}
    counts = counted(record for part in train.values() for record in part)
    names, draw = known(counts), random.Random(config.seed)
    rare = sorted(name for name in counts if name not in set(names))
    rare = draw.sample(rare, min(len(rare), RARE_NAMES))
    model, tokenizer = open_graph(quantised / INT8, device="cpu"), pretrained.tokenizer(config)
    found = average_logits(model, tokenizer, sampled(config, train), [*names, *rare])
    table = {name: round(float(logit), 3) for name, logit in zip(names, found, strict=False)}
    default = round(float(found[len(names) :].mean() if rare else found.mean()), 3)
    content = {"default": default, "logits": table}
    (out / PRIOR).write_text(json.dumps(content, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    return {"names": len(names), "rare_names": len(rare), "queries": QUERIES, "default": default}
