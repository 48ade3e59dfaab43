"""Units as shops write them, and what each is worth: `pint` knows the worth, the spellings are written by hand.

Opening pint's registry takes a third of a second of processor time; it is opened once, by `Units.read()`, and let go.
The service reads it as it starts, so that no request waits for it.

Knows: spellings, pint. Does not know: numbers, texts.
"""

from collections.abc import Mapping
from dataclasses import dataclass

Unit = tuple[tuple[str, float], ...]
"""What one of it is in the base unit of a kind, by kind. "oz" has two: it is a weight and, of bottles, a volume."""

# pint knows no money, no units of what vitamins do, and decibels only as logarithms.
EFFECT, LOUDNESS = "international_unit", "loudness"
CURRENCIES = ("dollar", "euro", "sterling", "yuan", "yen", "rupee")

VOLUME = "volume"
BYTES, BINARY_BYTES = "information", "binary information"
"""Some count 1000 of a unit to the next, some 1024: whatever is of the one kind is of the other, too."""
IN_BYTES = (
    "kb|kilobyte|kilobytes",
    "mb|megabyte|megabytes",
    "gb|gbs|gig|gigs|gigabyte|gigabytes",
    "tb|tbs|terabyte|terabytes",
)

# By kind, its base unit and, by pint's unit, the spellings, which are lower case.
KINDS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "length": (
        "metre",
        {
            "micrometre": "micron|microns|um|µm|μm|微米",
            "millimetre": "mm|millimeter|millimeters|millimetre|millimetres|毫米",
            "centimetre": "cm|cms|centimeter|centimeters|centimetre|centimetres|厘米|公分",
            "metre": "m|meter|meters|metre|metres|mtr|米",
            "kilometre": "km|kms|kilometer|kilometers|kilometre|kilometres|公里|千米",
            "inch": "in|inch|inches|inchs|\"|″|”|“|''|英寸|寸",
            "foot": "ft|foot|feet|'|′|’|英尺",
            "yard": "yd|yds|yard|yards",
            "mile": "mi|mile|miles|英里",
        },
    ),
    "area": (
        "metre ** 2",
        {
            "centimetre ** 2": "cm2|cm²|sq cm",
            "metre ** 2": "m2|m²|sqm|sq m|square meter|square meters|square metre|square metres|平米|平方米",
            "foot ** 2": "sqft|sq ft|sq feet|square foot|square feet|ft2|ft²",
        },
    ),
    "weight": (
        "kilogram",
        {
            "microgram": "mcg|µg|μg|microgram|micrograms|微克",
            "milligram": "mg|milligram|milligrams|毫克",
            "gram": "g|gm|gms|gr|gram|grams|gramme|grammes|克",
            "kilogram": "kg|kgs|kilo|kilos|kilogram|kilograms|千克|公斤",
            "0.5 kilogram": "斤",
            "tonne": "tonne|tonnes|吨",
            "ounce": "oz|ozs|ounce|ounces|盎司",
            "pound": "lb|lbs|pound|pounds|磅",
        },
    ),
    VOLUME: (
        "litre",
        {
            "millilitre": "ml|mls|cc|milliliter|milliliters|millilitre|millilitres|cm3|cm³|毫升",
            "centilitre": "cl|centiliter|centilitre",
            "litre": "l|lt|ltr|ltrs|liter|liters|litre|litres|升",
            "fluid_ounce": "fl oz|fl ounce|fl ounces|floz|fluid oz|fluid ounce|fluid ounces|oz|ozs|ounce|ounces|盎司",
            "cup": "cup|cups",
            "pint": "pt|pint|pints",
            "quart": "qt|qts|quart|quarts",
            "gallon": "gal|gals|gallon|gallons|加仑",
            "foot ** 3": "cu ft|cu feet|cuft|cubic foot|cubic feet|ft3|ft³",
            "inch ** 3": "cu in|cubic inch|cubic inches",
            "metre ** 3": "m3|m³|cubic meter|cubic meters|立方米",
        },
    ),
    "time": (
        "second",
        {
            "millisecond": "ms|millisecond|milliseconds|毫秒",
            "second": "sec|secs|second|seconds|秒",
            "minute": "min|mins|minute|minutes|分钟",
            "hour": "h|hr|hrs|hour|hours|小时",
            "day": "day|days|天",
            "week": "wk|wks|week|weeks|周",
            "month": "mo|mos|mth|mths|month|months|个月|月",
            "year": "yr|yrs|year|years|岁|年",
        },
    ),
    BYTES: ("byte", dict(zip(("kilobyte", "megabyte", "gigabyte", "terabyte"), IN_BYTES, strict=True))),
    BINARY_BYTES: ("byte", dict(zip(("kibibyte", "mebibyte", "gibibyte", "tebibyte"), IN_BYTES, strict=True))),
    "frequency": ("hertz", {"hertz": "hz|hertz|赫兹", "kilohertz": "khz", "megahertz": "mhz", "gigahertz": "ghz"}),
    "turns": ("revolutions_per_minute", {"revolutions_per_minute": "rpm"}),
    "voltage": ("volt", {"millivolt": "mv", "volt": "v|vac|vdc|volt|volts|伏", "kilovolt": "kv"}),
    "current": ("ampere", {"milliampere": "ma|milliamp|milliamps", "ampere": "amp|amps|ampere|amperes|安"}),
    "charge": ("ampere_hour", {"milliampere_hour": "mah|毫安|毫安时", "ampere_hour": "ah|amp hour|amp hours"}),
    "power": (
        "watt",
        {
            "milliwatt": "mw",
            "watt": "w|watt|watts|瓦",
            "kilowatt": "kw|kilowatt|kilowatts|千瓦",
            "horsepower": "hp|horsepower|匹",
        },
    ),
    "energy": ("joule", {"joule": "joule|joules", "watt_hour": "wh|watt hour|watt hours", "kilowatt_hour": "kwh"}),
    "heat": ("british_thermal_unit", {"british_thermal_unit": "btu|btus"}),
    "pressure": ("pascal", {"pound_force_per_square_inch": "psi", "bar": "bar|bars", "kilopascal": "kpa"}),
    "light": ("lumen", {"lumen": "lm|lumen|lumens|流明"}),
    "pixels": ("pixel", {"megapixel": "mp|megapixel|megapixels|万像素"}),
    "sound": (LOUDNESS, {LOUDNESS: "db|dba|decibel|decibels|分贝"}),
    "effect": (EFFECT, {EFFECT: "iu|ius|国际单位"}),
    "angle": ("degree", {"degree": "°|deg|degree|degrees|度"}),
    "dollars": ("dollar", {"dollar": "$|us$|dollar|dollars|usd|buck|bucks|美元", "0.01 dollar": "¢|cent|cents"}),
    "euros": ("euro", {"euro": "€|eur|euro|euros|欧元"}),
    "pounds sterling": ("sterling", {"sterling": "£|gbp|quid|英镑"}),
    "yuan": ("yuan", {"yuan": "¥|￥|rmb|cny|yuan|元|块|块钱|人民币"}),
    "yen": ("yen", {"yen": "jpy|yen|円|日元"}),
    "rupees": ("rupee", {"rupee": "₹|rs|inr|rupee|rupees"}),
    "count": (
        "count",
        {
            "count": "count|counts|ct|cnt|pack|packs|pk|pks|pc|pcs|pce|piece|pieces|set|sets|pair|pairs|unit|units"
            "|capsule|capsules|tablet|tablets|sheet|sheets|roll|rolls|bag|bags|tool|tools|port|ports|drawer|drawers"
            "|shelf|shelves|tier|tiers|slot|slots|person|persons|people|个|件|只|包|片|支|粒|双|套|盒|瓶|卷|张|条|层|人",
            "12 count": "dozen|dz|打",
        },
    ),
}

CURRENCY_KINDS = frozenset(kind for kind, (base, _) in KINDS.items() if base in CURRENCIES)
"""They do not convert into each other."""


@dataclass(frozen=True, slots=True)
class Units:
    """What each spelling is worth; `read` it once and hand it to all that read numbers."""

    by_spelling: Mapping[str, Unit]

    @classmethod
    def read(cls) -> "Units":
        """Ask pint for every unit of the table."""
        import pint  # here, since loading it takes long and only who reads the table needs it

        registry: pint.UnitRegistry[float] = pint.UnitRegistry()
        for number, unit in enumerate((*CURRENCIES, EFFECT, LOUDNESS)):
            registry.define(f"{unit} = [unknown_{number}]")
        found: dict[str, Unit] = {}
        for kind, (base, units) in KINDS.items():
            for unit, spellings in units.items():
                worth = float(registry.Quantity(unit).to(base).magnitude)
                for spelling in spellings.split("|"):
                    found[spelling] = (*found.get(spelling, ()), (kind, worth))
        return cls(found)
