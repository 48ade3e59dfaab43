"""The constants of a product's score: what judged products and spellings say they should be."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tiny import tiny_config

from model_export.benchmark.constants import CONSTANTS, decisions, fit_join, fit_score, write_constants
from model_export.benchmark.ranking import Features
from model_export.spellings import SPELLINGS, UNSEEN
from service.bundle import Formula

GIVEN = Formula(overlap=0.1, exclusion=0.2, strength=0.2, join=0.8)


def listed(query: str, **told: Sequence[float]) -> Features:
    """Two products, the first relevant, told apart by the components given alone."""
    nothing = np.zeros(2)
    names = ("cosine", "pretrained", "bm25", "near", "overlap", "excluded", "model", "equal")
    components = {name: np.array(told.get(name, nothing), float) for name in names}
    return Features(query=query, gains=np.array([1.0, 0.0]), **components)


def owner_of() -> dict[str, str]:
    return {s: name for table in (SPELLINGS, UNSEEN) for name, others in table.items() for s in (name, *others)}


def by_meaning(names: Sequence[str]) -> NDArray[np.float64]:
    """Vectors in which every spelling lies near its name, and all else is far."""
    places = {name: place for place, name in enumerate(SPELLINGS)}
    owner = owner_of()
    found = np.zeros((len(names), len(places) + len(owner)))
    spellings = {name: len(places) + place for place, name in enumerate(owner)}
    for row, name in enumerate(names):
        found[row, places[owner[name]]] = 0.9
        found[row, spellings[name]] = np.sqrt(1 - 0.81)
    return found


def test_attributes_count_where_they_alone_tell_products_apart() -> None:
    fitted, _ = fit_score({"shop": [listed(f"rug {n}", model=(1, 0), near=(0, 0.01)) for n in range(6)]}, GIVEN)
    assert fitted.strength > 0


def test_of_equally_good_constants_the_smallest_are_taken() -> None:
    fitted, _ = fit_score({"shop": [listed(f"rug {n}", near=(1, 0)) for n in range(6)]}, GIVEN)
    assert fitted == GIVEN._replace(overlap=0.0, exclusion=0.0, strength=0.0)


def test_sets_count_alike_however_many_queries_they_have() -> None:
    many = [listed(f"rug {n}", model=(0, 1), near=(0.001, 0)) for n in range(40)]
    few = [listed(f"lamp {n}", model=(1, 0), near=(0, 0.001)) for n in range(4)]
    both, told = fit_score({"many": many, "few": few}, GIVEN)
    assert both.strength == 0.0
    assert set(told) == {"many", "few"}


def test_names_are_joined_where_spellings_are_nearer_to_their_own_name_than_to_others() -> None:
    join, told = fit_join(by_meaning)
    assert 0.5 <= join <= 0.81
    assert told == {"recall": 1.0, "precision": 1.0}


def test_a_spelling_is_asked_once_with_its_own_name_and_once_without() -> None:
    found = decisions({"color": ("tint",)}, by_meaning)
    assert [right for _, right in found] == [True, False]


def test_without_judged_products_the_constants_are_the_configs(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, ranking={"overlap": 0.3, "exclusion": 0.1, "strength": 0.5, "join": 0.9})
    write_constants(config, tmp_path, tmp_path, tmp_path)
    assert json.loads((tmp_path / CONSTANTS).read_text()) == {
        "overlap": 0.3,
        "exclusion": 0.1,
        "strength": 0.5,
        "join": 0.9,
    }
