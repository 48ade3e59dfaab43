"""Batches: the targets are on the right tokens, and a step's batch is a fact of the seed and the step."""

import random
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_config, tiny_tokenizer, write_tokenizer

from model_export.batches import Batch, Sampler, collated, spelling, thinned, token_targets
from model_export.config import Config
from model_export.examples import NamePool
from model_export.names import SPELLINGS
from model_export.records import Record, Span
from service.text import Tokenizer

# None of these is known under another spelling.
NAMES = ("voltage", "thread count", "lens colour", "page count")
POOL = NamePool({f"other {number}": 1 for number in range(20)}, {})
WORDS = st.lists(st.sampled_from(["red", "wool", "rug", "2x8", "größe", "羊毛"]), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("base")
    write_tokenizer(folder)
    return tiny_tokenizer(folder)


def options(*, steps: int = 8, **shop: Any) -> Config:
    """Steps of two records from a source whose records are taken as they are."""
    source = {"reader": "jsonl", "train": "unread", "licence": "CC0-1.0", "rate": 1, "others": 0}
    training = {"steps": steps, "batch": 2}
    return tiny_config(Path(), sources={"shop": source | shop}, training=training)


def numbered(number: int) -> Record:
    """A record that can be told from the others by its weight and its gains."""
    return Record(f"rug {number}", NAMES, (4.0, 3.0, 2.0, 1.0), (None,) * 4, float(number + 1))


def sampler(tokenizer: Tokenizer, records: Sequence[Record], config: Config | None = None) -> Sampler:
    return Sampler(config or options(), tokenizer, {"shop": records}, POOL)


def same(one: Batch, other: Batch) -> bool:
    pairs = [(one.feed[name], other.feed[name]) for name in one.feed]
    tensors = [field.name for field in fields(Batch) if field.name not in {"feed", "importance"}]
    pairs += [(getattr(one, name), getattr(other, name)) for name in tensors]
    return all(torch.equal(mine, theirs) for mine, theirs in pairs)


def one(query: str, *values: tuple[Span, ...] | None) -> Record:
    return Record(query, NAMES[: len(values)], (1.0,) * len(values), values)


def test_gains_sum_to_one_in_every_row(tokenizer: Tokenizer) -> None:
    batch = collated(tokenizer, [Record("red rug", ("a", "b"), (3, 1), (None, None)), numbered(0)])
    assert batch.gains.sum(1).tolist() == pytest.approx([1, 1])


def test_gains_keep_their_proportion(tokenizer: Tokenizer) -> None:
    batch = collated(tokenizer, [Record("red rug", ("a", "b", "c"), (3, 1, 0), (None,) * 3)])
    assert batch.gains.tolist() == [[0.75, 0.25, 0.0]]


def test_a_row_without_gains_sums_to_zero(tokenizer: Tokenizer) -> None:
    assert collated(tokenizer, [Record("red rug", ("a", "b"), (0, 0), (None,) * 2)]).gains.tolist() == [[0, 0]]


def test_candidates_that_only_pad_are_not_present(tokenizer: Tokenizer) -> None:
    batch = collated(tokenizer, [one("red rug", None), one("red rug", None, None)])
    assert batch.present.tolist() == [[True, False], [True, True]]


def test_a_rows_weight_is_its_share_of_the_sources_mean(tokenizer: Tokenizer) -> None:
    assert collated(tokenizer, [numbered(0), numbered(3)], mean_weight=2.0).weight.tolist() == [0.5, 2.0]


def test_the_tokens_of_a_value_are_inside(tokenizer: Tokenizer) -> None:
    assert token_targets(tokenizer.query("red wool rug"), [(4, 8)]) == [0, 1, 0]


def test_every_piece_of_a_word_in_a_value_is_inside(tokenizer: Tokenizer) -> None:
    assert token_targets(tokenizer.query("abc rug"), [(0, 3)]) == [1, 1, 1, 0]


def test_a_word_that_a_value_only_touches_is_inside(tokenizer: Tokenizer) -> None:
    assert token_targets(tokenizer.query("red woolrug"), [(4, 8)]) == [0] + [1] * 4


def test_chinese_values_are_inside_character_by_character(tokenizer: Tokenizer) -> None:
    assert token_targets(tokenizer.query("红色羊毛地毯"), [(0, 2), (4, 6)]) == [1, 1, 0, 0, 1, 1]


def test_offsets_stay_right_behind_letters_that_normalisation_changes(tokenizer: Tokenizer) -> None:
    assert token_targets(tokenizer.query("RE\u0301D  Wool"), [(6, 10)])[-1:] == [1]


def test_targets_stand_behind_the_first_token(tokenizer: Tokenizer) -> None:
    batch = collated(tokenizer, [one("red wool rug", ((4, 8),))])
    assert batch.inside.tolist() == [[[0, 0, 1, 0, 0]]]


def test_a_stated_value_is_known_at_every_word_and_nowhere_else(tokenizer: Tokenizer) -> None:
    batch = collated(tokenizer, [one("red rug", ((0, 3),)), one("red wool rug", ())])
    assert batch.known.int().tolist() == [[[0, 1, 1, 0, 0]], [[0, 1, 1, 1, 0]]]


def test_an_unknown_value_is_known_nowhere(tokenizer: Tokenizer) -> None:
    assert not collated(tokenizer, [one("red rug", None)]).known.any()


def test_the_words_beyond_the_tokenizers_limit_have_no_targets(tokenizer: Tokenizer) -> None:
    query = "rug " * 80
    batch = collated(tokenizer, [one(query, ((0, 3), (len(query) - 4, len(query) - 1)))])
    assert (batch.inside.sum().item(), batch.known.sum().item()) == (1, 62)


def test_a_step_has_the_same_batch_whatever_was_drawn_before(tokenizer: Tokenizer) -> None:
    records = [numbered(number) for number in range(5)]
    config = options(others=3, drop_words=0.5)
    passed, fresh = (sampler(tokenizer, records, config) for _ in range(2))
    for step in range(6):
        passed.batch(step)
    assert same(passed.batch(6), fresh.batch(6))


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
    made = Sampler(config, tokenizer, {"often": [one("rug", None)], "seldom": [one("rug", None)]}, POOL)
    found = [made.batch(step).importance for step in range(400)]
    assert found.count(0.25) == pytest.approx(300, abs=40)


def test_a_source_without_records_is_never_drawn(tokenizer: Tokenizer) -> None:
    source = options().sources["shop"]
    empty = source.model_copy(update={"importance": 0.25})
    config = tiny_config(Path(), sources={"empty": empty, "shop": source}, training={"steps": 8})
    made = Sampler(config, tokenizer, {"empty": [], "shop": [numbered(0)]}, POOL)
    assert {made.batch(step).importance for step in range(8)} == {1.0}


def test_other_names_come_in_without_gain(tokenizer: Tokenizer) -> None:
    batch = sampler(tokenizer, [numbered(0)], options(others=3)).batch(0)
    assert sorted(batch.gains[0].tolist()) == pytest.approx([0, 0, 0, 0.1, 0.2, 0.3, 0.4])


def test_other_names_state_no_value_where_the_records_values_are_known(tokenizer: Tokenizer) -> None:
    batch = sampler(tokenizer, [one("red rug", ((0, 3),))], options(others=1)).batch(0)
    assert batch.known.int().tolist() == [[[0, 1, 1, 0]] * 2]


def test_nobody_knows_the_values_of_other_names_where_the_records_are_unknown(tokenizer: Tokenizer) -> None:
    assert not sampler(tokenizer, [one("red rug", None)], options(others=1)).batch(0).known.any()


def without_gain(candidates: int) -> Record:
    names = [f"attribute {number}" for number in range(candidates)]
    return Record("rug", tuple(names), (1.0, *(0.0,) * (candidates - 1)), (None,) * candidates)


def test_candidates_without_gain_are_drawn_down_to_the_limit(tokenizer: Tokenizer) -> None:
    batch = sampler(tokenizer, [without_gain(9)], options(candidates=4)).batch(0)
    assert batch.present.sum().item() == 4


def test_the_candidate_with_the_gain_stays_when_others_are_drawn(tokenizer: Tokenizer) -> None:
    made = sampler(tokenizer, [without_gain(9)], options(candidates=2))
    assert all(made.batch(step).gains.sum().item() == 1 for step in range(8))


# Fails: all candidates with a gain and all `others` come in, whatever `candidates` says (here 4 and 7).
@pytest.mark.parametrize("others", [0, 3])
def test_a_row_never_has_more_candidates_than_the_limit(tokenizer: Tokenizer, others: int) -> None:
    batch = sampler(tokenizer, [numbered(0)], options(candidates=3, others=others)).batch(0)
    assert batch.present.sum().item() <= 3


def test_an_own_name_wins_when_another_takes_its_spelling(tokenizer: Tokenizer) -> None:
    record = Record("wool rug", ("textile",), (1.0,), (None,))
    made = Sampler(options(steps=100, others=1), tokenizer, {"shop": [record]}, NamePool({"fabric": 1}, {}))
    assert all(made.batch(step).gains.sum().item() == 1 for step in range(100))


@settings(deadline=None)
@given(name=st.sampled_from(sorted(SPELLINGS)), share=st.floats(0, 1), seed=st.integers())
def test_a_spelling_is_the_name_or_one_that_is_written_down(name: str, share: float, seed: int) -> None:
    assert spelling(name, random.Random(seed), share) in {name, *SPELLINGS[name]}


def test_a_name_is_spelled_otherwise_as_often_as_is_asked_for() -> None:
    draw = random.Random(3)
    assert [spelling("Color", draw, 0.25) for _ in range(1000)].count("Color") == pytest.approx(750, abs=50)


def test_a_name_without_other_spellings_stays() -> None:
    draw = random.Random(3)
    assert {spelling("voltage", draw, 1.0) for _ in range(50)} == {"voltage"}


def test_half_the_records_keep_all_their_names(tokenizer: Tokenizer) -> None:
    names = ("color", "material", "size", "brand", "shape", "price")
    record = Record("red rug", names, (1.0,) * 6, (None,) * 6)
    made = sampler(tokenizer, [record], options(steps=300))
    kept = collated(tokenizer, [record]).feed["input_ids"].sort().values
    found = [made.batch(step).feed["input_ids"].sort().values for step in range(300)]
    assert sum(torch.equal(ids, kept) for ids in found) == pytest.approx(150, abs=40)


@st.composite
def stating(draw: st.DrawFn) -> Record:
    """A query of words and, for four attributes, runs of its characters that do not end in the air."""
    words = draw(WORDS)
    query = " ".join(words)
    borders = st.integers(0, len(query) - 1).flatmap(
        lambda start: st.tuples(st.just(start), st.integers(start + 1, len(query)))
    )
    spans = borders.filter(lambda span: query[slice(*span)].strip() == query[slice(*span)])
    values = [draw(st.none() | st.lists(spans, max_size=2).map(tuple)) for _ in NAMES]
    return Record(query, NAMES, (4.0, 3.0, 2.0, 1.0), tuple(values))


def texts(record: Record, index: int) -> list[str]:
    return [record.query[start:end] for start, end in record.values[index] or ()]


@settings(deadline=None)
@given(record=stating(), seed=st.integers())
def test_every_value_of_a_thinned_query_is_part_of_the_value_it_was(record: Record, seed: int) -> None:
    thin = thinned(record, random.Random(seed))
    for index in range(len(NAMES)):
        assert all(any(text in was for was in texts(record, index)) and text for text in texts(thin, index))


@settings(deadline=None)
@given(record=stating(), seed=st.integers())
def test_a_thinned_query_has_some_of_the_words_in_their_order(record: Record, seed: int) -> None:
    left = iter(record.query.split())
    words = thinned(record, random.Random(seed)).query.split()
    assert words and all(word in left for word in words)


@settings(deadline=None)
@given(record=stating(), seed=st.integers())
def test_what_nobody_knows_stays_unknown_in_a_thinned_query(record: Record, seed: int) -> None:
    thin = thinned(record, random.Random(seed))
    assert [spans is None for spans in thin.values] == [spans is None for spans in record.values]


@settings(deadline=None)
@given(record=stating(), seed=st.integers())
def test_a_value_that_goes_takes_its_gain_with_it(record: Record, seed: int) -> None:
    thin = thinned(record, random.Random(seed))
    for index, was in enumerate(record.values):
        assert thin.gains[index] == (0 if was and not thin.values[index] else record.gains[index])


# Fails: a value that is not kept is said to be unstated also where another value holds its words in the query, so
# always in a query without spaces ("红色羊毛地毯", color and material) and in "16GB/512GB".
@settings(deadline=None)
@given(record=stating(), seed=st.integers())
def test_a_value_whose_words_all_stay_is_still_stated(record: Record, seed: int) -> None:
    thin = thinned(record, random.Random(seed))
    if thin.query == record.query:
        assert thin.values == record.values
