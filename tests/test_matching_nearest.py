"""Which stored value a stated one means."""

import pytest

from service.matching.nearest import most_agreeing
from service.matching.parsing import Parser
from service.matching.units import Units

PARSER = Parser(Units({}))


@pytest.mark.parametrize(
    ("stated", "stored", "expected"),
    [
        ("navy", ["beige", "blue", "red"], "blue"),
        ("soft leather", ["cotton", "leather"], "leather"),
        ("深蓝色", ["红色", "蓝色"], "蓝色"),
    ],
)
def test_the_rules_come_before_cosines(stated: str, stored: list[str], expected: str) -> None:
    cosines = [0.1 if each == expected else 0.9 for each in stored]
    place, agreed = most_agreeing(PARSER.found(stated), [PARSER.wanted(each) for each in stored], cosines)
    assert stored[place] == expected
    assert agreed > 0


def test_where_the_rules_say_nothing_the_larger_cosine_decides() -> None:
    stored = [PARSER.wanted(each) for each in ("boho", "baroque")]
    assert most_agreeing(PARSER.found("bohemian"), stored, [0.9, 0.2])[0] == 0
    assert most_agreeing(PARSER.found("bohemian"), stored, [0.2, 0.9])[0] == 1
