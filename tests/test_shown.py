"""What an answer showed comes back from its bytes, cut to what is kept."""

import pytest

from service.feedback.shown import MOST_ATTRIBUTES, MOST_PRODUCTS, MOST_TITLE, Shown, ShownProduct, decode, encode, key

PRODUCT = ShownProduct("a", {"color": ("red", 0.5)}, "Red rug")


def test_it_comes_back_as_it_was() -> None:
    shown = Shown(("scope:q", "scope:all"), {"size": 0.1, "color": 0.9}, (PRODUCT,), True, "red rug", True)
    assert decode(encode(shown)) == shown


def test_no_more_is_kept_than_so_much() -> None:
    many = {f"attribute {n}": 0.01 for n in range(MOST_ATTRIBUTES + 1)}
    long = ShownProduct("a", dict.fromkeys(many, ("red", 0.0)), "x" * (MOST_TITLE + 1))
    found = decode(encode(Shown((), many, [long] * (MOST_PRODUCTS + 1))))
    assert (len(found.attributes), len(found.products)) == (MOST_ATTRIBUTES, MOST_PRODUCTS)
    assert (len(found.products[0].values), len(found.products[0].title)) == (MOST_ATTRIBUTES, MOST_TITLE)


@pytest.mark.parametrize("content", [b"\xff", b"[]", b"{}", b'{"s": 1}'])
def test_other_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(content)


def test_attributes_and_products_of_one_page_are_known_each_by_itself() -> None:
    names = ("q", "p:q", "a:q")
    assert len({key(name, products=products) for name in names for products in (False, True)}) == 6
