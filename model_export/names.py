"""What attributes and some of their values are called, written by hand.

Knows: the plain name of each QueryNER type, a few words of other languages.
Does not know: how else a name may be written, which attribute a query wants.
"""

QUERYNER_TYPES = {
    "core_product_type": "product type",
    "modifier": "feature",
    "creator": "brand",
    "department": "department",
    "product_name": "product name",
    "content": "theme",
    "UoM": "size",
    "color": "color",
    "shape": "shape",
    "material": "material",
    "occasion": "occasion",
    "condition": "condition",
    "quantity": "quantity",
    "price": "price",
    "origin": "country of origin",
    "time": "time period",
    "product_number": "model number",
}

# The name of QueryNER's first type in the languages of the taxonomy.
PRODUCT_TYPE = {
    "en": "product type",
    "zh-CN": "产品类型",
    "zh-TW": "產品類型",
    "ja": "商品タイプ",
    "de": "Produkttyp",
    "es": "tipo de producto",
    "fr": "type de produit",
    "pt-BR": "tipo de produto",
}

# Values that the taxonomy's translations get wrong or odd ("red" as red wine), by their keys there.
MENDED_VALUES: dict[str, dict[str, str]] = {
    "zh-CN": {
        "color__beige": "米色",
        "color__blue": "蓝色",
        "color__navy": "藏青色",
        "color__orange": "橙色",
        "color__pink": "粉色",
        "color__red": "红色",
        "color__white": "白色",
        "fabric__canvas": "帆布",
        "fabric__fleece": "抓绒",
        "fabric__plush": "毛绒",
        "material__bronze": "青铜",
        "material__canvas": "帆布",
        "material__copper": "铜",
        "material__fleece": "抓绒",
        "material__plush": "毛绒",
    },
    "zh-TW": {
        "color__beige": "米色",
        "color__blue": "藍色",
        "color__gray": "灰色",
        "color__orange": "橙色",
        "color__red": "紅色",
        "color__white": "白色",
        "age_group__babies": "嬰兒",
        "material__concrete": "混凝土",
    },
    "ja": {"color__gray": "グレー", "color__navy": "ネイビー"},
    "pt-BR": {"color__gold": "Dourado", "color__gray": "Cinza", "color__silver": "Prata", "color__yellow": "Amarelo"},
}

# What QueryNER's types are called in other languages, where the taxonomy does not say.
TYPES_IN = {
    "zh-CN": {
        "feature": "特点",
        "brand": "品牌",
        "department": "适用人群",
        "product name": "产品名称",
        "theme": "主题",
        "size": "尺寸",
        "color": "颜色",
        "shape": "形状",
        "material": "材质",
        "occasion": "场合",
        "condition": "新旧程度",
        "quantity": "数量",
        "price": "价格",
        "country of origin": "原产地",
        "time period": "年代",
        "model number": "型号",
        "gender": "性别",
        "style": "风格",
        "weight": "重量",
        "flavor": "口味",
    },
    "zh-TW": {
        "feature": "特色",
        "brand": "品牌",
        "department": "適用對象",
        "product name": "產品名稱",
        "size": "尺寸",
        "quantity": "數量",
        "price": "價格",
        "model number": "型號",
        "weight": "重量",
    },
}
