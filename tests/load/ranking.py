"""What `/v1/rank` is worth and what it takes, through HTTP.

    python tests/load/ranking.py --data data [--out ranking.json]

Quality: nDCG@10 within the judged lists of ESCI and Chorus, by the bundle's own constants, and by constants that are
cross-validated by query over the terms that the service answers (`explain`), beside the same with equal weights; with
95 % intervals, also for the queries that negate something. Speed: 100 products of 12 attributes with known texts beside
`/v1/weights` for the same attributes, in turn; 1,000 products never seen; what other callers of `/v1/weights` feel
meanwhile.
"""

import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from servers import service
from tqdm import tqdm

from model_export import config as configuration
from model_export import metrics
from model_export.__main__ import SHIPPED
from model_export.benchmark import measure, products
from model_export.benchmark.products import JudgedList
from model_export.benchmark.ranking import EXCLUSIONS, OVERLAPS, STRENGTHS, TOP, validated
from service.matching.negation import negated_spans
from service.relevance import EXACT

KINDS = ("rug", "lamp", "chair", "shirt", "kettle", "boot", "tent", "mug")
COLORS = ("red", "blue", "green", "black", "white", "beige", "navy", "grey")
ATTRIBUTES = ("color", "material", "size", "brand", "style", "pattern", "shape", "finish", "care", "use", "age", "fit")


def asked(each: JudgedList) -> dict[str, Any]:
    """A judged list as a request that wants to know every term."""
    listed = [
        {"id": str(place), "title": one.title[:2000], "attributes": {k[:128]: v[:2000] for k, v in values}}
        for place, one in enumerate(each.products)
        for values in [one.attributes.items()]
    ]
    return {"query": each.query, "products": listed, "explain": True}


def scores_of(answer: dict[str, Any], count: int) -> dict[str, NDArray[np.float64]]:
    """By component the products' values in the order asked, (products,)."""
    parts = ("score", "with equal weights", "cosine", "near", "overlap", "excluded", "model", "equal")
    found = {name: np.zeros(count) for name in parts}
    names = max(1, len(answer["weights"]))
    for result in answer["results"]:
        place = result["index"]
        found["score"][place] = result["score"]
        for term in result["terms"]:
            if term["term"] == "text":
                found["near"][place] = term["cosine"] + EXACT * term["exact"]
                for name in ("cosine", "overlap", "excluded"):
                    found[name][place] = term[name]
            else:
                found["model"][place] += term["weight"] * term["match"]
                found["equal"][place] += term["match"] / names
                if term["weight"]:
                    found["with equal weights"][place] += term["value"] / term["weight"] / names - term["value"]
    found["with equal weights"] += found["score"]
    return found


def fitted(lists: Sequence[JudgedList], found: Sequence[dict[str, Any]], attributes: str | None) -> NDArray[np.float64]:
    """nDCG@10 of each query with constants chosen on the other queries, (queries,)."""
    settings = (
        [one["near"] + o * one["overlap"] - x * one["excluded"] + s * one[attributes or "model"] for one in found]
        for o, x, s in itertools.product(OVERLAPS, EXCLUSIONS, STRENGTHS if attributes else (0.0,))
    )
    return validated(settings, [each.query for each in lists], [each.gains for each in lists])


def told(values: Sequence[float]) -> dict[str, float]:
    """A mean with its interval."""
    found = measure.mean(np.asarray(values, float))
    return {"value": found.value, "low": found.low, "high": found.high, "queries": found.n}


def quality(url: str, data: Path) -> dict[str, Any]:
    """By set the measures of the order that the service answers."""
    config = configuration.load(SHIPPED, data=data)
    results: dict[str, Any] = {}
    for title in map(str, config.ranking.lists):
        lists = products.lists(config, title)
        with httpx.Client(base_url=url, timeout=60) as client:
            answers = [
                client.post("/v1/rank", json=asked(each)).raise_for_status().json() for each in tqdm(lists, title)
            ]
        found = [scores_of(answer, len(each.products)) for answer, each in zip(answers, lists, strict=True)]
        rows = {
            name: [metrics.ndcg(one[key], each.gains, top=TOP) for one, each in zip(found, lists, strict=True)]
            for name, key in {"cosine of the affirmed query": "cosine", "the bundle's constants": "score"}.items()
        }
        rows |= {
            name: fitted(lists, found, attributes).tolist()
            for name, attributes in {"text": None, "text and attributes": "model", "equal weights": "equal"}.items()
        }
        rows["gain on equal weights"] = np.subtract(rows["text and attributes"], rows["equal weights"]).tolist()
        with_equal = [
            metrics.ndcg(one["with equal weights"], each.gains, top=TOP) for one, each in zip(found, lists, strict=True)
        ]
        in_place = np.subtract(rows["the bundle's constants"], with_equal)
        rows["the bundle's constants: gain on equal weights"] = in_place.tolist()
        negates = [bool(negated_spans(each.query)) for each in lists]
        results[title] = {name: told(values) for name, values in rows.items()}
        if any(negates):
            results[f"{title}, queries that negate"] = {
                name: told(list(itertools.compress(values, negates))) for name, values in rows.items()
            }
    return results


def made(number: int, seed: str, values: int = 40) -> Iterator[dict[str, Any]]:
    """So many products of 12 attributes of so many values, whose texts no other seed has."""
    for place in range(number):
        texts = {name: f"{name} {seed} {(place * 7 + step) % values}" for step, name in enumerate(ATTRIBUTES)}
        color, kind = COLORS[place % 8], KINDS[place // 8 % 8]
        yield {
            "id": str(place),
            "title": f"{seed} {color} {kind} number {place}, with a warranty of two years, made of good material",
            "attributes": texts | {"color": color},
        }


def speed(url: str, repeats: int) -> dict[str, Any]:
    """Seconds, as medians."""
    known = [*made(100, "known")]
    took: dict[str, list[float]] = {"rank": [], "weights": []}
    with httpx.Client(base_url=url, timeout=60) as client:

        def post(path: str, body: dict[str, Any]) -> float:
            begun = time.perf_counter()
            client.post(path, json=body).raise_for_status()
            return time.perf_counter() - begun

        post("/v1/rank", {"query": "red rug", "products": known})
        for number in range(repeats):
            query = f"red wool rug {number}"
            took["rank"].append(post("/v1/rank", {"query": query, "products": known}))
            took["weights"].append(post("/v1/weights", {"query": f"{query} b", "attributes": [*ATTRIBUTES]}))
        new = [post("/v1/rank", {"query": "red rug", "products": [*made(1000, f"new{n}")]}) for n in range(3)]
        wanted = {"style": {"modern": 1.0}, "use": {"living room": 1.0}}
        read = [
            post(
                "/v1/rank",
                {"query": "red rug", "products": [*made(1000, f"read{n}", 1000)], "preferences": wanted},
            )
            for n in range(3)
        ]
        alone = statistics.median(weigh_anew(client) for _ in range(repeats))
        beside = statistics.median(weigh_beside(url, {"query": "red rug", "products": [*made(1000, "beside")]}))
    rank, weights = statistics.median(took["rank"]), statistics.median(took["weights"])
    return {
        "100 known products, s": rank,
        "weights alone, s": weights,
        "ratio": rank / weights,
        "1,000 new products, s": statistics.median(new),
        "1,000 new products, titles and two values each embedded, s": statistics.median(read),
        "others' weights alone, s": alone,
        "others' weights beside 1,000 new products, s": beside,
    }


def weigh_anew(client: httpx.Client) -> float:
    """The time of a request for weights never sent before, in seconds."""
    begun = time.perf_counter()
    body = {"query": f"blue cotton rug {begun}", "attributes": [*ATTRIBUTES]}
    client.post("/v1/weights", json=body).raise_for_status()
    return time.perf_counter() - begun


def weigh_beside(url: str, body: dict[str, Any]) -> Iterator[float]:
    """The same, one after another for as long as another caller's ranking takes."""
    with ThreadPoolExecutor() as pool, httpx.Client(base_url=url, timeout=60) as client:
        ranking = pool.submit(httpx.post, f"{url}/v1/rank", json=body, timeout=60)
        while not ranking.done():
            yield weigh_anew(client)
        ranking.result().raise_for_status()


def main() -> None:
    """Read the command line, measure, tell."""
    parser = argparse.ArgumentParser(description="Quality and speed of /v1/rank through HTTP.")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--bundle", type=Path)
    given = parser.parse_args()
    flags = ["--request-timeout-ms", "60000", *(["--bundle", str(given.bundle)] if given.bundle else [])]
    with tempfile.TemporaryDirectory() as logs, service(Path(logs), *flags) as server:
        found = {"speed": speed(server.url, given.repeats)}
        if given.data.is_dir():
            found["quality"] = quality(server.url, given.data)
    text = json.dumps(found, indent=1)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
