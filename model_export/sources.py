"""Stage 1: raw data to records, split into train and dev.

Knows: which reader reads what, how a split by hash is drawn. Does not know: spellings, candidates, training.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model_export import records
from model_export.config import Config, Source
from model_export.readers import READERS
from model_export.records import Record
from model_export.stage import hashes


def kept_aside(key: str, share: float) -> bool:
    """Whether this key belongs to the dev half, a fact of the key alone: stable over runs and machines."""
    digest = hashlib.sha256(key.casefold().encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def write_sources(config: Config, out: Path) -> dict[str, Any]:
    """Write `<source>.train.jsonl` and `<source>.dev.jsonl` for every source; give the counts."""
    counts = {}
    for name, source in config.sources.items():
        counts[name] = {
            half: records.write(out / f"{name}.{half}.jsonl", half_of(config, source, half))
            for half in ("train", "dev")
        }
    return {"records": counts, "files": {name: raw_files(config, source) for name, source in config.sources.items()}}


def raw_files(config: Config, source: Source) -> dict[str, str]:
    """The hash of every file the source was read from, by its path under the data folder."""
    paths = source.paths
    found = hashes(config.data / path for path in paths)
    parents = [path.parent for path in paths]
    return {
        str(parents[int(place)] / rest): digest
        for (place, _, rest), digest in ((key.partition("/"), digest) for key, digest in found.items())
    }


def half_of(config: Config, source: Source, half: str) -> Iterator[Record]:
    """The records of a source's half, "train" or "dev"."""
    read = READERS[source.reader]
    if source.catalogue is not None:
        source = source.model_copy(update={"catalogue": config.data / source.catalogue})
    if source.dev is not None:
        path = source.train if half == "train" else source.dev
        return (record for _, record in read(config.data / path, source, config.seed))
    keyed = read(config.data / source.train, source, config.seed)
    return (record for key, record in keyed if kept_aside(key, source.keep_aside) == (half == "dev"))
