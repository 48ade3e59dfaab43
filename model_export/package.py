"""Stage 10: the bundle that the service opens.

Knows: the manifest's content, where each file comes from. Does not know: how the files were made.
"""

import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnxruntime

from model_export import pretrained
from model_export.benchmark.constants import CONSTANTS
from model_export.bundled import start_of
from model_export.config import Config
from model_export.export import FP16
from model_export.fusion import DESCRIPTION, PICTURES
from model_export.pretrained import TOKENIZER
from model_export.prior import PRIOR
from model_export.quantise import INT8
from model_export.stage import RECORD, sha256
from model_export.verify import METRICS, refuse
from service.bundle import FORMAT, MANIFEST, open_bundle, version_of

MADE_WITH = ("torch", "transformers", "onnx")


def manifest(
    config: Config,
    folder: Path,
    files: dict[str, Path],
    metrics: dict[str, Any],
    data: dict[str, dict[str, str]],
    constants: dict[str, float],
    pictures: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """What the bundle says of itself; see `service.bundle`. `pictures` is what that stage says of its graph."""
    base = pretrained.base_folder(config)
    weights = next(path for path in sorted(base.iterdir()) if path.suffix in {".safetensors", ".bin"})
    content: dict[str, Any] = {
        "format": FORMAT,
        "name": config.name,
        "files": {
            role: {"path": path.name, "sha256": sha256(folder / path.name), "bytes": path.stat().st_size}
            for role, path in files.items()
        },
        "temperature": metrics["temperature"],
        "value_threshold": config.value_threshold,
        "ranking": constants,
        "limits": {
            "max_query_tokens": config.max_query_tokens,
            "max_attribute_tokens": config.max_attribute_tokens,
        },
        "base": {"name": Path(config.base).name, "licence": config.base_licence, "sha256": sha256(weights)},
        "training_data": [
            {"name": name, "reader": source.reader, "licence": source.licence, "files": data[name]}
            for name, source in config.sources.items()
        ],
        "metrics": metrics["metrics"]["int8"],
        **({"reference": metrics["reference"]} if "reference" in metrics else {}),
        "made_with": {"onnxruntime": onnxruntime.__version__} | {name: version(name) for name in MADE_WITH},
    }
    if start := start_of(config):
        before = open_bundle(start).manifest
        content["start"] = {key: before[key] for key in ("name", "version", "training_data")}
    if pictures:
        content["pictures"] = pictures
        content["training_data"].append(_catalogue(config))
    return content | {"version": version_of(content)}


def _catalogue(config: Config) -> dict[str, Any]:
    path = config.pictures.catalogue
    assert path
    files = {str(path): sha256(config.data / path)}
    return {"name": "pictures", "reader": "pictures", "licence": config.pictures.licence, "files": files}


def write_bundle(
    config: Config,
    sources: Path,
    exported: Path,
    quantised: Path,
    verified: Path,
    prior: Path,
    constants: Path,
    pictures: Path,
    out: Path,
) -> dict[str, Any]:
    """Run the stage: `out` is the bundle. Raises StageFailed for files that were not verified or missed a limit."""
    refuse(config, exported, quantised, verified)
    metrics = json.loads((verified / METRICS).read_text(encoding="utf-8"))
    data = json.loads((sources / RECORD).read_text(encoding="utf-8"))["outcome"]["files"]
    files = {"tokenizer": exported / TOKENIZER, "cpu": quantised / INT8, "prior": prior / PRIOR}
    if config.gpu_file:
        files["gpu"] = exported / FP16
    described = None
    if (pictures / PICTURES).exists():
        files["pictures"] = pictures / PICTURES
        described = json.loads((pictures / DESCRIPTION).read_text(encoding="utf-8"))
    for path in files.values():
        shutil.copyfile(path, out / path.name)
    fitted = json.loads((constants / CONSTANTS).read_text(encoding="utf-8"))
    content = manifest(config, out, files, metrics, data, fitted, described)
    text = json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True)
    (out / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return {"version": open_bundle(out).version}
