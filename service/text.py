"""Text in, arrays out: the tokens of a query and of attribute names, packed into rows the graph can read.

Knows: the tokenizer, the layout of a packed row, how rows are padded into one batch.
Does not know: the model, logits, caching, requests.
"""

import struct
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import blake2b
from pathlib import Path

import numpy as np
import tokenizers
from numpy.typing import NDArray

from service.errors import BundleError
from service.naming import LEAST_LETTERS, plain_name

Feed = dict[str, NDArray[np.int64]]

PADDING_BLOCK = -1
CONJUNCTIONS = frozenset({"or", "nor", "and", "/", "或", "和", "与", "及", "、"})
"""Words that stand between two values rather than within one."""
ROW_TOKENS, LEAST_ROOM = 128, 32
"""Longer rows are split, but a row has so much room for candidates behind the longest query. Up to 128 tokens the int8
graph's logits are the same to the bit wherever a candidate stands; and attention costs the square of a row's length."""


@dataclass(frozen=True, slots=True)
class QueryTokens:
    """A tokenised query. `ids` begins with [CLS] and ends with [SEP].

    `starts` and `ends` say where each word stands in the text as it was given, in Unicode code points;
    `word_of` the index of the word that each token between [CLS] and [SEP] belongs to; `conjunctions` which words are
    conjunctions. `truncated` says that the text goes on where the tokens end.
    """

    ids: tuple[int, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    word_of: tuple[int, ...]
    truncated: bool = False
    conjunctions: frozenset[int] = frozenset()

    @property
    def words(self) -> list[tuple[int, int]]:
        """(start, end) of each word."""
        return list(zip(self.starts, self.ends, strict=True))

    def part(self, first: int, end: int) -> "QueryTokens":
        """The query of its words `first` to `end` (exclusive) alone, from the tokens that it has."""
        kept = [
            (token, word - first)
            for token, word in zip(self.ids[1:], self.word_of, strict=False)
            if first <= word < end
        ]
        ids = (self.ids[0], *(token for token, _ in kept), self.ids[-1])
        conjunctions = frozenset(word - first for word in self.conjunctions if first <= word < end)
        words = self.starts[first:end], self.ends[first:end], tuple(word for _, word in kept)
        return QueryTokens(ids, *words, conjunctions=conjunctions)


AttributeTokens = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence: the query, then some of its candidates, each ended by [SEP].

    `input_ids`, `block_ids` and `position_ids` have its length; `ends` says where each candidate's [SEP] stands.
    """

    input_ids: Sequence[int]
    block_ids: Sequence[int]
    position_ids: Sequence[int]
    ends: Sequence[int]
    query_length: int


class Tokenizer:
    """The bundle's own tokenizer, with the limits its position embeddings set.

    A query longer than `max_query_tokens` (with [CLS] and [SEP]) or an attribute longer than
    `max_attribute_tokens` (with [SEP]) is read up to there. An attribute is read by its plain name. `unknown` is the
    token that stands for what the vocabulary lacks.
    """

    def __init__(self, path: Path, *, max_query_tokens: int, max_attribute_tokens: int) -> None:
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing narrower
            raise BundleError(f"the tokenizer {path} cannot be read: {error}") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._max_query = max_query_tokens - 2
        self._cls, self._sep = self._special(path, "[CLS]"), self._special(path, "[SEP]")
        self.unknown = self._special(path, "[UNK]")
        self._conjunctions = {self._tokenizer.token_to_id(word) for word in CONJUNCTIONS}
        self.plain = partial(plain_name, known=_words(self._tokenizer))
        read = partial(_attribute_tokens, self._tokenizer, self.plain, max_attribute_tokens - 1, self._sep)
        self.attribute = lru_cache(maxsize=8_192)(read)

    def _special(self, path: Path, token: str) -> int:
        number = self._tokenizer.token_to_id(token)
        if number is None:
            raise BundleError(f"the tokenizer {path} has no {token}: it is not a BERT's")
        return number

    def query(self, text: str) -> QueryTokens:
        """Tokenise a query; it has no words when nothing of the text survives normalisation."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        ids, offsets = encoding.ids[: self._max_query], encoding.offsets
        starts: list[int] = []
        ends: list[int] = []
        word_of: list[int] = []
        previous: int | None = None
        for word, (start, end) in zip(encoding.word_ids[: self._max_query], offsets, strict=False):
            if word != previous:
                starts.append(start)
                ends.append(end)
                previous = word
            ends[-1] = end
            word_of.append(len(starts) - 1)
        truncated = len(encoding.ids) > self._max_query
        words = tuple(starts), tuple(ends), tuple(word_of)
        return QueryTokens((self._cls, *ids, self._sep), *words, truncated, self._conjunctions_of(ids, word_of))

    def _conjunctions_of(self, ids: Sequence[int], word_of: Sequence[int]) -> frozenset[int]:
        """The words that are a conjunction, whole: "or" is also how "oreo" begins."""
        if self._conjunctions.isdisjoint(ids):
            return frozenset()
        tokens = Counter(word_of)
        pairs = zip(ids, word_of, strict=True)
        return frozenset(word for token, word in pairs if token in self._conjunctions and tokens[word] == 1)


def _words(tokenizer: tokenizers.Tokenizer) -> Mapping[str, int]:
    """The words of a vocabulary that are long enough to be told apart, with their ranks."""
    pieces = tokenizer.get_vocab(with_added_tokens=False)
    return {word: rank for word, rank in pieces.items() if len(word) >= LEAST_LETTERS and word.isalpha()}


def _attribute_tokens(
    tokenizer: tokenizers.Tokenizer, plain: Callable[[str], str], most: int, sep: int, name: str
) -> AttributeTokens:
    ids = tokenizer.encode(plain(name), add_special_tokens=False).ids
    return (*ids[:most], sep)


def query_key(ids: Sequence[int]) -> bytes:
    """What a query is known by: a digest of its token ids, 16 bytes. Two texts share it exactly when the model
    cannot tell them apart.
    """
    return blake2b(struct.pack(f"<{len(ids)}I", *ids), digest_size=16).digest()


def attribute_key(ids: Sequence[int]) -> bytes:
    """What an attribute is known by: its token ids themselves, 4 bytes each."""
    return struct.pack(f"<{len(ids)}I", *ids)


def longest_row(query: QueryTokens) -> int:
    """How many tokens a row of this query takes, at most: what `pack` is told."""
    return max(ROW_TOKENS, len(query.ids) + LEAST_ROOM)


def row_alone(query: QueryTokens) -> Row:
    """The row of a query without candidates, of which only the embedding is wanted."""
    return _row(query, ())


def pack(query: QueryTokens, attributes: Sequence[AttributeTokens], *, row_tokens: int) -> list[Row]:
    """Lay the candidates out behind their query, in order, in as few rows of about `row_tokens` as they need.

    A row always takes at least one candidate. Which row a candidate lands in does not change its logit.
    """
    rows: list[Row] = []
    length, first = len(query.ids), 0
    for index, attribute in enumerate(attributes):
        if length + len(attribute) > row_tokens and index > first:
            rows.append(_row(query, attributes[first:index]))
            length, first = len(query.ids), index
        length += len(attribute)
    rows.append(_row(query, attributes[first:]))
    return rows


def _row(query: QueryTokens, attributes: Sequence[AttributeTokens]) -> Row:
    start = len(query.ids)
    input_ids, block_ids, position_ids, ends = [*query.ids], [0] * start, [*range(start)], []
    for block, attribute in enumerate(attributes, start=1):
        input_ids += attribute
        block_ids += [block] * len(attribute)
        position_ids += range(start, start + len(attribute))
        ends.append(len(input_ids) - 1)
    return Row(input_ids, block_ids, position_ids, ends, start)


def collate(rows: Sequence[Row]) -> Feed:
    """Pad rows to one batch: what the graph takes, by input name.

    `input_ids`, `block_ids`, `position_ids`: (rows, longest row), padded with 0, -1, 0.
    `attribute_positions`: (rows, most candidates), padded with 0. `query_positions`: (longest query,).
    """
    length = max(len(row.input_ids) for row in rows)
    candidates = max(len(row.ends) for row in rows)
    feed = {
        "input_ids": np.zeros((len(rows), length), dtype=np.int64),
        "block_ids": np.full((len(rows), length), PADDING_BLOCK, dtype=np.int64),
        "position_ids": np.zeros((len(rows), length), dtype=np.int64),
        "attribute_positions": np.zeros((len(rows), candidates), dtype=np.int64),
        "query_positions": np.arange(max(row.query_length for row in rows), dtype=np.int64),
    }
    for index, row in enumerate(rows):
        feed["input_ids"][index, : len(row.input_ids)] = row.input_ids
        feed["block_ids"][index, : len(row.input_ids)] = row.block_ids
        feed["position_ids"][index, : len(row.input_ids)] = row.position_ids
        feed["attribute_positions"][index, : len(row.ends)] = row.ends
    return feed
