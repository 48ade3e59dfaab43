"""How well a product's attributes agree with what a query states, and what that adds to a score.

    score(q, p) = text(q, p) + strength · Σ_a weight_a(q) · match_a

`match_a` lies in [-1, 1]: above zero where the product's value agrees with the stated one, below where it disagrees,
0 where the query states none or the product has none. The terms add up to the score.

Knows: words, the formula. Does not know: models, embeddings, where values come from.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from model_export.records import UNSPACED

FLOOR = 0.3
"""The cosine of texts that have nothing to do with each other, about; it becomes 0."""

LEXICAL = 0.6
"""The share of the words' overlap in an agreement; the rest is the cosine."""

# A word: letters and digits in a row, but single characters of scripts that put no space between words.
WORD = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+")


class Stated(NamedTuple):
    """What a query states for an attribute: the words, how sure that is (0 to 1), their cosine to the product's."""

    text: str
    confidence: float
    cosine: float


def words(text: str) -> list[str]:
    """The words in lower case, a plural's s left off."""
    return [_singular(word) for word in WORD.findall(text.lower())]


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def overlap(stated: str, text: str) -> float:
    """The share of the stated words, each counted once, that stand in the text; 0 where none is stated."""
    asked = set(words(stated))
    return len(asked & set(words(text))) / len(asked) if asked else 0.0


def agreement(stated: Stated, value: str) -> float:
    """How well a product's value agrees, in [-1, 1].

    The share `LEXICAL` of it is the words' overlap, 0 to 1 stretched to -1 to 1, the rest the cosine with `FLOOR` at 0.
    """
    nearness = max(-1.0, min(1.0, (stated.cosine - FLOOR) / (1 - FLOOR)))
    return LEXICAL * (2 * overlap(stated.text, value) - 1) + (1 - LEXICAL) * nearness


def match(stated: Sequence[Stated], value: str | None) -> float:
    """`match_a`: the mean agreement of the stated values, each times its confidence. 0 without them or a value."""
    if not stated or value is None:
        return 0.0
    return sum(each.confidence * agreement(each, value) for each in stated) / len(stated)


def terms(weights: Sequence[float], matches: Sequence[float], *, strength: float) -> list[float]:
    """What each attribute adds to the score."""
    return [strength * weight * each for weight, each in zip(weights, matches, strict=True)]
