"""The bare session: how many requests a second the model alone can score on this machine, everything else left out.

    python tests/load/bare_session.py [--seconds 2]

Rows of 20 attributes and queries never sent before are tokenised, packed and collated ahead; what is timed is
`session.run` on ready arrays, nothing else. All usable cores work: in one session of as many threads, or in one session
of one thread that is run from as many threads of ours. Batches of 1, 2, 4 and 8 rows, ONNX Runtime's spinning off as in
the service. Prints the requests a second of each configuration, and the best, as JSON.
"""

import argparse
import itertools
import json
import threading
from collections.abc import Sequence
from time import perf_counter

import onnxruntime as ort
from traffic import ATTRIBUTES, fresh_seed, new

from service.bundle import Bundle, default_folder, open_bundle
from service.model import usable_cores
from service.text import Feed, Row, Tokenizer, collate, pack

ROWS = 64
BATCHES = (1, 2, 4, 8)


def rows(bundle: Bundle, count: int) -> list[Row]:
    """One row for each of so many requests."""
    tokenizer = Tokenizer(
        bundle.paths["tokenizer"],
        max_query_tokens=bundle.max_query_tokens,
        max_attribute_tokens=bundle.max_attribute_tokens,
    )
    attributes = [tokenizer.attribute(name) for name in ATTRIBUTES]
    bodies = itertools.islice(new(fresh_seed()), count)
    return [pack(tokenizer.query(json.loads(body)["query"]), attributes, row_tokens=2**31)[0] for body in bodies]


def open_session(bundle: Bundle, threads: int) -> ort.InferenceSession:
    """The bundle's CPU graph with so many threads."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(str(bundle.paths["cpu"]), options, providers=["CPUExecutionProvider"])


def rate(session: ort.InferenceSession, feeds: Sequence[Feed], *, callers: int, seconds: float) -> float:
    """Batches a second that so many threads of ours get from a session, each running the feeds in turn."""
    done = [0] * callers
    begun = perf_counter()

    def call(number: int) -> None:
        for feed in itertools.cycle(feeds):
            session.run(None, feed)
            done[number] += 1
            if perf_counter() - begun >= seconds:
                return

    threads = [threading.Thread(target=call, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (perf_counter() - begun)


def measure(seconds: float, only: str | None = None) -> dict[str, float]:
    """Requests a second of each configuration, or of the one named, after a short run to warm it."""
    bundle, cores = open_bundle(default_folder()), usable_cores()
    ready, found = rows(bundle, ROWS), {}
    for threads, callers in dict.fromkeys(((1, cores), (cores, 1))):
        session = open_session(bundle, threads)
        for batch in BATCHES:
            name = f"{threads} threads x {callers} callers, batches of {batch}"
            if only in (None, name):
                feeds = [collate(ready[first : first + batch]) for first in range(0, ROWS, batch)]
                rate(session, feeds, callers=callers, seconds=min(0.3, seconds))
                found[name] = round(batch * rate(session, feeds, callers=callers, seconds=seconds), 1)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2, help="for each configuration")
    parser.add_argument("--only", help="the name of one configuration")
    arguments = parser.parse_args()
    found = measure(arguments.seconds, arguments.only)
    best = max(found, key=lambda name: found[name])
    print(json.dumps({"best": best, "requests_per_second": found[best], "each": found}, indent=1))


if __name__ == "__main__":
    main()
