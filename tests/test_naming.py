"""Names as catalogues write them become words; names that are words stay as they are."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.naming import plain_name
from service.text import Tokenizer

VOCABULARY = [
    *("the", "and", "air", "age", "soft", "life", "name", "size", "style", "color", "height", "battery", "product"),
    *("primary", "water", "proof", "firm", "ness", "screen", "dos", "mat", "heel", "material", "ding", "bed"),
    "playstation",
]
KNOWN = {word: rank for rank, word in enumerate(VOCABULARY)}


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("attr_t_product_colour", "product colour"),  # these seven are of Chorus' electronics
        ("attr_n_black_toner_page_yield", "black toner page yield"),
        ("attr_t_operating_temperature__t_t_", "operating temperature"),
        ("attr_t_operating_temperature__cooling___t_t_", "operating temperature cooling"),
        ("attr_b_flip___mirror", "flip mirror"),
        ("attr_n_usb_3_2_gen_1__3_1_gen_1__type_a_ports_quantity", "usb 3 2 gen 1 3 1 gen 1 type a ports quantity"),
        ("attr_n_print_speed__black__normal_quality__a4_us_letter_", "print speed black normal quality a4 us letter"),
        ("screen_size_inches", "screen size inches"),
        ("product.color.name", "product color name"),
        ("product.attributes.color", "color"),
        ("attributes[color]", "color"),
        ("product.attributes[heelHeight]", "heel height"),
        ("product/color", "product color"),
        ("product--color", "product color"),
        ("SHOE-SIZE", "shoe size"),
        ("heelHeight", "heel height"),
        ("HeelHeight", "heel height"),
        ("HDMIPorts", "hdmi ports"),
        ("countryOfOrigin", "country of origin"),
        ("CountryOfOrigin", "country of origin"),
        ("unitOfMeasure", "unit of measure"),
        ("numberOfPieces", "number of pieces"),
        ("NoOfPieces", "no of pieces"),
        ("typeOfProduct", "type of product"),
        ("madeInCountry", "made in country"),
        ("lengthInCm", "length in cm"),
        ("fitToSize", "fit to size"),
        ("IsWaterproof", "is waterproof"),
        ("supportsWiFi", "supports wifi"),
        ("batteryMAh", "battery mah"),
        ("forGoPro", "for gopro"),
        ("productID", "product id"),
        ("productIdNumber", "product id number"),
        ("iPhoneModel", "iphone model"),
        ("4KSupport", "4k support"),
        ("BrandName__c", "brand name"),
        ("color_s", "color"),
        ("heel_height_txt", "heel height"),
        ("attribute_pa_color", "color"),
        ("Colour (exact)", "colour exact"),
        ("Sleeve Length(cm)", "sleeve length cm"),
        ("Product_Colour Name", "product colour name"),
        ("产品_颜色", "产品 颜色"),
        ("UoM", "unit of measure"),
        ("qty", "quantity"),
        ("Qty per pack", "quantity per pack"),
        ("clr", "color"),
        ("net_wt", "net weight"),
        ("mat", "material"),
        ("attr_t_dim", "dimensions"),
        ("primaryproductstyle", "primary product style"),
        ("dsprimaryproductstyle", "primary product style"),
        ("dsmaterial", "material"),
        ("SCREENSIZE", "screen size"),
        ("attr_t_batterylife", "battery life"),
    ],
)
def test_a_catalogues_spelling_becomes_words(written: str, plain: str) -> None:
    assert plain_name(written, KNOWN) == plain


ORDINARY = [
    *("color", "Washing  care", " heel height ", "RAM", "2x8", "3D", "颜色", "产品 颜色", "Größe", "matière"),
    *("USB-C ports", "4K support", "Wi-Fi standard", "Pull-up bar", "T-shirt", "Wi-Fi", "all-in-one", "N/A", "24/7"),
    *("3.5mm", "e.g.", "Skirt/Dress length type", "Product certifications & standards", "Men's size", "J-cup type"),
    *("iPhone", "PlayStation", "WiFi", "GoPro", "mAh", "kWh", "UPCs", "sku", "vitamin", "Rug mat type"),
    *("Material", "Battery life", "attribute", "attributes[]", "USB", "On", "dsl", "part no.", "_", "()", "--"),
]


@pytest.mark.parametrize("name", ORDINARY)
def test_a_name_of_words_stays_as_it_is(name: str) -> None:
    assert plain_name(name, KNOWN) == name


@pytest.mark.parametrize("name", ["waterproofness", "firmness", "airsoft", "dosage", "bedding", "seapesca"])
def test_a_word_that_is_not_known_is_not_torn_apart(name: str) -> None:
    assert plain_name(name, KNOWN) == name


def test_a_word_that_is_known_is_not_torn_apart() -> None:
    assert plain_name("batterylife", KNOWN | {"batterylife": 99}) == "batterylife"


def test_fewer_words_come_before_frequent_ones() -> None:
    assert plain_name("abcdefsize", {"abc": 0, "def": 1, "abcdef": 900, "size": 2}) == "abcdef size"


def test_of_as_many_words_the_frequent_ones_are_taken() -> None:
    known = {"abc": 1, "defgsize": 2, "abcd": 500, "efg": 501, "defg": 502, "size": 3}
    assert plain_name("abcdefgsize", known) == "abc defg size"


@pytest.mark.parametrize("name", ["vitamin_b", "vitamin_c", "vitamin_d", "attr_t_vitamin_e"])
def test_a_letter_that_says_something_is_kept(name: str) -> None:
    assert plain_name(name, KNOWN) == f"vitamin {name[-1]}"


PARTS = st.sampled_from(
    [
        *("attr_t_", "_", "__", "ds", "color", "Size", "Of", "S", "s", "t", "c", "mat", "-", ".", "/", " ", "(", ")"),
        *("]", "USB", "红"),
    ]
)


@given(parts=st.lists(PARTS, min_size=1, max_size=7))
@example(parts=["USB", "-", "color", " ", "_"])
@settings(max_examples=500, deadline=None)
def test_a_plain_name_is_its_own_and_never_empty(parts: list[str]) -> None:
    plain = plain_name("".join(parts), KNOWN)
    assert plain
    assert plain_name(plain, KNOWN) == plain


@given(name=st.text(max_size=128))
@settings(max_examples=300, deadline=None)
def test_any_text_is_taken(name: str) -> None:
    assert bool(plain_name(name, KNOWN)) == bool(name)


@pytest.mark.parametrize(
    "spellings",
    [
        (
            "product colour",
            "Product Colour",
            "attr_t_product_colour",
            "productColour",
            "PRODUCT-COLOUR",
            "productcolour",
        ),
        ("primary product style", "dsprimaryproductstyle", "PrimaryProductStyle__c", "primary_product_style_s"),
        ("unit of measure", "UoM", "uom", "attr_t_uom", "unitOfMeasure"),
        ("heel height", "heelHeight", "heel.height", "heelheight", "Heel_Height"),
    ],
)
def test_one_attribute_written_in_several_ways_has_the_same_tokens(
    tokenizer: Tokenizer, spellings: tuple[str, ...]
) -> None:
    assert len({tokenizer.attribute(name) for name in spellings}) == 1


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("color", (3609,)),
        ("Washing  care", (12699, 2729)),
        ("heel height", (12073, 4578)),
        ("waterproofness", (2300, 18907, 2791)),
        ("Firmness", (3813, 2791)),
        ("barcode", (3347, 16044)),
        ("USB-C ports", (18833, 1011, 1039, 8831)),
        ("4K support", (1018, 2243, 2490)),
        ("2x8", (1016, 2595, 2620)),
        ("RAM", (8223,)),
        ("Wi-Fi standard", (15536, 1011, 10882, 3115)),
        ("Skirt/Dress length type", (9764, 1013, 4377, 3091, 2828)),
        ("Men's size", (2273, 1005, 1055, 2946)),
        ("hypoallergenic", (1044, 22571, 10441, 10820, 16505)),
        ("Größe", (24665, 2080, 17499)),
        ("iPhone", (18059,)),
        ("T-shirt", (1056, 1011, 3797)),
        ("3.5mm", (1017, 1012, 1019, 7382)),
    ],
)
def test_ordinary_names_have_the_tokens_they_had(tokenizer: Tokenizer, name: str, ids: tuple[int, ...]) -> None:
    assert tokenizer.attribute(name)[:-1] == ids
