"""Lessons of a catalogue: what is asked of which product, and how they are divided."""

from pathlib import Path

import numpy as np
import pytest
from seen import COLORS, OPTIONS, made, reader, write

from model_export.config import Pictures
from model_export.lessons import Course
from service.bundle import Bundle
from service.model import Model
from service.text import Tokenizer


@pytest.fixture(scope="module")
def course(model: Model, tokenizer: Tokenizer, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Course:
    return course_of(model, tokenizer, bundle, tmp_path_factory.mktemp("lessons"), entries=3, products=70)


def course_of(model: Model, tokenizer: Tokenizer, bundle: Bundle, folder: Path, **options: int) -> Course:
    products = [*made(80), {"id": "blind", "title": "wool rug", "attributes": {"color": "red"}}]
    path = write(folder / "seen.jsonl", products)
    return Course(reader(model, tokenizer, bundle), path, Pictures(**(OPTIONS.model_dump() | options)), 7)


def test_no_more_products_are_read_than_the_option_says(course: Course) -> None:
    assert course.products == 70
    assert {kept.product for kept in course.kept} <= set(range(70))


def test_each_product_belongs_to_one_part(course: Course) -> None:
    parts = [{course.kept[number].product for number in numbers} for numbers in course.divided]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 70


def test_a_lesson_holds_few_values_but_those_kept_aside_all(course: Course) -> None:
    dev = set(course.divided.dev)
    for number, kept in enumerate(course.kept):
        assert 0 <= kept.truth < len(kept.places)
        assert len(set(kept.places.tolist())) == len(kept.places)
        assert (len(kept.places) == 3) == (number not in dev)


def test_a_lesson_is_of_a_products_own_value(course: Course) -> None:
    number = next(number for number, kept in enumerate(course.kept) if kept.name == "color")
    lesson, kept = course.read(number), course.kept[number]
    assert lesson.evidence.entries.shape[0] == lesson.evidence.similarities.shape[0] == len(kept.places)
    assert lesson.evidence.confidence == 0
    assert np.linalg.norm(lesson.image) == pytest.approx(1, abs=1e-5)
    assert len(COLORS) > kept.places[lesson.truth] >= 0


def test_what_the_text_states_is_told_with_how_surely(course: Course) -> None:
    stated = [kept for kept in course.kept if kept.name == "material"]
    assert min(kept.confidence for kept in stated) > 0.5
    assert all(kept.similarities.argmax() == kept.truth for kept in stated)
