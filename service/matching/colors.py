"""The colours that a text names, and how well two of them agree.

A colour belongs to a family or more (teal is a blue and a green). Families and members are written by hand, in English
and Chinese.

Knows: names of colours, families. Does not know: attributes, other words, negation.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from service.matching.wording import WORD, listed, words

SHADE = 0.8
"""The agreement of a family's own name with another member of it: "blue" and "navy"."""
FAMILY = 0.4
"""The agreement of two other members: "navy" and "sky blue"."""

MULTICOLOR = "multicolor"

FAMILIES = {
    "black": "black=黑色=黑, ebony, onyx, jet, noir, anthracite",
    "white": "white=白色=白, ivory=象牙白, cream=乳白, off white=米白, snow, pearl, alabaster, eggshell, vanilla,"
    " frost",
    "gray": "gray=grey=灰色=灰, charcoal=炭灰, slate, graphite, ash, gunmetal, anthracite, heather, pewter, stone,"
    " smoke, silver, space gray=space grey=深空灰, titanium",
    "silver": "silver=银色=银=银灰, chrome, nickel, stainless steel=stainless, platinum, steel, aluminum, pewter,"
    " titanium",
    "gold": "gold=golden=金色=金, rose gold=玫瑰金, brass, champagne=香槟色=香槟金",
    "bronze": "bronze=古铜色=古铜, oil rubbed bronze, copper=铜色, brass, rose gold",
    "brown": "brown=棕色=棕=褐色, tan, chocolate=巧克力色, coffee=咖啡色=咖色, espresso, chestnut, walnut, mocha,"
    " cognac, caramel, camel=驼色, taupe, khaki=卡其色=卡其, mahogany, cinnamon, umber, sienna, oak, hazel, bronze",
    "beige": "beige=米色, tan, sand, nude=裸色=肤色, natural, oatmeal, khaki, camel, taupe, cream, ivory, off white,"
    " almond=杏色, wheat, linen, flax",
    "red": "red=红色=红, burgundy, maroon=枣红, crimson, scarlet=大红, wine=wine red=酒红色=酒红, cherry, ruby,"
    " brick=砖红, rust, cardinal, vermilion=朱红, oxblood",
    "pink": "pink=粉色=粉红色=粉红=粉, rose=玫红=玫瑰红, blush, fuchsia, magenta=品红=洋红, hot pink=桃红, salmon,"
    " coral, rose gold",
    "orange": "orange=橙色=橙=橘色=桔色, peach, apricot, tangerine, amber, coral, rust, terracotta, pumpkin",
    "yellow": "yellow=黄色=黄, mustard=姜黄, lemon=柠檬黄, gold, canary, amber",
    "green": "green=绿色=绿, olive=橄榄绿, sage, mint=mint green=薄荷绿, emerald=翠绿, lime, forest green=墨绿,"
    " army green=军绿色=军绿, hunter green, jade, moss, seafoam, teal, turquoise=青色",
    "blue": "blue=蓝色=蓝, navy=navy blue=藏青色=藏青=藏蓝=海军蓝, royal blue=宝蓝, sky blue=天蓝色=天蓝, indigo=靛蓝,"
    " cobalt, azure, denim, teal, turquoise, aqua=湖蓝, cyan, sapphire, periwinkle, cerulean",
    "purple": "purple=紫色=紫, violet, lavender=薰衣草紫, lilac, plum, mauve, eggplant, orchid, amethyst, burgundy",
    "clear": "clear=transparent=透明色=透明=无色, translucent=半透明, crystal",
    MULTICOLOR: "multicolor=multicolour=multicolored=multicoloured=multi=multi color=multi colour=multi colored"
    "=multi coloured=assorted=rainbow=colorful=colourful=various=多色=彩色=混色=七彩=彩虹色",
}
"""By family its members, each with other names for the same; a member of two families has its other names once."""

MODIFIERS = {
    "bright": "bright",
    "dark": "dark",
    "deep": "dark",
    "light": "light",
    "pale": "light",
    "深": "dark",
    "浅": "light",
}
"""Words before a colour that make another member of its family: "light blue"."""
FILLERS = listed(
    "color colour colored coloured and with in solid plain pure matte glossy shiny metallic brushed polished 色 系 和"
)
"""Words that may stand beside colours and say nothing of them."""


class Color(NamedTuple):
    """Its name in the table, with its modifier, and its families; a family's own colour has the family's name."""

    name: str
    families: frozenset[str]


def _table() -> Mapping[tuple[str, ...], Color]:
    families: dict[str, set[str]] = {}
    names: dict[tuple[str, ...], str] = {}
    for family, members in FAMILIES.items():
        for member in members.split(", "):
            name, *others = member.split("=")
            families.setdefault(name, set()).add(family)
            names |= {tuple(words(each)): name for each in (name, *others)}
    return {key: Color(name, frozenset(families[name])) for key, name in names.items()}


COLORS = _table()
MOST_WORDS = max(map(len, COLORS))


def read_colors(found: Sequence[str]) -> tuple[frozenset[Color], bool]:
    """The colours among the words of a text, in order, and whether the text says nothing else."""
    colors, alone, place, modifier = set(), True, 0, ""
    while place < len(found):
        for length in range(min(MOST_WORDS, len(found) - place), 0, -1):
            color = COLORS.get(tuple(found[place : place + length]))
            if color is not None:
                colors.add(color._replace(name=f"{modifier} {color.name}") if modifier else color)
                modifier, place = "", place + length
                break
        else:
            modifier = MODIFIERS.get(found[place], "")
            alone = alone and (bool(modifier) or found[place] in FILLERS)
            place += 1
    return frozenset(colors), alone and bool(colors)


def colors_at(text: str) -> int:
    """How many characters of a text at its beginning are colours, none of them a list: 9 of "navy blue dress"."""
    found = list(WORD.finditer(text.lower()))[: MOST_WORDS + 2]
    for count in range(len(found), 0, -1):
        said = words(text[: found[count - 1].end()])
        colors, alone = read_colors(said)
        if alone and len(colors) == 1 and said[-1] not in MODIFIERS and (said[-1] not in FILLERS or said[-1] in "色系"):
            return found[count - 1].end()
    return 0


def agreement(wanted: Color, found: Color) -> float:
    """1 for the same, `SHADE` or `FAMILY` within a family, -1 between families, 0 for one colour and many."""
    if wanted.name == found.name:
        return 1.0
    if MULTICOLOR in wanted.families or MULTICOLOR in found.families:
        return 0.0
    if not wanted.families & found.families:
        return -1.0
    return SHADE if wanted.name in found.families or found.name in wanted.families else FAMILY
