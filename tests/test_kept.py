"""What is kept is bounded by its size, and goes by when it was asked for."""

from service.feedback.kept import Kept


def test_what_was_asked_for_longest_ago_goes_first() -> None:
    it: Kept[str, int] = Kept(2)
    it.put("a", 1)
    it.put("b", 2)
    assert it.get("a") == 1
    it.put("c", 3)
    assert [it.get(key) for key in "abc"] == [1, None, 3]


def test_sizes_are_added_up_and_what_is_replaced_counts_no_more() -> None:
    it: Kept[str, int] = Kept(10)
    for value in range(5):
        it.put("a", value, 6)
    it.put("b", 9, 4)
    assert (it.get("a"), it.get("b")) == (4, 9)
    it.put("c", 7, 5)
    assert [it.get(key) for key in "abc"] == [None, 9, 7]


def test_what_is_larger_than_all_room_is_not_kept() -> None:
    it: Kept[str, int] = Kept(3)
    it.put("a", 1, 4)
    assert it.get("a") is None
