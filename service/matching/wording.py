"""The words of a text, and how well two texts agree by their words and their cosine.

Knows: words, the formula and its constants. Does not know: where cosines come from, negation, other kinds of value.
"""

import re
from collections.abc import Sequence, Set

from service.normalising import nfkc

FLOOR = 0.3
"""The cosine of texts that have nothing to do with each other, about; it becomes 0."""

LEXICAL = 0.6
"""The share of the words' overlap in an agreement; the rest is the cosine."""

MOST_CHARACTERS = 2_000
"""Every text is read up to here."""

UNSPACED = r"\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
"""Scripts that put no space between words: their characters are read one by one."""

WORD = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+")


def listed(text: str) -> frozenset[str]:
    """The words of a list written by hand, spaces between them."""
    return frozenset(text.split())


FILLERS = listed("size sized style type")
"""Words that say what kind of thing others are, and nothing beside them."""


def normalised(text: str) -> str:
    """The text as it is compared: compatibility forms made plain, whatever the case and the white space."""
    return " ".join(nfkc(text).casefold().split())


def words(text: str) -> list[str]:
    """The words in lower case, a plural's s left off, compatibility forms (ｒｅｄ) made plain."""
    plain = text if text.isascii() else nfkc(text)
    return [_singular(word) for word in WORD.findall(plain.lower())]


def codes(found: Set[str]) -> Set[str]:
    """Of these words those with letters and digits, which are meant to the letter: "dcd771c2", "16gb", "2x8"."""
    return {word for word in found if not word.isalpha() and not word.isdigit() and word.isascii()}


def telling(found: Sequence[str]) -> tuple[str, ...]:
    """These words in order, less `FILLERS` unless nothing else is left: "king" of "king size"."""
    return tuple(word for word in found if word not in FILLERS) or tuple(found)


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def overlap(wanted: Set[str], found: Set[str]) -> float:
    """The share of the wanted words that are among those found; 0 where none is wanted."""
    return len(wanted & found) / len(wanted) if wanted else 0.0


def agreement(shared: float, cosine: float) -> float:
    """In [-1, 1], of the share of the words that are there and the texts' cosine. A cosine that is no number counts 0.

    The share `LEXICAL` of it is the words', 0 to 1 stretched to -1 to 1, the rest the cosine with `FLOOR` at 0.
    """
    nearness = max(-1.0, min(1.0, (cosine - FLOOR) / (1 - FLOOR))) if -2 < cosine < 2 else 0.0
    return LEXICAL * (2 * shared - 1) + (1 - LEXICAL) * nearness
