"""Unicode's compatibility forms made plain, in a time that grows with the text.

Knows: NFKC, where a text may be cut for it. Does not know: what texts are.
"""

import unicodedata

PIECE, MOST_MARKS = 256, 30
"""Characters that are normalised at once; combining marks behind a letter, as in Unicode's stream-safe text format."""


def nfkc(text: str) -> str:
    """The text in NFKC. Longer runs of combining marks than any language has may keep an order of their own: to sort
    one takes the square of its length.
    """
    if len(text) <= PIECE or text.isascii():
        return unicodedata.normalize("NFKC", text)
    pieces, begun = [], 0
    while begun < len(text):
        end = begun + PIECE
        while end < len(text) and end > begun + PIECE - MOST_MARKS and _goes_on(text[end]):
            end -= 1
        pieces.append(unicodedata.normalize("NFKC", text[begun:end]))
        begun = end
    return "".join(pieces)


def _goes_on(character: str) -> bool:
    """Whether it may be one with what stands before it: a mark, or a vowel or final of a Hangul syllable."""
    first = unicodedata.normalize("NFKC", character)[0]
    return unicodedata.category(first).startswith("M") or "\u1160" <= first <= "\u11ff"
