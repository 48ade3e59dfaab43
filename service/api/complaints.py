"""What of a body does not fit its schema, in words for who sent it: where that is, what is wrong, the way out.

Knows: pydantic's kinds of errors and how it names places. Does not know: our own errors, status codes.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

SENTENCES = {
    "missing": "it is missing; add it",
    "extra_forbidden": "there is no such field; take it out (/docs lists those that there are)",
    "bool_type": "it must be true or false, or be left out",
    "string_type": "it must be a text",
    "int_type": "it must be a whole number",
    "float_type": "it must be a number",
    "finite_number": "it must be a finite number",
    "list_type": "it must be a list",
    "dict_type": "it must be an object of values by name",
    "model_type": "it must be an object",
    "string_too_short": "it must have {min_length} or more characters",
    "string_too_long": "it must have at most {max_length:,} characters",
    "too_short": "it must have {min_length} or more elements",
    "too_long": "it must have at most {max_length:,} elements",
    "greater_than": "it must be above {gt:,.15g}",
    "greater_than_equal": "it must be {ge:,.15g} or more",
    "less_than_equal": "it must be {le:,.15g} or less",
    "literal_error": "it must be {expected}",
}
"""By pydantic's kind of error; other kinds are told in its words."""
NAMES = {
    "string_too_short": "a name is empty; give it one, or take it out",
    "string_too_long": "a name must have at most {max_length:,} characters, and this one has more: {name}",
}
"""The same of the name of something in an object, which has no place of its own."""
KEY = "[key]"
"""Where pydantic means such a name, the place ends so."""
TEXT, OBJECT = "<text>", "<object>"
"""Tags of the two shapes that a document may have. They are in places as pydantic tells them, and hardly in a body."""
MOST_CHARACTERS = 200
MOST_OF_A_NAME = 32


class Complaint(NamedTuple):
    """The field, as steps joined by dots (products.3.id), and what is wrong with it."""

    field: str
    sentence: str


def complaint(error: Mapping[str, Any]) -> Complaint:
    """What one of pydantic's errors says. A model's own check names its field in the error's context."""
    kind, context = error["type"], error.get("ctx") or {}
    place = [str(part) for part in error["loc"] if part not in (TEXT, OBJECT)]
    if place[:1] == ["body"]:  # so FastAPI begins it, where it reads the body itself
        del place[0]
    if place[-1:] == [KEY] and kind in NAMES:
        *place, name, _ = place
        return Complaint(_field(place), NAMES[kind].format_map(context | {"name": f"{name[:MOST_OF_A_NAME]}…"}))
    if "field" in context:
        return Complaint(_field(place or [context["field"]]), error["msg"])
    return Complaint(_field(place), SENTENCES[kind].format_map(context) if kind in SENTENCES else error["msg"])


def _field(place: Sequence[str]) -> str:
    return ".".join(place or ["body"]).encode("utf-8", "backslashreplace").decode()[:MOST_CHARACTERS]
