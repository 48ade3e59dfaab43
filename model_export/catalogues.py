"""Product catalogues in one plain form, whatever their files look like.

Knows: products in our own form, the files of two public catalogues, which of their attributes are no attributes of a
product (identifiers, dates, pictures), how a kind of product is told from a title. Does not know: queries, records.
"""

import json
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_export import products
from model_export.products import Product
from model_export.records import BadRecord, lines_of

KIND = "product type"
"""What the kind is called where it stands among the attributes of a product."""

KINDS = (KIND, "product kind", "kind", "category", "product category")
"""What catalogues call the attribute that states the kind, those first that say most."""

ESCI_FILE = "products.jsonl.gz"
CHORUS_FILES = "products-*.json.zip"


@dataclass(frozen=True, slots=True)
class CatalogueProduct:
    """A product as its catalogue has it; attribute names in lower case, no value empty. `kind` in lower case, too."""

    id: str
    title: str
    kind: str | None
    attributes: Mapping[str, str]

    @property
    def described(self) -> dict[str, str]:
        """Its attributes with the kind as the first of them, where it is known."""
        return ({KIND: self.kind} if self.kind else {}) | dict(self.attributes)


def read(path: Path) -> list[CatalogueProduct]:
    """The products of a catalogue, in their order: a file of lines as `fill` reads them, or the folder of a public set.

    Raises BadRecord.
    """
    if path.is_file():
        return [_own(line) for _, line in products.read(path) if line["title"].strip()]
    return _public(path)


def _public(folder: Path) -> list[CatalogueProduct]:
    if (folder / ESCI_FILE).exists():
        return list(_esci(folder / ESCI_FILE))
    if files := sorted(folder.glob(CHORUS_FILES)):
        return _chorus(files)
    raise BadRecord(
        f"{folder.name} is no catalogue: it holds neither {ESCI_FILE} nor {CHORUS_FILES}; give a file of products"
    )


def by_kind(products: Iterable[CatalogueProduct]) -> dict[str, list[CatalogueProduct]]:
    """The products of each kind; those without one are left out."""
    kinds: dict[str, list[CatalogueProduct]] = defaultdict(list)
    for product in products:
        if product.kind:
            kinds[product.kind].append(product)
    return kinds


def _own(line: Product) -> CatalogueProduct:
    """A product in our own form. The kind is what its `kind` or `category` says, or else the first of `KINDS` among its
    attributes, which then is none of them.
    """
    given = {name.strip().lower(): line["attributes"][name] for name in products.given(line)}
    attributes = {name: text for name, value in given.items() if name and (text := _plain(value))}
    kind = products.kind_of(line) or next((attributes.pop(name) for name in KINDS if name in attributes), None)
    return CatalogueProduct(str(line["id"]), line["title"], kind and kind.strip().lower(), attributes)


def _plain(value: Any) -> str:
    """A value as text: several with commas between, nothing of what is no plain value."""
    if isinstance(value, list):
        return ", ".join(filter(None, map(_plain, value)))
    return "" if isinstance(value, dict) else _text(value)


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Categories that say which part of a shelf, and not which kind of product.
GENERIC = _set(
    """accessories active athletic basketball boys casual clothing fashion girls kids men multipurpose novelty other
    parts programmable running sets standard tools walking women"""
) | {"road running", "trail running"}


def _esci(path: Path) -> Iterator[CatalogueProduct]:
    """Amazon products of the ESCI extract: brand, color and price where they are known. Ratings are left out: they tell
    what others thought of a product, and nearly all have one, so that they would stand first for every kind.

    The kind is the last category that is no generic one and not the first, which is a department.
    """
    for number, line in enumerate(lines_of(path), start=1):
        try:
            product = json.loads(line.decode())
            kinds = [name.lower() for name in product["category"][1:]]
            attributes = {name: product[name] for name in ("brand", "color", "price")}
            yield CatalogueProduct(
                *_named(product["asin"], product["title"]),
                next((kind for kind in reversed(kinds) if kind not in GENERIC), None),
                {name: text for name, value in attributes.items() if (text := _text(value))},
            )
        except (ValueError, KeyError, TypeError) as error:
            raise BadRecord(f"{path.name}, line {number}: no product of the ESCI extract: {error!r}") from error


def _named(name: Any, title: Any) -> tuple[str, str]:
    """Id and title; an id may be a number, too, for judgements and events write it as text. Raises TypeError."""
    if not isinstance(name, str | int) or not isinstance(title, str):
        raise TypeError(f"id and title must be texts, not {name!r} and {title!r}")
    return str(name), title


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:g}" if abs(value) < 1e6 else f"{value:.0f}"
    return " ".join(str(value).replace("\\n", ", ").split())


# Attributes of Chorus that identify a product, tell when its entry was made or how it is shipped, or repeat another.
NO_ATTRIBUTE = re.compile(
    r"\b(ean|gtin|upc|ark id|oem code|harmonized system|customs|last change|date|product codes?|processor code|sku"
    r"|pallets?|cartons?|(outer|inner) case|(gross|tare) weight)\b|^package\b|\b(imperial|uk)$"
)
UNITS = re.compile(r"__(t_t|h_h|wxdxh|w_x_d_x_h)_$")


def _chorus(files: Sequence[Path]) -> list[CatalogueProduct]:
    """Icecat electronics as Chorus has them. Prefixes say the type of an attribute: text, number, yes or no.

    The kind is the attribute "product type" where enough products have the same, or else told from the title. So 63 %
    of the products get one; of 100 of these, drawn and read, about 92 had the right one.
    """
    rows = [row for file in files for row in _zipped(file)]
    try:
        kinds = frequent_kinds([row["title"] for row in rows], [row["supplier"] for row in rows])
        types = Counter(str(row.get("attr_t_product_type", "")).lower() for row in rows)
        typed = frozenset(name for name, count in types.items() if count >= LEAST_TITLES and len(name) > 1)
        return [_chorus_product(row, kinds | (typed - NO_NOUN), typed) for row in rows]
    except (KeyError, TypeError, AttributeError) as error:
        raise BadRecord(f"{files[0].parent.name}: no products as Chorus has them: {error!r}") from error


def _zipped(path: Path) -> list[dict[str, Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            return [row for name in archive.namelist() for row in json.loads(archive.read(name))]
    except (zipfile.BadZipFile, ValueError, TypeError) as error:
        raise BadRecord(f"{path.name}: not a zip file with a JSON list of products: {error}") from error


def _chorus_product(row: Mapping[str, Any], kinds: frozenset[str], typed: frozenset[str]) -> CatalogueProduct:
    attributes = {"brand": _text(row["supplier"])}
    for key, value in row.items():
        name = UNITS.sub("", key).removeprefix("attr_")[2:].replace("_", " ")
        name = " ".join(name.split())
        if key.startswith("attr_") and name not in attributes and not NO_ATTRIBUTE.search(name):
            attributes[name] = _text(value)
    own = attributes.pop(KIND, "").lower()
    return CatalogueProduct(
        *_named(row["id"], row["title"]),
        own if own in typed else kind_of(row["title"], kinds),
        {name: text for name, text in attributes.items() if text},
    )


LEAST_TITLES = 30
LONGEST_KIND = 3

LETTERS = re.compile(r"[^\W\d_]{2,}(?:[-/][^\W\d_]{2,})*")
COLORS = _set(
    """beige black blue brown cyan gold gray green grey magenta metallic multicolour orange pink purple red silver
    stainless transparent violet white yellow"""
)
# Words that stand in titles in lower case and name no product: they end a run of words that may.
NO_NOUN = _set(
    """and as at born by cm compatible de dots equivalent female for from ft gb gen glossy hand hz in inch inscription
    kg light male matt matte mb ml mm movables/removable nm of on opaque or over page pages pc pcs pieces pin pixels pk
    ppm removable round rpm self-adhesive sheets snagless tb th the to up with year years"""
)
# Words that name a product with those before them, but not alone.
NO_KIND_ALONE = _set("accessory card component drive extension head kit media module mount outlet part set supply unit")


def frequent_kinds(titles: Sequence[str], brands: Sequence[str]) -> frozenset[str]:
    """Names of kinds: one to three words that end a run of words in lower case in at least `LEAST_TITLES` titles.

    Icecat writes brand, model and capacity with capitals or digits, and the kind in lower case ("Xerox 006R90321
    toner cartridge Original Black"). No color is a word of a kind, and no kind is the name of a brand.
    """
    barred = NO_NOUN | COLORS
    no_kinds = NO_KIND_ALONE | {brand.lower() for brand in brands}
    counts: Counter[str] = Counter()
    for title in titles:
        found: set[str] = set()
        run: list[str] = []
        for word in (*_words(title), ""):
            if word.islower() and LETTERS.fullmatch(word) and word not in barred:
                run.append(word)
                continue
            found.update(" ".join(run[-length:]) for length in range(1, min(LONGEST_KIND, len(run)) + 1))
            run = []
        counts.update(found)
    return frozenset(kind for kind, n in counts.items() if n >= LEAST_TITLES and kind not in no_kinds)


def kind_of(title: str, kinds: frozenset[str]) -> str | None:
    """The longest kind named in the title, in any case, before "for" or "with"; of several the first.

    A single word counts where no other noun follows: a "printer cable" is a cable, a "computer cooling component" is
    no computer.
    """
    written = _words(title)
    words = [word.lower() for word in written]
    end = next((place for place, word in enumerate(words) if word in {"for", "with", "compatible"}), len(words))
    for length in range(LONGEST_KIND, 0, -1):
        for start in range(end - length + 1):
            kind = " ".join(words[start : start + length])
            if kind in kinds and (length > 1 or start + 1 == end or not _is_noun(written[start + 1], kinds)):
                return kind
    return None


def _is_noun(word: str, kinds: frozenset[str]) -> bool:
    named = word.lower() in kinds | NO_KIND_ALONE
    return named or (word.islower() and bool(LETTERS.fullmatch(word)) and word not in NO_NOUN | COLORS)


def _words(title: str) -> list[str]:
    return re.findall(r"[^\s,;()]+|[,;()]", title.replace(". ", " , "))
