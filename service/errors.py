"""Everything that can go wrong, as a tree. What each means over HTTP is in `api.errors`.

RankerError
├── StartError            the service cannot start; one sentence names the thing and the way out
│   ├── BundleError       the bundle is missing a file, altered, of another format, or its graph does not fit
│   └── DeviceError       the device asked for cannot really be used
├── BadInput              a request that is well formed but cannot be answered
│   ├── NoVocabulary      a picture without values to choose among
│   └── EventRefused      one event of a request is not taken; the others are
├── Unauthorized          no key, or none of ours
├── RuleRefused           a rule that was sent cannot be taken, changed or deleted; nothing has changed
├── SwapRefused           a bundle that was asked for cannot take over; nothing has changed
├── ClientGone            the caller has hung up
├── Later                 not now, but worth another try
│   ├── RateLimited       more requests than this caller may send
│   ├── Overloaded        the queue is full, the answer would come too late, or the service is stopping
│   ├── NotReady          the model gives no answer now
│   └── LedgerAway        events, profiles or rules cannot be kept or read now
├── DeadlineExceeded      the answer came too late
└── ModelFailed           a forward pass raised, or gave what is not a number
"""

from typing import ClassVar


class RankerError(Exception):
    """The root; its message is one sentence for people, `code` one word for programs and metrics."""

    code: ClassVar[str] = "internal"


class StartError(RankerError):
    """The service cannot start."""


class BundleError(StartError):
    """The bundle cannot be served."""


class DeviceError(StartError):
    """The device cannot be used."""


class BadInput(RankerError):
    """The input cannot be answered; `field` is its place in the request."""

    code = "unreadable"

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


class NoVocabulary(BadInput):
    """A picture was given, and no values to choose among."""

    code = "no_vocabulary"

    def __init__(self, message: str) -> None:
        super().__init__(message, "vocabulary")


class EventRefused(BadInput):
    """An event is not taken; `reason` is one word, `field` its place in the event."""

    code = "event_refused"

    def __init__(self, reason: str, message: str, field: str = "") -> None:
        super().__init__(message, field)
        self.reason = reason


class Unauthorized(RankerError):
    """The caller has shown no key that may do this."""

    code = "unauthorized"


class SwapRefused(RankerError):
    """The bundle asked for cannot take over."""

    code = "bundle_refused"


class RuleRefused(RankerError):
    """The rule cannot be changed by a call."""

    code = "rule_refused"


class ClientGone(RankerError):
    """Nobody waits for this answer any more."""

    code = "client_gone"


class Later(RankerError):
    """Not now: worth another try after `retry_after_s` seconds."""

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RateLimited(Later):
    """The caller is sending faster than it may."""

    code = "rate_limited"


class Overloaded(Later):
    """Too much is waiting already."""

    code = "overloaded"


class NotReady(Later):
    """The service cannot answer at present."""

    code = "not_ready"


class LedgerAway(Later):
    """Where events, profiles and rules are kept gives no answer at present."""

    code = "ledger_away"


class DeadlineExceeded(RankerError):
    """The time for this request is over."""

    code = "deadline_exceeded"


class ModelFailed(RankerError):
    """The model gave no usable answer."""

    code = "model_failed"
