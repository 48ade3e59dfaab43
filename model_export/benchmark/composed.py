"""Which attributes a composed query states: kinds of product kept aside, with values of some of their attributes.

Knows: how the dev half of a source of the taxonomy's values is asked. Does not know: the model, the baselines.
"""

from collections import Counter
from dataclasses import replace

from model_export.config import Config, Source
from model_export.examples import with_others
from model_export.names import PRODUCT_TYPE
from model_export.records import Record
from model_export.sources import half_of

KIND = frozenset(name.lower() for name in PRODUCT_TYPE.values())
"""Every composed query states its kind: a baseline that always says so would be right, and so nobody is asked."""


def stated(record: Record) -> Record:
    """The record without its kind's name as a candidate, and with a gain for what the query states alone."""
    places = [place for place, name in enumerate(record.attributes) if name not in KIND]
    values = tuple(record.values[place] for place in places)
    return replace(
        record,
        attributes=tuple(record.attributes[place] for place in places),
        gains=tuple(float(bool(spans)) for spans in values),
        values=values,
    )


def halves(config: Config, source: Source) -> tuple[list[Record], list[Record]]:
    """What such a source states in the queries that train, and the questions: the queries kept aside, three a kind
    (which intervals by query do not know), its own attributes against others drawn by frequency.

    All names are in the source's language: an English one would be asked beside its translation as if it were another.
    Others that mean nearly what the query states ("material" where it states a fabric) have no gain, either.
    """
    source = source.model_copy(update={"english_names": 0.0})
    train = [stated(record) for record in half_of(config, source, "train")]
    used = Counter(name for record in train for name in record.attributes)
    dev = with_others(map(stated, half_of(config, source, "dev")), used)
    return train, [record for record in dev if record.ranks]
