"""What is said of an attribute when the model cannot be asked: its mean logit over the queries of training.

Knows: the bundle's table of priors. Does not know: the query; that is the point of it.
"""

import json
import math
from pathlib import Path

from service.errors import BundleError
from service.text import Tokenizer, attribute_key


class Prior:
    """Logits by attribute key, and one for all attributes that are not in the table."""

    def __init__(self, logits: dict[bytes, float], default: float) -> None:
        self._logits, self._default = logits, default

    def logit(self, attribute: bytes) -> float:
        """The logit of an attribute, known by its tokens."""
        return self._logits.get(attribute, self._default)


def open_prior(path: Path, tokenizer: Tokenizer) -> Prior:
    """Read `{"default": z, "logits": {name: z}}`. Raises BundleError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        default, logits = float(content["default"]), {str(k): float(v) for k, v in content["logits"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise BundleError(f"the prior {path} cannot be read: {error}") from error
    if not all(map(math.isfinite, (default, *logits.values()))):
        raise BundleError(f"the prior {path} holds what is not a finite number")
    plain_last = sorted(logits, key=lambda name: tokenizer.plain(name) == name)  # a plain name's own logit is its own
    return Prior({attribute_key(tokenizer.attribute(name)): logits[name] for name in plain_last}, default)
