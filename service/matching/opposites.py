"""Which attribute names mean different things, however near their embeddings are: "input voltage", "output voltage".

An embedding puts side by side what stands in the same sentences, opposites before all. Two names are apart

- where words put them on different sides (`SIDES`). A name that says no side, or several ("indoor/outdoor use"), is on
  the first: a "color" is the primary color and not the secondary one, a "weight" is not the package's;
- where both say what is asked for (`ASKED`), and not the same: "canopy color", "canopy material";
- where both have numbers, and not the same: "usb 2.0 ports", "usb 3.0 ports".

A query is on sides as a name is.

Knows: these words, English and Chinese, written by hand. Does not know: embeddings, models, products.
"""

import re
from collections.abc import Iterable, Sequence, Set
from typing import NamedTuple

from service.matching.wording import normalised

SIDES = (
    ("age, max, maximum, highest, 年龄, 最大, 最高", "min, minimum, lowest, 最小, 最低"),
    (
        "min, minimum, lowest, 最小, 最低"
        # what is a maximum whether that is said or not
        ", capacity, clock, frequency, load, magnification, power, range, rate, resolution, speed, zoom"
        ", 功率, 分辨率, 容量, 承重, 放大率, 时速, 载重, 转速, 速度, 频率",
        "max, maximum, highest, 最大, 最高",
    ),
    ("", "input, 输入", "out, output, 输出"),
    ("outer, outside, exterior, 外侧, 外层, 外径, 外部", "inner, inside, interior, 内侧, 内层, 内径, 内部"),
    ("internal, 内置", "external, 外接, 外置"),
    ("", "indoor, 室内", "outdoor, 室外, 户外"),
    ("", "front, 前排, 前摄, 前置, 前轮, 前部", "back, rear, 后排, 后摄, 后置, 后轮, 后部"),
    ("", "top, 顶部, 顶面", "bottom, 底部, 底面"),
    ("upper, 上层, 上衣, 上装, 上身, 上部", "lower, 下层, 下衣, 下装, 下身, 下部"),
    ("", "left, 左", "right, 右"),
    ("with", "except, excluding, free, non, without, 不含, 不带, 无"),
    ("wireless, 无线", "wired, 有线"),
    ("end use, end user, high end", "start, 开始, 起始", "end, 截止, 结束"),
    (
        "first, main, primary, frames per second, per second, second hand, 主要, 第一",
        "second, secondary, 次要, 第二",
        "third, 第三",
    ),
    (
        "amount, content, count, how many, included, net, number, open box, per, piece, quantity, unit"
        ", 件数, 净重, 包装规格, 数量",
        "box, boxes, gross, package, packaging, packed, packing, parcel, shipping, 包装, 毛重, 运输",
        "carton, 外箱, 纸箱",
        "pallet, 托盘",
        "tare, 皮重",
    ),
    ("", "read, 读取", "write, 写入"),
    ("", "download, 下载", "upload, 上传"),
    ("", "boy, gent, male, man, men, 男", "female, girl, ladies, lady, woman, women, 女"),
    ("", "hot", "cold"),
    ("", "dry", "wet"),
    ("", "horizontal, 水平", "vertical, 垂直"),
    ("how long", "long, 长袖", "short, 短袖"),
    (  # parts of a thing
        "frame rate, frames per second, time frame, upper, 面料, 鞋面",
        "backrest, 靠背",
        "blade, 刀刃, 刀片",
        "dial, 表盘",
        "frame, 镜框",
        "grip, handle, 手柄, 把手, 握把",
        "insole, 鞋垫",
        "lens, lenses, 镜片",
        "lid",
        "color of light, led color, light color, light colour, 灯光颜色",
        "lining, 衬里, 里布, 里料, 内里",
        "outsole, sole, 鞋底",
        "strap, 表带",
        "表壳",
    ),
)
"""Sides that exclude each other, a row for each choice of one."""

ASKED = (
    "color, colour, 颜色, 色彩",
    "fabric, material, 材料, 材质, 面料",
    "pattern, 图案",
    "shape, 形状",
    "width, 宽度",
    "height, 高度",
    "length, 长度",
    "depth, 深度",
    "weight, 净重, 毛重, 重量",
    "load capacity, max load, maximum load, weight capacity, weight limit, 承重, 载重",
    "speed, 速度",
    "current price, price, 价格",
    "voltage, 电压",
    "current, 电流",
    "black, mono, monochrome, 黑白",  # of printers, beside "colour"
)
"""What is asked for, each by the words that say it."""


class Meaning(NamedTuple):
    """What a name says: its side in each row of `SIDES`, which of `ASKED`, its numbers."""

    sides: tuple[int, ...]
    asked: frozenset[int]
    numbers: frozenset[str]


def _places(rows: Iterable[Sequence[str]]) -> dict[str, list[tuple[int, int]]]:
    """The row and the place in it of each word, of some several."""
    places: dict[str, list[tuple[int, int]]] = {}
    for row, texts in enumerate(rows):
        for place, text in enumerate(texts):
            for word in filter(None, text.split(", ")):
                places.setdefault(word, []).append((row, place))
    return places


ON_SIDES, ASKING = _places(SIDES), _places([ASKED])
LONGEST_FIRST = sorted({*ON_SIDES, *ASKING}, key=lambda word: (-len(word), word))
WORD = re.compile(
    rf"(?<![a-z])({'|'.join(filter(str.isascii, LONGEST_FIRST))})(?:['’]?s)?(?![a-z])"
    rf"|({'|'.join(word for word in LONGEST_FIRST if not word.isascii())})"
)
NUMBER = re.compile(r"[0-9]+")


def meaning(name: str) -> Meaning:
    """What a name in plain words says."""
    text = normalised(name)
    words = [latin or han for latin, han in WORD.findall(text)]
    found: dict[int, set[int]] = {}
    for row, side in (place for word in words for place in ON_SIDES.get(word, ())):
        found.setdefault(row, set()).add(side)
    sides = [found.get(row, {0}) for row in range(len(SIDES))]
    asked = frozenset(place for word in words for _, place in ASKING.get(word, ()))
    return Meaning(tuple(min(of) if len(of) == 1 else 0 for of in sides), asked, frozenset(NUMBER.findall(text)))


def apart(one: Meaning, other: Meaning) -> bool:
    """Whether two names that say this mean different things."""
    return one.sides != other.sides or not alike_but_for_sides(one, other)


def aside(name: Meaning, query: Meaning) -> bool:
    """Whether the name says a side that the query is not on: "shipping weight" beside "5 lb dumbbell".

    A first side is none to be aside of: it is often not said.
    """
    return any(side and side != asked for side, asked in zip(name.sides, query.sides, strict=True))


def alike_but_for_sides(one: Meaning, other: Meaning) -> bool:
    """Whether nothing but their sides may set the two apart."""
    return not _differ(one.asked, other.asked) and not _differ(one.numbers, other.numbers)


def _differ(one: Set[object], other: Set[object]) -> bool:
    """Whether both say something, and not the same."""
    return bool(one and other) and one != other
