"""Weights as a search engine's field boosts, in the grammar that its documentation gives.

Knows: each engine's parameter, which field names it takes, how it writes numbers and quotes. Does not know: HTTP,
where weights come from.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Engine = Literal["opensearch", "elasticsearch", "solr", "vespa"]
NamedBoosts = list[tuple[str, str]]
"""Fields and their boosts, a decimal number without an exponent, largest first."""
DECIMALS = 6

NOT_MULTI_MATCH = re.compile(r"[\x00-\x1f\x7f^]")
NOT_MULTI_MATCH_NOR_PATTERN = re.compile(r"[\x00-\x1f\x7f^*]")
NOT_LABEL = re.compile(r"[\x00-\x1f\x7f\\]")
LABEL_IDENTIFIER = re.compile(r"[A-Za-z0-9_@][A-Za-z0-9_@$]*")


@dataclass(frozen=True)
class Grammar:
    """How an engine takes boosts.

    `rule` says for people what `is_legal` says of a field name; `own_name` makes an attribute's name a legal one;
    `written` is the value of the engine's `parameter`.
    """

    parameter: str
    rule: str
    is_legal: Callable[[str], bool]
    own_name: Callable[[str], str]
    written: Callable[[NamedBoosts], list[str] | str]


def boosts(
    engine: Engine,
    weights: Sequence[tuple[str, float]],
    *,
    attributes: int,
    fields: Mapping[str, Sequence[str]],
    scale: float = 1.0,
    floor: float = 0.0,
) -> dict[str, list[str] | str]:
    """The engine's parameter with its value, ready to be put into a query.

    A field's boost is `scale × weight × attributes`, `attributes` being how many the weights were shared among: at
    scale 1 an attribute of average weight has boost 1, which changes nothing. Each field of an attribute has its
    whole boost; a field of several attributes has the sum of theirs; less than `floor` becomes `floor`. An attribute
    without `fields` (legal names) keeps its own name, made a legal one.
    """
    grammar = GRAMMARS[engine]
    found: dict[str, float] = {}
    for attribute, weight in weights:
        for field in dict.fromkeys(fields.get(attribute) or [grammar.own_name(attribute)]):
            found[field] = found.get(field, 0.0) + scale * weight * attributes
    ordered = sorted(found.items(), key=lambda item: -item[1])
    return {grammar.parameter: grammar.written([(field, _decimal(max(boost, floor))) for field, boost in ordered])}


def _decimal(boost: float) -> str:
    return f"{boost:.{DECIMALS}f}".rstrip("0").rstrip(".")


def _has_blank_part(name: str) -> bool:
    """Whether a dot stands at an end or beside another, or there is nothing but white space between two."""
    return not all(part.strip() for part in name.split("."))


def _is_multi_match(name: str) -> bool:
    return not NOT_MULTI_MATCH.search(name) and not _has_blank_part(name)


def _multi_match_name(attribute: str) -> str:
    name = NOT_MULTI_MATCH_NOR_PATTERN.sub("_", attribute.strip())
    return name.replace(".", "_") if _has_blank_part(name) else name


def _is_word(character: str) -> bool:
    return character == "_" or unicodedata.category(character) in {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Nd"}


def _is_qf(name: str) -> bool:
    return (name[:1] == "_" or name[:1].isalpha()) and all(_is_word(each) or each in ".-" for each in name)


def _qf_name(attribute: str) -> str:
    name = "_".join("".join(each if _is_word(each) else " " for each in attribute).split())
    if not name:
        return "_".join(f"u{ord(each):04x}" for each in attribute.strip())
    return name if _is_qf(name) else f"_{name}"


def _is_label(name: str) -> bool:
    return not NOT_LABEL.search(name) and not ("'" in name and '"' in name)


def _label_name(attribute: str) -> str:
    name = NOT_LABEL.sub("_", attribute.strip())
    return name if _is_label(name) else name.replace('"', "_")


def _tensor(named: NamedBoosts) -> str:
    return "{" + ",".join(f"{_label(field)}:{boost}" for field, boost in named) + "}"


def _label(name: str) -> str:
    """There is no escape between quotes, so a name can hold only one kind of them."""
    if LABEL_IDENTIFIER.fullmatch(name):
        return name
    return f'"{name}"' if "'" in name else f"'{name}'"


MULTI_MATCH = Grammar(
    parameter="fields",
    rule="a name or a pattern with `*`, without `^` or control characters; dots stand singly between names",
    is_legal=_is_multi_match,
    own_name=_multi_match_name,
    written=lambda named: [f"{field}^{boost}" for field, boost in named],
)
"""`multi_match`: a name ends at the first `^`, a dot leads into an object. An attribute keeps its name, spaces and all,
but `^`, `*` and control characters become `_`, and so do all dots where one stands at an end or beside another."""
QF = Grammar(
    parameter="qf",
    rule="letters, digits, `_`, `.` and `-`, beginning with a letter or `_`",
    is_legal=_is_qf,
    own_name=_qf_name,
    written=lambda named: " ".join(f"{field}^{boost}" for field, boost in named),
)
"""eDisMax: white space parts the fields. Solr recommends letters, digits and `_`, and no digit first; `.` and `-` work
and are in use, so a caller may name them. In an attribute's name each run of others becomes `_`, a `_` goes before what
may not be first, and a name of nothing else is spelled by its code points: "%" is `u0025`."""
TENSOR = Grammar(
    parameter="input.query(weights)",
    rule="any text without control characters or `\\`, and not with both kinds of quotes",
    is_legal=_is_label,
    own_name=_label_name,
    written=_tensor,
)
"""A tensor of one mapped dimension in the short form, for its name is the rank profile's to choose:
`query(weights) tensor<float>(field{})`. In an attribute's name `\\` and control characters become `_`, and so does `"`
where there is `'` as well."""
GRAMMARS: dict[Engine, Grammar] = {
    "opensearch": MULTI_MATCH,
    "elasticsearch": MULTI_MATCH,
    "solr": QF,
    "vespa": TENSOR,
}
