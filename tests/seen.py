"""Products whose pictures tell what their texts do not: made vectors, and a fusion trained on them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fakes import link_bundle
from numpy.typing import NDArray

from model_export.config import Pictures
from model_export.filling.reading import Reader
from model_export.fusion import DESCRIPTION, PICTURES
from model_export.pictures import teach
from model_export.stage import sha256
from service.bundle import Bundle, default_folder
from service.model import Model
from service.text import Tokenizer

WIDTH = 24
COLORS = ("red", "blue", "green", "black", "white")
MATERIALS = ("wool", "cotton", "silk", "leather")
VOLTAGES = ("110 V", "220 V", "12 V", "24 V")
OPTIONS = Pictures(catalogue=Path("seen.jsonl"), licence="CC0-1.0", keep_aside=0.2, steps=300, batch=32, threshold=0.8)


def directions() -> dict[str, NDArray[np.float64]]:
    """What a vision model might see of each color: a direction of its own, which no text vector knows of."""
    made = np.random.default_rng(3).normal(size=(len(COLORS), WIDTH))
    return dict(zip(COLORS, made, strict=True))


def made(number: int, seed: int = 0) -> list[dict[str, Any]]:
    """Products: the picture alone tells the color, the title alone the material, nothing the voltage."""
    draw, seen = np.random.default_rng(seed), directions()
    products = []
    for place in range(number):
        color, material, voltage = (str(draw.choice(values)) for values in (COLORS, MATERIALS, VOLTAGES))
        vector = seen[color] + draw.normal(size=WIDTH) * 0.5
        title = f"{material} {draw.choice(['rug', 'lamp', 'chair', 'bag'])}"
        attributes = {"color": color, "material": material, "voltage": voltage}
        products.append(
            {
                "id": f"{seed}-{place}",
                "title": title,
                "attributes": attributes,
                "image_embedding": vector.round(4).tolist(),
            }
        )
    return products


def write(path: Path, products: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(product) + "\n" for product in products), encoding="utf-8")
    return path


def reader(model: Model, tokenizer: Tokenizer, bundle: Bundle) -> Reader:
    return Reader(model, tokenizer, bundle.value_threshold, threads=2)


def taught(reader: Reader, folder: Path, number: int = 300) -> dict[str, Any]:
    """Train on so many products; both files are in the folder then."""
    return teach(reader, write(folder / "seen.jsonl", made(number)), OPTIONS, 7, folder)


def write_seeing_bundle(trained: Path, folder: Path) -> Path:
    """The shipped bundle with the graph that training left."""
    shipped = default_folder()
    files = json.loads((shipped / "manifest.json").read_text(encoding="utf-8"))["files"]
    graph = trained / PICTURES
    entry = {"path": PICTURES, "sha256": sha256(graph), "bytes": graph.stat().st_size}
    described = json.loads((trained / DESCRIPTION).read_text(encoding="utf-8"))
    folder.mkdir()
    (folder / PICTURES).symlink_to(graph)
    link_bundle(shipped, folder, files=files | {"pictures": entry}, pictures=described)
    return folder
