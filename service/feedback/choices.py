"""What a choice says of attributes and values: what was chosen, against what would have been by the places alone.

A chooser who sees place i with propensity p_i and takes what is examined with no liking gives, over many choices, as
much of everything as is expected here; so chosen over expected is 1 where there is no preference beyond what is
already known, whatever the order of the list. Places enter the expectation, not the worth of a choice: a choice far
down counts no more than one at the top, but less of it was to be expected.

Knows: the arithmetic of one event. Does not know: how evidence adds up, where it is kept.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from service.evidence import Observed, observed
from service.feedback import positions
from service.feedback.actions import facet_worth, worth
from service.feedback.keys import (
    FACET_POSITIONS,
    MOST_VALUE_CHARACTERS,
    POSITIONS,
    attribute_field,
    user_key,
    value_field,
)
from service.feedback.positions import Propensities, Propensity
from service.feedback.shown import Shown, ShownProduct
from service.feedback.ubi import Event

MOST_COMPARED = 20
"""So many products from the top are compared with each other; more only where the chosen one stands further down."""
MOST_VALUED = 8
"""Values are counted for so many attributes of an answer, the first. However many values there are: one that a single
product has tells of that product, and shrinking keeps what is seldom shown small."""
UNSTATED = 0.05
"""What it says that a product differs in what the query states nothing of, where 1 is the whole way from the opposite
of what is stated to the thing itself: nearly every product differs in something."""

Array = npt.NDArray[np.float64]


class Chosen(NamedTuple):
    """What was chosen, as the answer called it, at which place, from 1, of so many that it was compared with, and the
    place's propensity.
    """

    name: str
    place: int
    compared: int
    propensity: float


class Additions(NamedTuple):
    """Evidence by key and field. `capped` names what this client may add to only so often, "" if nothing is added;
    `capped_keys` the same for the wider scopes, by their keys. `chosen` is None where nothing is added.
    """

    capped: str = ""
    evidence: Mapping[str, Mapping[bytes, Observed]] = {}
    capped_keys: Mapping[str, str] = {}
    chosen: Chosen | None = None


class _Masses(NamedTuple):
    """What an event adds: for attributes, for values, for a person's values, for positions; and what was chosen."""

    attributes: dict[bytes, Observed]
    values: dict[bytes, Observed]
    own_values: dict[bytes, Observed]
    positions: dict[bytes, Observed]
    chosen: Chosen


class _Column(NamedTuple):
    """The values of an attribute: the text of each by its field, and which of them each product has, -1 for none."""

    texts: dict[bytes, str]
    codes: list[int]


def additions(event: Event, shown: Shown | None, propensities: Propensities) -> Additions:
    """What an event adds to the evidence, given what its answer showed.

    Attributes add to every scope of the answer and to the person; values to the narrowest scope and the person.
    Nothing is added by an event whose answer is unknown, whose action says nothing, or that nothing can be compared
    for. For attributes chosen and expected each sum to the worth of the action, and so they do for all values together:
    a product is chosen once, whatever it was chosen for, and who lies about it lies about each of its values. To a
    person, whose own choices are few, the values of each attribute add as much.
    """
    if shown is None:
        return Additions()
    if event.of_attribute:
        masses = _of_facet(event, shown, propensities.facets)
    else:
        masses = _of_product(event, shown, propensities.products)
    if masses is None:
        return Additions()
    evidence: dict[str, dict[bytes, Observed]] = {scope: dict(masses.attributes) for scope in shown.scopes}
    for scope in shown.scopes[:1]:
        evidence[scope] |= masses.values
    if event.user:
        evidence[user_key(event.user)] = masses.attributes | masses.own_values
    evidence[FACET_POSITIONS if event.of_attribute else POSITIONS] = masses.positions
    wider = {scope: _capped(event, scope) for scope in shown.scopes[1:]}
    narrowest = _capped(event, *shown.scopes[:1])
    return Additions(narrowest, {key: fields for key, fields in evidence.items() if fields}, wider, masses.chosen)


def _capped(event: Event, *scope: str) -> str:
    """Of a client and a scope; clients that do not say who they are share one."""
    told = "\0".join([event.client or event.user, *scope])
    return blake2b(told.encode(), digest_size=16).hexdigest()


def _of_facet(event: Event, shown: Shown, propensity: Propensity) -> _Masses | None:
    """An attribute chosen among those shown: an attribute is expected by the model's weight times its propensity.

    Over many choices by tastes q among weights p, chosen over expected is q / p but for a factor that all share: its
    log is what moves the logits to those of q.
    """
    mass, names = facet_worth(event.action), [*shown.attributes]
    fields = [attribute_field(name) for name in names]
    chosen = attribute_field(event.object_id)
    if not mass or chosen not in fields or len(set(fields)) < 2:
        return None
    weights = [*shown.attributes.values()]
    likely = _expected(weights, propensity)
    found: dict[bytes, Observed] = {}
    for field, name, share in zip(fields, names, likely, strict=True):
        before = found[field].expected_long if field in found else 0.0
        found[field] = observed(mass * (field == chosen), before + mass * float(share), event.at, name)
    place = fields.index(chosen)
    counted = positions.facet_counts(place + 1, _expected(weights, positions.prior).tolist(), event.at)
    return _Masses(found, {}, {}, counted, Chosen(names[place], place + 1, len(names), propensity(place + 1)))


def _expected(weights: Sequence[float], propensity: Propensity) -> Array:
    """How likely each place is to be chosen by weight and propensity; they sum to 1."""
    likely = np.array([weight * propensity(place) for place, weight in enumerate(weights, 1)])
    return likely / likely.sum() if likely.sum() > 0 else np.full(len(weights), 1 / len(weights))


def _of_product(event: Event, shown: Shown, propensity: Propensity) -> _Masses | None:
    """A product chosen among those shown."""
    mass = worth(event.action, event.dwell_s)
    place = _place(event, shown.products) if mass else None
    if place is None or len(shown.products) < 2:
        return None
    compared = shown.products[: max(MOST_COMPARED, place + 2)]
    likely = np.array([propensity(position) for position in range(1, len(compared) + 1)])
    names = _names(shown, compared)
    columns = _columns(names, compared)
    chances = likely.tolist()
    telling = [max(1, sum(column.codes[each] >= 0 for column in columns)) for each in range(len(compared))]
    shared = [chance / attributes for chance, attributes in zip(chances, telling, strict=True)]
    return _Masses(
        _attributes(names, compared, place, likely, mass, event.at),
        _values(columns, place, shared, mass / telling[place], event.at),
        _values(columns, place, chances, mass, event.at) if event.user else {},
        positions.counts(place + 1, len(shown.products), event.at),
        Chosen(compared[place].id, place + 1, len(compared), propensity(place + 1)),
    )


def _names(shown: Shown, products: Sequence[ShownProduct]) -> list[str]:
    """The attributes that any of the products has, in their order, of those that share a plain name the first."""
    known: dict[bytes, str] = {}
    for name in shown.attributes:
        if any(name in product.values for product in products):
            known.setdefault(attribute_field(name), name)
    return [*known.values()]


def _place(event: Event, products: Sequence[ShownProduct]) -> int | None:
    """Where the event's product stands, from 0, by either of its names; the answer knows that better than senders."""
    places = {product.id: place for place, product in reversed([*enumerate(products)])}
    return places.get(event.object_id, places.get(event.internal_id) if event.internal_id else None)


def _attributes(
    names: Sequence[str], products: Sequence[ShownProduct], place: int, likely: Array, mass: float, at: float
) -> dict[bytes, Observed]:
    """For each attribute its share in what sets the product chosen apart, against that of a product taken blindly."""
    apart = set_apart(names, products) if names else np.zeros((len(products), 0))
    totals = apart.sum(axis=1)
    if not totals[place]:
        return {}
    telling = totals > 0
    shares = apart[telling] / totals[telling, None]
    expected = likely[telling] @ shares / likely[telling].sum()
    chosen = apart[place] / totals[place]
    return {
        attribute_field(name): observed(mass * float(seen), mass * float(blind), at, name)
        for name, seen, blind in zip(names, chosen, expected, strict=True)
        if seen or blind
    }


def set_apart(names: Sequence[str], products: Sequence[ShownProduct]) -> Array:
    """How much each attribute sets each product apart from its neighbours: those before it and the next one.

    Of products × attributes, in [0, 1]: the mean over the neighbours of half of how much better the product agrees
    with what the query states; where it states nothing of an attribute, `UNSTATED` for each neighbour that differs.
    """
    nothing = ("", 0.0)
    found = [[product.values.get(name, nothing) for name in names] for product in products]
    match = np.array([[match for _, match in row] for row in found], np.float64)
    codes: dict[str, int] = {"": 0}
    text = np.array([[codes.setdefault(text.casefold(), len(codes)) for text, _ in row] for row in found])
    places = np.arange(len(products))
    neighbours = (places[None, :] < places[:, None]) | (places[None, :] == places[:, None] + 1)
    better = np.maximum(match[:, None] - match[None], 0) / 2
    differs = UNSTATED * ((text[:, None] != text[None]) & (text[:, None] > 0))
    apart = np.where((match != 0).any(axis=0), better, differs)
    mean: Array = np.einsum("ij,ija->ia", neighbours.astype(np.float64), apart) / neighbours.sum(axis=1)[:, None]
    return mean


def _columns(names: Sequence[str], products: Sequence[ShownProduct]) -> list[_Column]:
    """Those of the first `MOST_VALUED` attributes of which the products have several values."""
    found = []
    for name in names[:MOST_VALUED]:
        texts: dict[bytes, str] = {}
        codes: dict[str, int] = {}
        places: dict[bytes, int] = {}
        for product in products:
            if name in product.values and (text := product.values[name][0]) not in codes:
                field = value_field(name, text)
                texts.setdefault(field, text[:MOST_VALUE_CHARACTERS])
                codes[text] = places.setdefault(field, len(places))
        if len(texts) > 1:
            of_each = [codes[each.values[name][0]] if name in each.values else -1 for each in products]
            found.append(_Column(texts, of_each))
    return found


def _values(
    columns: Sequence[_Column], place: int, likely: Sequence[float], mass: float, at: float
) -> dict[bytes, Observed]:
    """For each value of the attributes that the product chosen has: whether it is its own, against how likely a
    product with that value was, taken blindly among those that have one.
    """
    found: dict[bytes, Observed] = {}
    for texts, codes in columns:
        if codes[place] >= 0:
            chances = [0.0] * len(texts)
            for code, chance in zip(codes, likely, strict=True):
                if code >= 0:
                    chances[code] += chance
            total = sum(chances)
            for code, (field, text) in enumerate(texts.items()):
                found[field] = observed(mass * (code == codes[place]), mass * chances[code] / total, at, text)
    return found
