"""Whether the shipped bundle's weights make sense to a shopper: what a query is about comes before what it is not."""

import pytest
from starlette.testclient import TestClient

SENSE = [
    ("red wool runner rug 2x8", ("material", "color", "size"), ("washing care", "battery life")),
    ("laptop 16gb ram", ("memory",), ("color", "heel height")),
    ("women's running shoes size 8", ("shoe size", "department"), ("flavor", "screen size")),
    ("sugar free vanilla protein powder", ("flavor",), ("heel height", "sleeve length")),
    ("unscented laundry detergent", ("scent",), ("shoe size", "memory")),
    ("nike air max", ("brand",), ("country of origin", "care instructions")),
    ("stainless steel water bottle 32 oz", ("material", "capacity"), ("heel height", "battery life")),
    ("queen size cotton sheets", ("size", "material"), ("screen size", "flavor")),
    ("55 inch samsung tv", ("brand", "screen size"), ("fabric", "scent")),
    ("floral maxi dress", ("pattern",), ("battery life", "memory")),
    ("wireless bluetooth headphones", ("connectivity technology",), ("fabric", "flavor")),
    ("iphone 12 case clear", ("color", "compatibility"), ("flavor", "sleeve length")),
    ("toddler boys winter jacket", ("department",), ("screen size", "voltage")),
    ("pack of 12 white crew socks", ("quantity", "color"), ("memory", "voltage")),
    ("long sleeve black t shirt", ("sleeve length", "color"), ("battery life", "flavor")),
    ("红色羊毛地毯", ("颜色", "材质"), ("鞋码", "电池寿命")),
    ("红色 羊毛 地毯", ("颜色", "材质"), ("鞋码", "电池寿命")),
    ("女士跑鞋", ("鞋码", "目标性别"), ("口味", "屏幕尺寸")),
    ("纯棉长袖衬衫", ("袖长类型", "面料"), ("口味", "电池类型")),
    ("红色羊毛地毯", ("color", "material"), ("shoe size", "battery life")),
]


@pytest.mark.parametrize(("query", "first", "last"), SENSE, ids=[query for query, *_ in SENSE])
def test_what_the_query_is_about_comes_first(
    client: TestClient, query: str, first: tuple[str, ...], last: tuple[str, ...]
) -> None:
    answer = client.post("/v1/weights", json={"query": query, "attributes": [*last, *first]}).json()
    weights = {found["attribute"]: found["weight"] for found in answer["weights"]}
    assert min(weights[name] for name in first) > max(weights[name] for name in last), weights


@pytest.mark.parametrize(
    ("query", "attribute", "words"),
    [
        ("red wool runner rug 2x8", "color", "red"),
        ("red wool runner rug 2x8", "material", "wool"),
        ("red wool runner rug 2x8", "size", "2x8"),
        ("nike running shoes", "brand", "nike"),
        ("红色羊毛地毯", "颜色", "红色"),
        ("红色羊毛地毯", "材质", "羊毛"),
        ("蓝色 陶瓷 花瓶", "颜色", "蓝色"),
    ],
)
def test_values_are_the_words_that_state_the_attribute(
    client: TestClient, query: str, attribute: str, words: str
) -> None:
    answer = client.post("/v1/weights", json={"query": query, "attributes": [attribute, "battery life"]}).json()
    values = {found["attribute"]: [value["text"] for value in found["values"]] for found in answer["weights"]}
    assert values[attribute] == [words]


def test_an_attribute_the_query_does_not_state_has_no_value(client: TestClient) -> None:
    answer = client.post("/v1/weights", json={"query": "red wool rug", "attributes": ["battery life", "price"]}).json()
    assert [found["values"] for found in answer["weights"]] == [[], []]
