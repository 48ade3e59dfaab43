"""When to leave a failing neighbour alone.

Knows: failures in a row and the clock it is given. Does not know: what failed.
"""

from collections.abc import Callable


class Breaker:
    """Open after `failures` in a row; then one try is let through every `pause` seconds until one succeeds."""

    def __init__(self, *, failures: int, pause: float, clock: Callable[[], float]) -> None:
        self._limit, self._pause, self._clock = failures, pause, clock
        self._failed = 0
        self._next_try = 0.0

    @property
    def open(self) -> bool:
        """Whether calls are being held back."""
        return self._failed >= self._limit

    def allows(self) -> bool:
        """Whether a call may be made now; while open, a yes books the only try of this pause."""
        if not self.open:
            return True
        now = self._clock()
        if now < self._next_try:
            return False
        self._next_try = now + self._pause
        return True

    def succeeded(self) -> None:
        """A call went well: closed again."""
        self._failed = 0

    def failed(self) -> None:
        """A call went wrong."""
        self._failed += 1
        if self._failed == self._limit:
            self._next_try = self._clock() + self._pause
