"""A record as the one packed row that the network and the graphs read.

Knows: how a record's texts become tokens. Does not know: targets, batches, scores.
"""

from model_export.records import Record
from service.text import QueryTokens, Row, Tokenizer, pack

WHOLE = 2**31


def packed(tokenizer: Tokenizer, record: Record) -> tuple[QueryTokens, Row]:
    """The query's tokens, and one row with every candidate in the order given."""
    query = tokenizer.query(record.query)
    (row,) = pack(query, [tokenizer.attribute(name) for name in record.attributes], row_tokens=WHOLE)
    return query, row
