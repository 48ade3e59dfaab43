"""Sampling: a step's batch is a fact of the seed and the step, and every record comes by its source's options."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import NAMES, tiny_config, tiny_tokenizer, valued

from model_export.batches import Batch, collated
from model_export.config import Config
from model_export.examples import NamePool, Names
from model_export.records import Product, Record
from model_export.sampling import WITH_PRODUCTS, Sampler
from model_export.stage import StageFailed
from service.text import Tokenizer

POOLS = Names({"en": NamePool({f"other {number}": 1 for number in range(20)}, {})}, {})


@pytest.fixture(scope="module")
def tokenizer(base: Path) -> Tokenizer:
    return tiny_tokenizer(base)


def options(*, steps: int = 8, **shop: Any) -> Config:
    """Steps of two records from a source whose records are taken as they are."""
    source = {"reader": "jsonl", "train": "unread", "licence": "CC0-1.0", "rate": 1, "others": 0}
    training = {"steps": steps, "batch": 2}
    return tiny_config(Path(), sources={"shop": source | shop}, training=training)


def numbered(number: int) -> Record:
    """A record that can be told from the others by its weight and its gains."""
    return Record(f"rug {number}", NAMES, (4.0, 3.0, 2.0, 1.0), (None,) * 4, float(number + 1))


def sampler(tokenizer: Tokenizer, records: Sequence[Record], config: Config | None = None) -> Sampler:
    return Sampler(config or options(), tokenizer, {"shop": records}, POOLS)


def same(one: Batch, other: Batch) -> bool:
    pairs = [(one.feed[name], other.feed[name]) for name in one.feed]
    others = {"feed", "importance", "perturbation", "products"}
    tensors = [field.name for field in fields(Batch) if field.name not in others]
    pairs += [(getattr(one, name), getattr(other, name)) for name in tensors]
    return all(torch.equal(mine, theirs) for mine, theirs in pairs)


def test_a_step_has_the_same_batch_whatever_was_drawn_before(tokenizer: Tokenizer) -> None:
    records = [numbered(number) for number in range(5)]
    config = options(others=3, drop_words=0.5)
    passed, fresh = (sampler(tokenizer, records, config) for _ in range(2))
    for step in range(6):
        passed.batch(step)
    assert same(passed.batch(6), fresh.batch(6))


def test_a_batch_has_the_options_of_its_source(tokenizer: Tokenizer) -> None:
    batch = sampler(tokenizer, [numbered(1)], options(importance=0.5, perturbation=0.25)).batch(0)
    assert (batch.importance, batch.perturbation) == (0.5, 0.25)


def test_sources_without_any_record_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(StageFailed, match="no source has a record to train from"):
        sampler(tokenizer, [])


def test_names_are_respelled_only_where_the_run_says_so(tokenizer: Tokenizer) -> None:
    record = Record("red rug", ("color",), (1.0,), (None,))
    own = collated(tokenizer, [record]).feed["input_ids"].tolist()

    def plain(respell: float) -> bool:
        training = options().training.model_copy(update={"respell": respell})
        drawn = sampler(tokenizer, [record], options().model_copy(update={"training": training}))
        return all(drawn.batch(step).feed["input_ids"].tolist() == own for step in range(8))

    assert plain(0.0) and not plain(1.0)


def test_another_seed_has_other_batches(tokenizer: Tokenizer) -> None:
    records = [numbered(number) for number in range(5)]
    config = options()
    seeded = config.model_copy(update={"seed": config.seed + 1})
    one, other = sampler(tokenizer, records, config), sampler(tokenizer, records, seeded)
    assert not all(same(one.batch(step), other.batch(step)) for step in range(8))


def test_candidates_are_shuffled_between_steps(tokenizer: Tokenizer) -> None:
    made = sampler(tokenizer, [numbered(0)])
    assert len({tuple(made.batch(step).gains[0].tolist()) for step in range(8)}) > 3


def test_every_record_comes_once_in_each_pass_over_the_source(tokenizer: Tokenizer) -> None:
    made = sampler(tokenizer, [numbered(number) for number in range(7)])
    passed = torch.cat([made.batch(step).weight for step in range(4)]) * 4
    assert sorted(passed.tolist()) == pytest.approx([1, 2, 3, 4, 5, 6, 7])


def test_the_weights_of_a_source_have_the_mean_one(tokenizer: Tokenizer) -> None:
    made = sampler(tokenizer, [numbered(number) for number in range(6)])
    assert torch.cat([made.batch(step).weight for step in range(3)]).mean().item() == pytest.approx(1)


def test_sources_come_by_their_rates(tokenizer: Tokenizer) -> None:
    source = options().sources["shop"]
    often = source.model_copy(update={"rate": 3.0, "importance": 0.25})
    config = tiny_config(Path(), sources={"often": often, "seldom": source}, training={"steps": 400, "batch": 1})
    made = Sampler(config, tokenizer, {"often": [valued("rug", None)], "seldom": [valued("rug", None)]}, POOLS)
    found = [made.batch(step).importance for step in range(400)]
    assert found.count(0.25) == pytest.approx(300, abs=40)


def test_a_source_without_records_is_never_drawn(tokenizer: Tokenizer) -> None:
    source = options().sources["shop"]
    empty = source.model_copy(update={"importance": 0.25})
    config = tiny_config(Path(), sources={"empty": empty, "shop": source}, training={"steps": 8})
    made = Sampler(config, tokenizer, {"empty": [], "shop": [numbered(0)]}, POOLS)
    assert {made.batch(step).importance for step in range(8)} == {1.0}


def test_other_names_come_in_without_gain(tokenizer: Tokenizer) -> None:
    batch = sampler(tokenizer, [numbered(0)], options(others=3)).batch(0)
    assert sorted(batch.gains[0].tolist()) == pytest.approx([0, 0, 0, 0.1, 0.2, 0.3, 0.4])


def test_other_names_state_no_value_where_the_records_values_are_known(tokenizer: Tokenizer) -> None:
    batch = sampler(tokenizer, [valued("red rug", ((0, 3),))], options(others=1)).batch(0)
    assert batch.known.int().tolist() == [[[0, 1, 1, 0]] * 2]


def test_nobody_knows_the_values_of_other_names_where_the_records_are_unknown(tokenizer: Tokenizer) -> None:
    assert not sampler(tokenizer, [valued("red rug", None)], options(others=1)).batch(0).known.any()


def without_gain(candidates: int) -> Record:
    names = [f"attribute {number}" for number in range(candidates)]
    return Record("rug", tuple(names), (1.0, *(0.0,) * (candidates - 1)), (None,) * candidates)


def test_candidates_without_gain_are_drawn_down_to_the_limit(tokenizer: Tokenizer) -> None:
    batch = sampler(tokenizer, [without_gain(9)], options(candidates=4)).batch(0)
    assert batch.present.sum().item() == 4


def test_the_candidate_with_the_gain_stays_when_others_are_drawn(tokenizer: Tokenizer) -> None:
    made = sampler(tokenizer, [without_gain(9)], options(candidates=2))
    assert all(made.batch(step).gains.sum().item() == 1 for step in range(8))


@pytest.mark.parametrize("others", [0, 3])
def test_a_row_never_has_more_candidates_than_the_limit(tokenizer: Tokenizer, others: int) -> None:
    batch = sampler(tokenizer, [numbered(0)], options(candidates=3, others=others)).batch(0)
    assert batch.present.sum().item() <= 3


def test_an_own_name_wins_when_another_takes_its_spelling(tokenizer: Tokenizer) -> None:
    record = Record("wool rug", ("textile",), (1.0,), (None,))
    made = Sampler(
        options(steps=100, others=1), tokenizer, {"shop": [record]}, Names({"en": NamePool({"fabric": 1}, {})}, {})
    )
    assert all(made.batch(step).gains.sum().item() == 1 for step in range(100))


def test_half_the_records_keep_all_their_names(tokenizer: Tokenizer) -> None:
    names = ("color", "material", "size", "brand", "shape", "price")
    record = Record("red rug", names, (1.0,) * 6, (None,) * 6)
    made = sampler(tokenizer, [record], options(steps=300))
    kept = collated(tokenizer, [record]).feed["input_ids"].sort().values
    found = [made.batch(step).feed["input_ids"].sort().values for step in range(300)]
    assert sum(torch.equal(ids, kept) for ids in found) == pytest.approx(150, abs=40)


def listing(number: int) -> Record:
    """A record whose products tell by their values which attribute they are of."""
    products = tuple(Product(float(place == 0), f"title {place}", ("a",) * 4) for place in range(2))
    return Record(f"rug {number}", NAMES, (0.0,) * 4, (None,) * 4, products=products)


MATCHES = np.array([[[0.1, 0.2, 0.3, 0.4], [-0.1, -0.2, -0.3, -0.4]]] * 8, np.float32)


def with_products(tokenizer: Tokenizer, config: Config) -> Sampler:
    return Sampler(config, tokenizer, {"shop": [listing(number) for number in range(8)]}, POOLS, {"shop": MATCHES})


def test_records_with_products_come_in_smaller_batches(tokenizer: Tokenizer) -> None:
    config = options()
    config = config.model_copy(update={"training": config.training.model_copy(update={"batch": 2 * WITH_PRODUCTS})})
    batch = with_products(tokenizer, config).batch(0)
    assert len(batch.gains) == 2 and batch.products is not None


def test_a_batch_may_have_no_products_where_other_records_of_its_source_have_some(tokenizer: Tokenizer) -> None:
    records = [listing(0), *(numbered(number) for number in range(7))]
    made = Sampler(options(), tokenizer, {"shop": records}, POOLS, {"shop": MATCHES})
    found = [made.batch(step).products is not None for step in range(8)]
    assert found.count(True) == 1


def test_matches_stand_in_the_columns_of_their_candidates(tokenizer: Tokenizer) -> None:
    made = with_products(tokenizer, options(others=2, candidates=5))
    alone = {name: tuple(tokenizer.attribute(name)) for name in NAMES}
    for step in range(8):
        batch = made.batch(step)
        assert batch.products is not None
        first, second = batch.products.matches[0].tolist()
        found = dict(zip(candidates(batch), first, strict=True))
        assert {name: found[tokens] for name, tokens in alone.items() if tokens in found} == pytest.approx(
            {name: 0.1 * (1 + place) for place, name in enumerate(NAMES) if alone[name] in found}
        )
        assert sum(match == 0 for match in first) == 2
        assert second == pytest.approx([-match for match in first])


def candidates(batch: Batch) -> list[tuple[int, ...]]:
    """The tokens of each candidate of the first row."""
    ids, blocks = batch.feed["input_ids"][0], batch.feed["block_ids"][0]
    return [tuple(ids[blocks == block].tolist()) for block in range(1, int(blocks.max()) + 1)]


def test_records_count_by_the_weights_they_were_given(tokenizer: Tokenizer) -> None:
    records = [numbered(number) for number in range(4)]
    made = sampler(tokenizer, records)
    made.weigh("shop", {0: 2.0, 1: 0.5})
    found = sorted(torch.cat([made.batch(step).weight for step in range(2)]).tolist())
    # The records' own weights are 1 to 4, of mean 2.5.
    assert found == pytest.approx(sorted(weight / 2.5 for weight in (2.0, 1.0, 3.0, 4.0)))


def test_the_asked_share_of_the_records_is_spoiled(tokenizer: Tokenizer) -> None:
    records = [numbered(number) for number in range(400)]
    config = options()
    config = config.model_copy(update={"training": config.training.model_copy(update={"spoiled": 0.5})})
    found = sampler(tokenizer, records, config).train["shop"]
    changed = sum(one.gains != other.gains for one, other in zip(found, records, strict=True))
    # Dealt out anew, one in 24 comes as it was.
    assert changed == pytest.approx(200 * 23 / 24, abs=35)


def test_the_same_records_are_spoiled_every_time(tokenizer: Tokenizer) -> None:
    records = [numbered(number) for number in range(20)]
    config = options()
    config = config.model_copy(update={"training": config.training.model_copy(update={"spoiled": 0.5})})
    one, other = sampler(tokenizer, records, config), sampler(tokenizer, records, config)
    assert one.train == other.train


def test_where_the_embedding_alone_learns_only_sources_with_products_are_drawn(tokenizer: Tokenizer) -> None:
    source = options().sources["shop"].model_dump()
    training = {"steps": 40, "batch": 8, "embedding_only": True}
    config = tiny_config(Path(), sources={"plain": source, "sold": source}, training=training)
    sold = Record("rug", ("color",), (0.0,), (None,), products=(Product(1.0, "red rug", (None,)),))
    records = {"plain": [numbered(0)], "sold": [sold]}
    found = Sampler(config, tokenizer, records, POOLS, {"sold": np.zeros((1, 1, 1), np.float32)})
    assert all(found.batch(step).products is not None for step in range(40))
