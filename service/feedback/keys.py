"""Under which key evidence is kept, and under which field.

    scope:<digest>   of a query's text, of a kind of product, or of everything
    user:<hash>      of a person
    positions        impressions and choices of products by position
    positions:facets the same of facets
    parts:<scope>    what a scope has in wider ones

Knows: how names, values, queries and kinds become keys; the keyed hash of ids. Does not know: prefixes, Redis.
"""

import hmac
from hashlib import blake2b, sha256

from service.normalising import nfkc

EVERYTHING = "scope:all"
POSITIONS, FACET_POSITIONS = "positions", "positions:facets"
MOST_VALUE_CHARACTERS = 64


def query_scope(query: str) -> str:
    """The scope of a query: that of all texts which differ in case, width and blanks alone."""
    return f"scope:q{_digest(_plain(query))}"


def kind_scope(kind: str) -> str:
    """The scope of a kind of product."""
    return f"scope:k{_digest(_plain(kind))}"


def scopes(query: str, kind: str | None) -> tuple[str, ...]:
    """The scopes of a request, the narrowest first; `kind` is its kind of product, if it is known."""
    return (query_scope(query), *([kind_scope(kind)] if kind else []), EVERYTHING)


def parts_key(scope: str) -> str:
    """The key of what a scope has in wider ones."""
    return f"parts:{scope}"


def user_key(user: str) -> str:
    """The key of a person, by the keyed hash."""
    return f"user:{user}"


def attribute_field(name: str) -> bytes:
    """The field of an attribute, by its plain name."""
    return b"a:" + _plain(name).encode()


def value_field(attribute: str, value: str) -> bytes:
    """The field of an attribute's value."""
    return b"v:" + _plain(attribute).encode() + b"\0" + plain_value(value).encode()


def value_text(value: object) -> str:
    """A value as one text, no longer than what tells values apart."""
    text = value if isinstance(value, str) else ", ".join(map(str, value if isinstance(value, list) else [value]))
    return text[:MOST_VALUE_CHARACTERS]


def plain_value(text: str) -> str:
    """A value as `told` gives it."""
    return _plain(text)[:MOST_VALUE_CHARACTERS]


def is_value(field: bytes) -> bool:
    """Whether it is an attribute's value."""
    return field.startswith(b"v:")


def attribute_of(value: bytes) -> bytes:
    """The field of the attribute that a value's field belongs to."""
    return b"a:" + value[2:].partition(b"\0")[0]


def told(field: bytes) -> tuple[str, str]:
    """The attribute and the value that a field is of, as it names them; the value is "" for an attribute's field."""
    attribute, _, value = field[2:].partition(b"\0")
    return attribute.decode(), value.decode()


def position_field(position: int) -> bytes:
    """The field of a position, counted from 1."""
    return b"p:%d" % position


def hashed(identifier: str, secret: bytes) -> str:
    """What is kept of an id: an HMAC, 32 hexadecimal digits; "" of none."""
    return hmac.new(secret, identifier.encode(), sha256).hexdigest()[:32] if identifier else ""


def _plain(text: str) -> str:
    return " ".join(nfkc(text).casefold().split())


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()
