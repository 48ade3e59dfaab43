"""The form of a cached pair: the bytes of its score.

Values are kept as word positions, so that each request maps them to its own characters.

Knows: the byte layout. Does not know: where the bytes are kept, or under which key.
"""

import struct

from service.scoring import PairScore, ValueSpan

_LOGIT = struct.Struct("<f")
_SPAN = struct.Struct("<HHf")
MOST = 1e6
"""No logit of ours is as large."""


def encode(score: PairScore) -> bytes:
    """A score as bytes: the logit, then first word, last word and confidence of each span."""
    return _LOGIT.pack(score.logit) + b"".join(_SPAN.pack(*span) for span in score.spans)


def decode(content: bytes) -> PairScore:
    """The score that `encode` wrote. Raises ValueError for anything else."""
    if len(content) == _LOGIT.size:  # most state no value
        (logit,) = _LOGIT.unpack(content)
        if -MOST < logit < MOST:
            return PairScore(logit, ())
    if len(content) < _LOGIT.size or (len(content) - _LOGIT.size) % _SPAN.size:
        raise ValueError(f"{len(content)} bytes are no pair")
    (logit,) = _LOGIT.unpack_from(content)
    spans = tuple(ValueSpan(*span) for span in _SPAN.iter_unpack(content[_LOGIT.size :]))
    if not (-MOST < logit < MOST and all(span.first <= span.last and 0 <= span.confidence <= 1 for span in spans)):
        raise ValueError("the bytes hold no pair of ours")
    return PairScore(logit, spans)
