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
    """The score that `encode` wrote. What comes from elsewhere wants `checked`."""
    (logit,) = _LOGIT.unpack(content[: _LOGIT.size])
    if len(content) == _LOGIT.size:  # most state no value
        return tuple.__new__(PairScore, (logit, ()))  # the class's own constructor takes as long as all the rest
    return PairScore(logit, tuple(map(ValueSpan._make, _SPAN.iter_unpack(content[_LOGIT.size :]))))


def checked(content: bytes) -> PairScore:
    """The same, of bytes that anybody may have written. Raises ValueError when they are no pair of ours."""
    if len(content) < _LOGIT.size or (len(content) - _LOGIT.size) % _SPAN.size:
        raise ValueError(f"{len(content)} bytes are no pair")
    score = decode(content)
    if not -MOST < score.logit < MOST:
        raise ValueError("the bytes of a pair hold a logit that is none of ours")
    if not all(span.first <= span.last and 0 <= span.confidence <= 1 for span in score.spans):
        raise ValueError("the bytes of a pair hold a value that is none of ours")
    return score
