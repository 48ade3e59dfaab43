"""A record as one step sees it: words left out or misspelled, other candidates, other names, in another order.

Knows: what may change without the labels becoming wrong. Does not know: batches, tensors, which step it is.
"""

import random
import re
from dataclasses import dataclass, replace

from model_export.config import Source
from model_export.examples import Names
from model_export.records import Record, Span
from model_export.spellings import AROUND, SPELLINGS

RESPELLED = (0.5, 1.0)
"""With one of these probabilities, drawn for a whole record that is to be respelled, each of its names is."""
DECORATED = 0.15
"""With this probability a name that is to be respelled has something around it."""


@dataclass(frozen=True, slots=True)
class Varied:
    """A varied record, and for each of its candidates which attribute of the record it was, None for another."""

    record: Record
    origins: tuple[int | None, ...]


def varied(
    record: Record, source: Source, names: Names, draw: random.Random, *, misspell: float = 0.0, respell: float = 0.5
) -> Varied:
    """One variation of a record, by the options of its source; `misspell` is the share of misspelled queries, `respell`
    that of the records whose names are spelled otherwise.
    """
    if draw.random() < source.drop_words:
        record = thinned(record, draw)
    if draw.random() < misspell:
        record = misspelled(record, draw)
    gained = [i for i, gain in enumerate(record.gains) if gain > 0]
    rest = [i for i, gain in enumerate(record.gains) if gain == 0]
    room = max(0, source.candidates - source.others - len(gained))
    kept = gained + draw.sample(rest, min(len(rest), room))
    if len(kept) > source.candidates:
        kept = draw.sample(gained, source.candidates)
    unstated = None if all(spans is None for spans in record.values) else ()
    candidates: list[tuple[str, float, tuple[Span, ...] | None, int | None]] = [
        (record.attributes[i], record.gains[i], record.values[i], i) for i in kept
    ]
    pool = max(
        (names.pools[language] for language in dict.fromkeys((source.language, "en")) if language in names.pools),
        key=lambda pool: pool.knows(record.attributes),
    )
    size = min(source.others, source.candidates - len(kept))
    others = pool.others(record.attributes, draw, size, frequent=source.frequent, complete=source.complete)
    candidates += [(name, 0.0, unstated, None) for name in others]
    share = draw.choice(RESPELLED) if draw.random() < respell else 0.0
    foreign = {}
    if names.translations and draw.random() < source.translated:
        foreign = names.translations[draw.choice(sorted(names.translations))]
    spelled = {
        spelling(foreign.get(name.lower(), name), draw, share): (gain, spans, origin)
        for name, gain, spans, origin in reversed(candidates)
    }
    order = draw.sample(list(spelled), len(spelled))
    gains, values, origins = zip(*(spelled[name] for name in order), strict=True)
    return Varied(replace(record, attributes=tuple(order), gains=gains, values=values), origins)


def spelling(name: str, draw: random.Random, share: float) -> str:
    """The name itself, or with probability `share` another spelling of it where one is known, now and then with words
    around it where it is English.
    """
    if draw.random() >= share:
        return name
    spelled = draw.choice(SPELLINGS.get(name.lower(), (name,)))
    return draw.choice(AROUND).format(spelled) if spelled.isascii() and draw.random() < DECORATED else spelled


def misspelled(record: Record, draw: random.Random) -> Record:
    """The same with one letter of the query wrong: left out, doubled, swapped with the next, or another in its place.

    Only a Latin word of at least four letters is hit, never its first letter.
    """
    words = [found.span() for found in re.finditer(r"[a-zA-Z]{4,}", record.query)]
    if not words:
        return record
    start, end = draw.choice(words)
    place = draw.randrange(start + 1, end - 1)
    old = record.query[place : place + 2]
    new = draw.choice((old[1], old[0] + old, old[::-1], draw.choice("abcdefghijklmnopqrstuvwxyz") + old[1]))
    longer = len(new) - len(old)

    def moved(span: Span) -> Span:
        start, end = span
        return start + longer * (start > place), end + longer * (end > place)

    values = tuple(spans and tuple(moved(span) for span in spans) for spans in record.values)
    return replace(record, query=record.query[:place] + new + record.query[place + 2 :], values=values)


def spoiled(record: Record, draw: random.Random) -> Record:
    """The same with the gains and values of its attributes dealt out anew among them."""
    order = draw.sample(range(len(record.attributes)), len(record.attributes))
    return replace(record, gains=tuple(record.gains[i] for i in order), values=tuple(record.values[i] for i in order))


def thinned(record: Record, draw: random.Random) -> Record:
    """A pseudo-query from a title: values stay with probability 0.7, each other word with 0.4, at least one stays.

    A value that goes takes its attribute's gain with it.
    """
    stated = [(span, i) for i, spans in enumerate(record.values) for span in spans or ()]
    kept = {span for span, _ in stated if draw.random() < 0.7} or {span for span, _ in stated[:1]}
    words: list[Span] = []
    for match in re.finditer(r"\S+", record.query):
        start, end = match.span()
        covering = [span for span, _ in stated if start < span[1] and end > span[0]]
        if any(span in kept for span in covering) or (not covering and draw.random() < 0.4):
            words.append((start, end))
    if not words:
        return record
    query, moved = "", {}
    for start, end in words:
        query += " " if query else ""
        moved[start] = len(query)
        query += record.query[start:end]

    def placed(span: Span) -> Span | None:
        inside = [(start, end) for start, end in words if start < span[1] and end > span[0]]
        if not inside or len(inside) < len(record.query[slice(*span)].split()):
            return None
        (first, _), (last, last_end) = inside[0], inside[-1]
        return moved[first] + max(0, span[0] - first), moved[last] + min(span[1], last_end) - last

    values = tuple(
        None if spans is None else tuple(new for span in spans if (new := placed(span))) for spans in record.values
    )
    gains = tuple(
        gain if spans is None or not spans or values[i] else 0.0
        for i, (gain, spans) in enumerate(zip(record.gains, record.values, strict=True))
    )
    return replace(record, query=query, gains=gains, values=values)
