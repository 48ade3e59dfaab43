"""The shipped bundle's quality on dev records, asked over HTTP as a caller would.

    python tests/load/quality.py --url http://127.0.0.1:8000 --examples runs/default/examples

Prints the metrics of each `<source>.dev.jsonl` in the folder as JSON.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from tqdm import tqdm

from model_export import records
from model_export.evaluation import Prediction, measure
from model_export.records import Record

BATCH = 32


def asked(client: httpx.Client, dev: Sequence[Record]) -> Iterator[Prediction]:
    """What the service says of the records."""
    for first in tqdm(range(0, len(dev), BATCH)):
        part = dev[first : first + BATCH]
        requests = [{"query": r.query, "attributes": r.attributes, "explain": True} for r in part]
        results = client.post("/v1/weights/batch", json={"requests": requests}).raise_for_status().json()["results"]
        for record, result in zip(part, results, strict=True):
            yield prediction(record, sorted(result["weights"], key=lambda found: int(found["index"])))


def prediction(record: Record, weights: Sequence[dict[str, Any]]) -> Prediction:
    """An answer's weights, in the request's order, as a prediction."""
    values = tuple(frozenset((value["start"], value["end"]) for value in found["values"]) for found in weights)
    return Prediction(record, np.array([found["logit"] for found in weights]), values)


def main() -> None:
    """Ask, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--examples", type=Path, default=Path("runs/default/examples"))
    arguments = parser.parse_args()
    found = {}
    with httpx.Client(base_url=arguments.url, timeout=60) as client:
        temperature = client.get("/v1/model").json()["temperature"]
        for path in sorted(arguments.examples.glob("*.dev.jsonl")):
            predictions = list(asked(client, list(records.read(path))))
            if predictions:
                found[path.name.removesuffix(".dev.jsonl")] = measure(predictions, temperature=temperature)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
