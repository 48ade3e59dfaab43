"""Which of a catalogue's names the shipped bundle takes for one: those that mean the same, and not their opposites."""

from typing import Any

import pytest
from starlette.testclient import TestClient

ALIKE = [
    ("color", "product_colour"), ("color", "colour"), ("color", "color name"), ("color", "main color"),
    ("color", "shade"), ("material", "fabric"), ("material", "material type"), ("material", "materials"),
    ("material", "product material"), ("screen size", "display size"), ("screen size", "monitor size"),
    ("ram", "ram size"), ("brand", "manufacturer"), ("brand", "brand name"), ("brand", "product_brand"),
    ("weight", "item weight"), ("weight", "product weight"), ("height", "item height"), ("height", "product height"),
    ("length", "item length"), ("width", "item width"), ("depth", "item depth"), ("size", "item size"),
    ("size", "product size"), ("price", "item price"), ("price", "product price"), ("price", "cost"),
    ("storage capacity", "hard drive capacity"), ("storage capacity", "storage"), ("gender", "target gender"),
    ("age range", "age group"), ("style", "item style"), ("shape", "item shape"), ("flavor", "flavour"),
    ("flavor", "taste"), ("scent", "fragrance"), ("battery life", "battery runtime"),
    ("battery capacity", "battery_capacity_mah"), ("compatibility", "compatible with"),
    ("connectivity technology", "connectivity"), ("closure type", "closure"), ("heel height", "heelHeight"),
    ("neckline", "neck style"), ("sleeve length", "sleeve type"), ("occasion", "suitable occasion"),
    ("resolution", "screen resolution"), ("voltage", "operating voltage"), ("operating system", "os"),
    ("processor", "cpu"), ("number of pieces", "piece count"), ("pack size", "pack quantity"),
    ("color", "attr_t_product_colour"), ("finish", "finish type"), ("warranty", "warranty period"),
    ("wall mounted", "wall mountable"), ("颜色", "色彩"), ("颜色", "产品颜色"), ("颜色", "color"), ("材质", "材料"),
    ("材质", "面料"), ("尺寸", "规格尺寸"), ("重量", "商品重量"), ("品牌", "商品品牌"), ("品牌", "牌子"),
    ("屏幕尺寸", "显示屏尺寸"), ("产地", "原产地"), ("口味", "味道"), ("价格", "商品价格"), ("型号", "产品型号"),
    ("电池容量", "电池容量mAh"), ("鞋码", "鞋子尺码"), ("material", "材质"), ("size", "尺寸"),
]  # fmt: skip
APART = [
    ("min price", "max price"), ("minimum order quantity", "maximum order quantity"), ("minimum age", "maximum age"),
    ("min temperature", "max temperature"), ("lowest price", "highest price"), ("input voltage", "output voltage"),
    ("input power", "output power"), ("input connector", "output connector"), ("voltage", "output voltage"),
    ("voltage", "input voltage"), ("weight", "shipping weight"), ("weight", "package weight"),
    ("item weight", "shipping weight"), ("item weight", "package weight"), ("product weight", "gross weight"),
    ("net weight", "gross weight"), ("width", "package width"), ("inner diameter", "outer diameter"),
    ("inside diameter", "outside diameter"), ("inner material", "outer material"),
    ("interior color", "exterior color"), ("inner width", "outer width"), ("internal storage", "external storage"),
    ("indoor use", "outdoor use"), ("front camera", "rear camera"), ("front tire size", "rear tire size"),
    ("front speed", "back speed"), ("front wheel diameter", "rear wheel diameter"),
    ("top material", "bottom material"), ("top color", "bottom color"), ("top width", "bottom width"),
    ("top size", "bottom size"), ("upper material", "lower material"), ("upper material", "sole material"),
    ("upper arm length", "lower arm length"), ("left hand", "right hand"), ("left sphere", "right sphere"),
    ("left length", "right length"), ("with battery", "without battery"), ("with wheels", "without wheels"),
    ("start date", "end date"), ("first color", "second color"), ("primary color", "secondary color"),
    ("primary material", "secondary material"), ("upload speed", "download speed"), ("read speed", "write speed"),
    ("male connector", "female connector"), ("hot temperature", "cold temperature"),
    ("horizontal resolution", "vertical resolution"), ("horizontal angle", "vertical angle"),
    ("handle material", "blade material"), ("lens color", "color"), ("frame color", "color"),
    ("light color", "color"), ("sole material", "material"), ("lining material", "material"),
    ("lining material", "outer material"), ("weight capacity", "weight"), ("maximum weight", "weight"),
    ("short sleeve", "long sleeve"), ("wet weight", "dry weight"), ("shipping width", "width"),
    ("width with stand", "width without stand"), ("height with stand", "height without stand"),
    ("最大重量", "最小重量"), ("最高温度", "最低温度"), ("最高价", "最低价"), ("输入电压", "输出电压"),
    ("输入功率", "输出功率"), ("内径", "外径"), ("内部颜色", "外部颜色"), ("前轮尺寸", "后轮尺寸"),
    ("前置摄像头", "后置摄像头"), ("上身材质", "下身材质"), ("上衣尺码", "下装尺码"), ("左眼度数", "右眼度数"),
    ("包装重量", "重量"), ("商品重量", "包装重量"), ("毛重", "净重"), ("包装尺寸", "尺寸"), ("室内", "室外"),
    ("开始日期", "结束日期"), ("主要颜色", "次要颜色"), ("镜框颜色", "镜片颜色"), ("表带颜色", "表盘颜色"),
    ("鞋底材质", "鞋面材质"), ("里料材质", "面料材质"), ("上传速度", "下载速度"), ("重量", "承重"),
    ("dimensions", "package dimensions"), ("start time", "end time"), ("sleeve length", "inseam length"),
    ("sleeve length", "cable length"), ("sleeve length", "dress length"), ("frame color", "lens color"),
    ("shoe size", "hat size"), ("shoe size", "screen size"), ("strap color", "dial color"),
    ("heel height", "shaft height"), ("heel height", "height"), ("chest size", "waist size"),
    ("battery capacity", "storage capacity"), ("battery life", "shelf life"), ("width", "height"), ("width", "depth"),
    ("color", "material"), ("表带材质", "表壳材质"), ("鞋码", "帽围"), ("鞋码", "屏幕尺寸"),
]  # fmt: skip


def joined(client: TestClient, preferred: str, name: str) -> bool:
    """Whether what is preferred of one name counts for a product's value of the other."""
    body: dict[str, Any] = {
        "query": "gift",
        "products": [{"id": "a", "title": "Gift", "attributes": {name: "zinc"}}],
        "preferences": {preferred: {"zinc": 1}},
        "explain": True,
    }
    [result] = client.post("/v1/rank", json=body).json()["results"]
    return name in [term.get("attribute") for term in result["terms"]]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_names_that_mean_the_same_are_one(client: TestClient, one: str, other: str) -> None:
    assert joined(client, one, other)
    assert joined(client, other, one)


@pytest.mark.parametrize(("one", "other"), APART)
def test_names_that_mean_something_else_are_two(client: TestClient, one: str, other: str) -> None:
    assert not joined(client, one, other)
    assert not joined(client, other, one)


@pytest.mark.parametrize(
    ("query", "meant", "other", "value"),
    [
        ("power adapter output voltage 12V", "output voltage", "input voltage", "12 V"),
        ("5 lb dumbbell", "weight", "shipping weight", "5 lb"),
        ("tv stand min price 50", "min_price", "max_price", "50"),
    ],
)
def test_what_is_read_for_two_sides_counts_for_the_one_that_the_query_is_on(
    client: TestClient, query: str, meant: str, other: str, value: str
) -> None:
    products = [{"id": name, "title": "Thing", "attributes": {name: value}} for name in (other, meant)]
    body = {"query": query, "products": products, "explain": True}
    results = client.post("/v1/rank", json=body).json()["results"]
    terms = {found["id"]: [term.get("attribute") for term in found["terms"]] for found in results}
    assert (meant in terms[meant], other in terms[other]) == (True, False)


def test_what_is_read_for_one_side_alone_counts_for_it(client: TestClient) -> None:
    products = [{"id": "a", "title": "Dumbbell", "attributes": {"shipping weight": "5 lb"}}]
    body = {"query": "5 lb dumbbell", "products": products, "explain": True}
    [result] = client.post("/v1/rank", json=body).json()["results"]
    assert "shipping weight" in [term.get("attribute") for term in result["terms"]]
