"""The contract of the scorer, as properties of the shipped bundle.

1. A logit depends on its query and attribute alone. 2. Weights sum to one; permuting or removing candidates permutes
or rescales them. 3. Alone and in any batch a pair has the same logit, within what int8's rounding may move.
"""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from service import scoring
from service.bundle import Bundle
from service.model import Model
from service.text import Tokenizer, pack

INT8_TOLERANCE = 1e-3

QUERIES = st.sampled_from(
    [
        "red wool runner rug 2x8",
        "laptop 16gb ram",
        "women's waterproof hiking boots size 8",
        "Ellie Shoes Women's 8400, Red Patent, 14 M US",
        "红色羊毛地毯",
        "gift",
        "crème brûlée torch 🔥 butane",
    ]
)
NAMES = (
    "color", "material", "washing care", "battery life", "brand", "heel height", "memory", "screen size",
    "country of origin", "price", "size", "颜色", "product_type", "UoM", "7",
    "a very long name of an attribute that nobody uses",
)  # fmt: skip
CANDIDATES = st.lists(st.sampled_from(NAMES), min_size=1, max_size=12, unique=True)


def logits(model: Model, tokenizer: Tokenizer, query: str, attributes: list[str]) -> dict[str, float]:
    (row,) = pack(tokenizer.query(query), [tokenizer.attribute(name) for name in attributes], row_tokens=2**31)
    return dict(zip(attributes, model.run([row])[0].logits.tolist(), strict=True))


@given(query=QUERIES, attributes=CANDIDATES, seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_a_logit_ignores_the_other_candidates_and_their_order(
    model: Model, tokenizer: Tokenizer, query: str, attributes: list[str], seed: int
) -> None:
    together = logits(model, tokenizer, query, attributes)
    shuffled = [attributes[i] for i in np.random.default_rng(seed).permutation(len(attributes))]
    permuted = logits(model, tokenizer, query, shuffled)
    alone = logits(model, tokenizer, query, shuffled[:1])
    assert all(abs(together[name] - permuted[name]) <= INT8_TOLERANCE for name in attributes)
    assert abs(alone[shuffled[0]] - together[shuffled[0]]) <= INT8_TOLERANCE


@given(requests=st.lists(st.tuples(QUERIES, CANDIDATES), min_size=2, max_size=6))
@settings(max_examples=25, deadline=None)
def test_a_pair_has_the_same_logit_alone_and_in_any_batch(
    model: Model, tokenizer: Tokenizer, requests: list[tuple[str, list[str]]]
) -> None:
    rows = [
        pack(tokenizer.query(query), [tokenizer.attribute(name) for name in names], row_tokens=2**31)[0]
        for query, names in requests
    ]
    for row, together in zip(rows, model.run(rows), strict=True):
        assert np.abs(model.run([row])[0].logits - together.logits).max() <= INT8_TOLERANCE


@given(query=QUERIES, attributes=st.lists(st.sampled_from(NAMES), min_size=2, max_size=12, unique=True))
@settings(max_examples=25, deadline=None)
def test_removing_a_candidate_rescales_the_others(
    model: Model, tokenizer: Tokenizer, bundle: Bundle, query: str, attributes: list[str]
) -> None:
    all_logits, rest = (logits(model, tokenizer, query, names) for names in (attributes, attributes[1:]))
    weights = np.array(scoring.softmax(list(all_logits.values()), bundle.temperature))
    fewer = scoring.softmax(list(rest.values()), bundle.temperature)
    assert abs(weights.sum() - 1) < 1e-6
    assert np.abs(weights[1:] / weights[1:].sum() - fewer).max() <= 2 * INT8_TOLERANCE / bundle.temperature


def test_splitting_candidates_over_rows_changes_no_logit(model: Model, tokenizer: Tokenizer) -> None:
    query, names = tokenizer.query("red wool runner rug 2x8"), [f"attribute {i} of many" for i in range(100)]
    attributes = [tokenizer.attribute(name) for name in names]
    whole = model.run(pack(query, attributes, row_tokens=2**31))[0].logits
    parts = [model.run([row])[0].logits for row in pack(query, attributes, row_tokens=100)]
    assert np.abs(np.concatenate(parts) - whole).max() <= INT8_TOLERANCE
