"""Everything that can go wrong, as a tree. What each means over HTTP is in `api.errors`.

RankerError
├── StartError            the service cannot start; one sentence names the thing and the way out
│   ├── BundleError       the bundle is missing a file, altered, of another format, or its graph does not fit
│   └── DeviceError       the device asked for cannot really be used
├── BadInput              a request that is well formed but cannot be answered
├── Overloaded            the queue is full, or the service is stopping
├── DeadlineExceeded      the answer would come too late
├── ModelFailed           a forward pass raised, or gave what is not a number
└── NotReady              the model gives no answer now
"""


class RankerError(Exception):
    """The root; its message is one sentence for people."""


class StartError(RankerError):
    """The service cannot start."""


class BundleError(StartError):
    """The bundle cannot be served."""


class DeviceError(StartError):
    """The device cannot be used."""


class BadInput(RankerError):
    """The input cannot be answered; `field` is its place in the request."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


class Overloaded(RankerError):
    """Too much is waiting already."""


class DeadlineExceeded(RankerError):
    """The time for this request is over."""


class ModelFailed(RankerError):
    """The model gave no usable answer."""


class NotReady(RankerError):
    """The service cannot answer at present."""
