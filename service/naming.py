"""Attribute names as catalogues write them, turned into words as people say them.

Separators, camelCase, what machines put before and after a name, abbreviations, and names run together. A name that is
words already stays as it is.

Knows: how catalogues spell; its tables are written by hand. Does not know: tokens, the model.
"""

import re
from collections.abc import Mapping

PREFIX = re.compile(r"^(?:attr_(?:[bdfinst]_)?|attribute_pa_|pa_|ds_|(?:product\.)?attributes?[.\[])(?=.)")
"""Icecat's and Chorus' `attr_t_`, WooCommerce's `pa_`, paths into an object."""
TYPE_SUFFIX = re.compile(r"(?<=.)_(?:txt|str|dt|ss|s|t|i|f|l)$")
"""Solr's types. `_b`, `_c` and `_d` are not among them, for vitamins and sides have such names."""
CUSTOM_SUFFIX = re.compile(r"(?<=.)__(?:c|pc|mdt|t_t_|h_h_)$")
"""Salesforce's, and Icecat's "(T-T)" and "(H-H)" for ranges of temperature and humidity."""
RUN_ON_PREFIXES = ("ds", "attr")

MARKS = re.compile(r"[_\s()\[\]{}]+|--+")
MARKS_IN_WORDS = re.compile(r"[./-]")
"""They part a name only where each part has three letters or more: "3.5mm", "N/A", "T-shirt", "all-in-one" stay."""
LETTERS = re.compile(r"[^\W\d_]{3,}")
SHORT_WORDS = "As|At|By|Id|In|Is|No|Of|On|Or|To|Up"
CAMEL = re.compile(rf"(?<=[a-z][a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{{2}})|(?<=(?<![A-Z])(?:{SHORT_WORDS}))(?=[A-Z])")
"""After two small letters, before a capital that begins a word, or after a short word: "heelHeight", "HDMIPorts",
"countryOfOrigin"; not "iPhone", "mAh", "GoPro"."""

ABBREVIATIONS = {
    "brnd": "brand",
    "clr": "color",
    "ctry": "country",
    "desc": "description",
    "descr": "description",
    "hgt": "height",
    "lgth": "length",
    "matl": "material",
    "mfg": "manufacturer",
    "mfr": "manufacturer",
    "mtrl": "material",
    "pkg": "package",
    "qty": "quantity",
    "sz": "size",
    "uom": "unit of measure",
    "wdth": "width",
    "wt": "weight",
}
ABBREVIATIONS_ALONE = {
    "cat": "category",
    "dim": "dimensions",
    "dims": "dimensions",
    "len": "length",
    "mat": "material",
    "temp": "temperature",
    "vol": "volume",
}
"""Words of their own beside others ("rug mat type"); alone, the name of an attribute."""

LEAST_LETTERS, MOST_LETTERS = 3, 40
"""Of a word that is known, and of a name that may be run together."""
LAST_WORDS = frozenset(
    {
        "brand", "capacity", "care", "category", "class", "color", "colour", "count", "country", "date", "depth",
        "description", "design", "diameter", "feature", "features", "finish", "format", "gender", "group",
        "height", "label", "length", "level", "life", "material", "model", "name", "number", "origin", "pattern",
        "price", "quantity", "range", "resolution", "season", "shape", "size", "speed", "status", "style",
        "technology", "temperature", "thickness", "type", "unit", "usage", "value", "voltage", "volume",
        "warranty", "weight", "width",
    }
)  # fmt: skip
"""What names that are run together end with. Any word may be torn apart without it: "Firmness" into "firm ness"."""


def plain_name(name: str, known: Mapping[str, int]) -> str:
    """The name in lower-case words with single spaces; the same text where that would change nothing but these.

    `known` holds the words of a vocabulary that have three letters or more, each with its rank, the most frequent
    first. By it names that are run together are told apart: fewest words, then least sum of ranks.
    """
    written = name.split()
    words = written if len(written) == 1 else [word for word in MARKS.split(name) if word]
    if len(words) == 1:
        words = _parts(words[0], known)
    words = [ABBREVIATIONS.get(word.lower(), word.lower()) for word in words if word]
    plain = _alone(words[0], known) if len(words) == 1 else " ".join(words)
    return plain if plain and plain != " ".join(written).lower() else name


def _parts(name: str, known: Mapping[str, int]) -> list[str]:
    """The words of a name without white space."""
    bare = PREFIX.sub("", name)
    if bare == name:
        bare = TYPE_SUFFIX.sub("", name)
    words: list[str] = []
    for part in MARKS.split(CUSTOM_SUFFIX.sub("", bare)):
        parts = MARKS_IN_WORDS.split(part)
        for word in parts if all(map(LETTERS.fullmatch, parts)) else [part]:
            words += [word] if word.lower() in known else CAMEL.split(word)
    return words


def _alone(word: str, known: Mapping[str, int]) -> str:
    """What a name of one word says."""
    if word in ABBREVIATIONS_ALONE:
        return ABBREVIATIONS_ALONE[word]
    if word in known or len(word) > MOST_LETTERS:
        return word
    for bare in (word, *(word.removeprefix(prefix) for prefix in RUN_ON_PREFIXES if word.startswith(prefix))):
        if bare in LAST_WORDS:
            return bare
        if apart := _run_together(bare, known):
            return apart
    return word


def _run_together(word: str, known: Mapping[str, int]) -> str:
    """The known words that make it up, with spaces; "" where there are none or the last is no attribute's."""
    best: dict[int, tuple[int, int, tuple[str, ...]]] = {0: (0, 0, ())}
    for end in range(LEAST_LETTERS, len(word) + 1):
        ways = [
            (best[start][0] + 1, best[start][1] + known[piece], (*best[start][2], piece))
            for start in best
            if (piece := word[start:end]) in known and (end < len(word) or piece in LAST_WORDS)
        ]
        if ways:
            best[end] = min(ways)
    return " ".join(best[len(word)][2]) if len(word) in best else ""
