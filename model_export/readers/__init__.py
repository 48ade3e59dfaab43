"""One reader for each kind of data, each giving records; one module a format.

A reader takes the path of its file or folder, the options of its source and the run's seed. It yields `(key, record)`:
records with one key always end in the same half of a split. It raises BadRecord for what it cannot read.

Knows: which reader bears which name. Does not know: splits, spellings, what else a record will be compared with.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from model_export.config import Source
from model_export.readers.catalogue import catalogue
from model_export.readers.catalogue_queries import catalogue_queries
from model_export.readers.jsonl import jsonl
from model_export.readers.judgments import judgments
from model_export.readers.lines import Keyed
from model_export.readers.queryner import queryner
from model_export.readers.taxonomy import taxonomy
from model_export.readers.taxonomy_values import taxonomy_values
from model_export.readers.titles import titles
from model_export.readers.ubi import ubi

READERS: dict[str, Callable[[Path, Source, int], Iterator[Keyed]]] = {
    "queryner": queryner,
    "titles": titles,
    "taxonomy": taxonomy,
    "taxonomy_values": taxonomy_values,
    "catalogue": catalogue,
    "catalogue_queries": catalogue_queries,
    "judgments": judgments,
    "ubi": ubi,
    "jsonl": jsonl,
    "labelled": jsonl,
}

KEYS: dict[str, str] = {
    "queryner": "the query",
    "titles": "the title",
    "taxonomy": "the kind's English name",
    "taxonomy_values": "the kind's English name",
    "catalogue": "the kind",
    "catalogue_queries": "the product's kind, or its id without one",
    "judgments": "the query",
    "ubi": "the query",
    "jsonl": "the query",
    "labelled": "the query",
}
"""What the key of a reader's records is, for people who want the same split."""
