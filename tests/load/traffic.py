"""What is asked: endless, seeded streams of request bodies for POST /v1/weights, as JSON bytes.

`new` never repeats a query, so nothing of it can be cached. `zipf` draws from a catalogue of 1,000 queries so that the
k-th is asked in proportion to 1/k, about. `mixed` is what a service meets in a long life: every length and script,
nine in ten of them asked before. `steady` is three of `new` to one of `zipf`.
"""

import itertools
import json
import random
import time
from collections.abc import Callable, Iterator

ATTRIBUTES = (
    *("color", "material", "size", "brand", "style", "pattern", "shape", "price", "age group", "season"),
    *("country of origin", "washing care", "pile height", "backing material", "room type", "warranty length"),
    *("weight", "rug thickness", "eco friendly", "indoor outdoor use"),
)
WORDS = (
    *("grey", "red", "blue", "wool", "cotton", "jute", "runner", "rug", "hallway", "kitchen", "bath", "kids"),
    *("large", "small", "round", "modern", "vintage", "soft", "washable", "outdoor"),
)
SCRIPTS = (
    (*WORDS, "naïve", "größe", "crème", "2x8", "16gb", "usb-c", '27"', "señora", "waterproof", "l'eau"),
    ("红色", "羊毛", "地毯", "厨房", "大号", "防水", "ラグ", "赤い", "サイズ", "綿", "양모", "러그"),
    ("красный", "шерсть", "ковёр", "кухня", "большой", "размер", "цвет", "детский", "мягкий", "ванная"),
    ("أحمر", "صوف", "سجادة", "مطبخ", "كبير", "مقاس", "لون", "أطفال", "ناعم", "حمام"),
    ("🟥", "🐑", "🧶", "🏠", "👨‍👩‍👧", "🛁", "✨", "👟", "🇩🇪", "❤️"),
)
CATALOGUE = 1000
REMEMBERED = 2000
FRESH = 0.08


def body(query: str, attributes: tuple[str, ...] = ATTRIBUTES) -> bytes:
    """One request, in UTF-8."""
    return json.dumps({"query": query, "attributes": attributes}, ensure_ascii=False).encode()


def fresh_seed() -> int:
    """A seed that no earlier run had: a server that lived through both has seen none of the queries."""
    return time.time_ns() // 1_000_000


def new(seed: int) -> Iterator[bytes]:
    """Six words, the seed and a number: a query never sent before under this seed, and the same 20 attributes."""
    draw, number = random.Random(seed), 0
    rest = b'", "attributes": ' + json.dumps(ATTRIBUTES).encode() + b"}"
    while True:
        number += 1
        yield b'{"query": "' + f"{' '.join(draw.choices(WORDS, k=6))} {seed} {number}".encode() + rest


def catalogue() -> list[bytes]:
    """The 1,000 requests that `zipf` and cached.lua draw from, each once."""
    return [body(f"washable wool runner rug {number}") for number in range(1, CATALOGUE + 1)]


def zipf(seed: int) -> Iterator[bytes]:
    """The k-th of the catalogue with probability log(1 + 1/k) / log(1000), nearly 1/k."""
    draw, known = random.Random(seed), catalogue()
    while True:
        yield known[int(CATALOGUE ** draw.random()) - 1]


def steady(seed: int) -> Iterator[bytes]:
    """Three requests of `new`, one of `zipf`, and so on."""
    fresh, known = new(seed), zipf(seed)
    while True:
        for source in (fresh, fresh, fresh, known):
            yield next(source)


def mixed(seed: int) -> Iterator[bytes]:
    """1 to 40 words of one script or of several, 1 to 60 attributes; all but 8 in 100 repeat one of the last 2,000."""
    draw, number, remembered = random.Random(seed), 0, list[bytes]()
    names = attribute_names()
    while True:
        if remembered and draw.random() > FRESH:
            yield remembered[int(len(remembered) * draw.random() ** 3)]
            continue
        number += 1
        script = draw.choice(SCRIPTS)
        words = [
            draw.choice(script if draw.random() < 0.8 else draw.choice(SCRIPTS)) for _ in range(draw.randint(1, 40))
        ]
        words[draw.randrange(len(words))] += f" {seed % 1_000_000} {number}"
        made = body(" ".join(words), tuple(draw.sample(names, draw.randint(1, 60))))
        if len(remembered) < REMEMBERED:
            remembered.append(made)
        else:
            remembered[draw.randrange(REMEMBERED)] = made
        yield made


def attribute_names() -> list[str]:
    """Names in every script, all different."""
    return [
        *ATTRIBUTES,
        *(f"{first} {second}" for script in SCRIPTS for first, second in itertools.pairwise(script)),
    ]


TRAFFIC: dict[str, Callable[[int], Iterator[bytes]]] = {"new": new, "zipf": zipf, "steady": steady, "mixed": mixed}
