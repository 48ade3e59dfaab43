"""What feedback adds to an answer: the id that events refer to, and what was shown under it.

Knows: what a caller is told of feedback, what is kept of an answer. Does not know: where it is kept.
"""

import random
from collections.abc import Iterable, Mapping, Sequence

from fastapi import Request

from service.api.state import state
from service.errors import BadInput
from service.feedback import keys, shown
from service.feedback.shown import Shown, ShownProduct
from service.matching.parsing import Value
from service.matching.products import Product
from service.ranking import RankedProduct
from service.weighting import Weighting

OFF = "feedback is off in this service, so it knows nobody; RANKER_FEEDBACK turns it on"
OFF_FOR_EVENTS = "feedback is off in this service, so no event can refer to an answer; RANKER_FEEDBACK turns it on"


def person_of(request: Request, user_id: str | None) -> str:
    """The key of the user whom a request names, "" where it names none. Raises BadInput where feedback is off."""
    if user_id is None:
        return ""
    opened = state(request)
    if not opened["dynamics"]:
        raise BadInput(OFF, "user_id")
    return keys.user_key(keys.hashed(user_id, opened["feedback_key"]))


def check_query_id(request: Request, given: str | None) -> None:
    """Raises BadInput for an id of the caller's own where feedback is off."""
    if given is not None and not state(request)["ledger"]:
        raise BadInput(OFF_FOR_EVENTS, "query_id")


def query_id_of(
    request: Request,
    given: str | None,
    query: str,
    weighting: Weighting | None,
    attributes: int | None,
    products: Iterable[tuple[str, Product, RankedProduct]] = (),
    *,
    kind: str | None = None,
    named: bool = False,
) -> str | None:
    """The id of an answer, the caller's where one is given, None where feedback is off; of a share of them it is known
    what they showed.

    That are so many attributes, all where it is None, and these products with their ids, in the order answered. Where
    products have no attributes nothing was weighed: then `kind` is that of the request, and `named` whether it names a
    person.
    """
    opened = state(request)
    ledger = opened["ledger"]
    if not ledger:
        return None
    query_id = given or f"{random.getrandbits(128):032x}"
    if (weighting is None or weighting.bent) and random.random() < opened["settings"].feedback_sample:
        found = [shown_product(*each) for each in products]
        if weighting:
            content = _shown(query, weighting, attributes, found)
        else:
            content = _unweighed(query, kind, found, named=named)
        ledger.show(shown.key(query_id, products=bool(found)), content)
    return query_id


def _unweighed(query: str, kind: str | None, products: Sequence[ShownProduct], *, named: bool) -> bytes:
    """What was shown where products have no attributes."""
    return shown.encode(Shown(keys.scopes(query, kind), {}, products, query=query, named=named))


def _shown(query: str, weighting: Weighting, attributes: int | None, products: Sequence[ShownProduct]) -> bytes:
    """What was shown, written down once for weights that are answered again and again; rules may change their order."""
    bent, behaviour, found = weighting.bent, weighting.behaviour, weighting.attributes[:attributes]
    if not bent or not behaviour:
        raise ValueError("feedback was off when this was weighed")
    again = not products and not weighting.rules
    known = bent.shown.get(len(found)) if again else None
    if known:
        return known
    weights = {} if weighting.degraded else {each.attribute: bent.calibrated[each.position] for each in found}
    content = shown.encode(Shown(behaviour.scopes, weights, products, bent.explored, query, behaviour.named))
    return bent.shown.keep(len(found), content) if again else content


def shown_product(identity: str, product: Product, ranked: RankedProduct) -> ShownProduct:
    """What is known of a product that was answered under this id."""
    matches = {term.attribute: term.match for term in ranked.scored.terms}
    return ShownProduct(identity, _values(product.attributes, matches), product.text)


def _values(attributes: Mapping[str, Value], matches: Mapping[str, float]) -> dict[str, tuple[str, float]]:
    return {name: (keys.value_text(value), matches.get(name, 0.0)) for name, value in attributes.items()}
