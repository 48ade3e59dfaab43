"""How each set of data is divided into what a model may learn from and what it is measured on.

Knows: what a split is drawn by, of every source and of the judged lists. Does not know: the data.
"""

from dataclasses import dataclass
from typing import Any

from model_export.config import Config, Source
from model_export.readers import KEYS

RULE = (
    "A key belongs to dev when the first 8 bytes of the SHA-256 of its text, in UTF-8 and case-folded, read as one "
    "big-endian number, are below share · 2^64."
)


@dataclass(frozen=True, slots=True)
class Split:
    """`key` is what the hash is taken of, "" where there is none: `dev` is then a file of its own, or all of it."""

    source: str
    reader: str
    train: str
    dev: str
    key: str
    share: float

    def to_json(self) -> dict[str, Any]:
        """All of it but the source's name."""
        return {
            "reader": self.reader,
            "train": self.train,
            "dev": self.dev,
            "hash_of": self.key or None,
            "share": self.share,
        }


def of_sources(config: Config) -> list[Split]:
    """The split of every source of the config, in its order."""
    return [_of(name, source) for name, source in config.sources.items()]


def _of(name: str, source: Source) -> Split:
    train = source.train.as_posix()
    if source.dev is not None:
        return Split(name, source.reader, train, source.dev.as_posix(), "", 0.0)
    return Split(name, source.reader, train, train, KEYS[source.reader], source.keep_aside)


def of_lists(config: Config, folder: str) -> Split:
    """The split of a set of judged products: all of it is dev, but where the config trains on its judgements."""
    title = f"ranking products, {folder}"
    trained = [s for s in config.sources.values() if s.reader == "judgments" and s.train.as_posix() == folder]
    if not trained:
        return Split(title, "judgments", "", folder, "", 1.0)
    share = min(source.keep_aside for source in trained)
    return Split(title, "judgments", folder, folder, KEYS["judgments"], share)
