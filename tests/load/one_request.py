"""What a user feels of one service: time to ready, memory, and one uncached request beside the bare session's own time.

    python tests/load/one_request.py [--requests 300]

The service runs in a process of its own with the shipped bundle on the CPU. Requests and bare runs take turns, each
with a query never sent before and the same 20 attributes, so that both see the same machine. Prints one line of JSON.
"""

import argparse
import json
import socket
import statistics
import subprocess
import sys
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import httpx

from service.bundle import default_folder, open_bundle
from service.model import OUTPUTS, open_model
from service.text import Tokenizer, collate, pack

ATTRIBUTES = [
    *("color", "material", "size", "brand", "style", "pattern", "shape", "price", "country of origin", "washing care"),
    *("pile height", "backing material", "indoor outdoor use", "room type", "warranty length", "weight"),
    *("rug thickness", "eco friendly", "age group", "season"),
]
WORDS = [
    *("red", "wool", "runner", "rug", "hallway", "blue", "cotton", "kids"),
    *("large", "small", "round", "modern", "vintage", "soft", "washable", "outdoor"),
]


def query(number: int) -> str:
    """Seven words that no other number gives."""
    return " ".join(WORDS[(number // 16**place) % 16] for place in range(5)) + f" {number} x"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_ready(url: str, seconds: float = 60) -> float:
    """Seconds until `/readyz` answers 200."""
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds:
        try:
            if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                return time.perf_counter() - begun
        except httpx.TransportError:
            time.sleep(0.01)
    raise SystemExit(f"the service was not ready within {seconds} s")


def resident_mb(pid: int) -> float:
    """Resident memory of a process in MB, from /proc."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1000


def measure(url: str, requests: int) -> dict[str, float]:
    """Medians of both, in milliseconds, and their ratio."""
    bundle = open_bundle(default_folder())
    session = open_model(bundle, device="cpu").session
    tokenizer = Tokenizer(
        bundle.paths["tokenizer"],
        max_query_tokens=bundle.max_query_tokens,
        max_attribute_tokens=bundle.max_attribute_tokens,
    )
    attributes = [tokenizer.attribute(name) for name in ATTRIBUTES]
    served, bare = [], []
    with closing(HTTPConnection(url.removeprefix("http://"), timeout=20)) as connection:
        for number in range(-20, requests):
            body = json.dumps({"query": query(number), "attributes": ATTRIBUTES}).encode()
            begun = time.perf_counter()
            connection.request("POST", "/v1/weights", body)
            answer = connection.getresponse().read()
            served.append(time.perf_counter() - begun)
            assert json.loads(answer)["cache"] == {"hits": 0, "misses": 20}, answer
            feed = collate(pack(tokenizer.query(query(number)), attributes, row_tokens=2**31))
            begun = time.perf_counter()
            session.run(list(OUTPUTS), feed)
            bare.append(time.perf_counter() - begun)
    medians = [statistics.median(times[20:]) * 1000 for times in (served, bare)]
    return {
        "served_ms": round(medians[0], 2),
        "bare_ms": round(medians[1], 2),
        "ratio": round(medians[0] / medians[1], 3),
    }


def main() -> None:
    """Start the service, measure, end it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=300)
    requests = parser.parse_args().requests
    port = free_port()
    command = [sys.executable, "-m", "service", "--port", str(port), "--device", "cpu"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        ready = wait_ready(url)
        found = measure(url, requests)
        print(json.dumps({"ready_s": round(ready, 2), **found, "resident_mb": round(resident_mb(process.pid), 1)}))
    finally:
        process.terminate()
        process.wait(40)


if __name__ == "__main__":
    main()
