"""How much of a run's time is left; the last of it is kept for cleaning up."""

import time
from collections.abc import Callable

# For cleaning up: a tenth of the run's time, within these.
_LEAST_SECONDS, _MOST_SECONDS = 3.0, 20.0


class TimeUpError(Exception):
    """The time of the run is used up."""


class Clock:
    """The time of one run. seconds: of all of it."""

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._now = now
        self._start = now()
        self._end = self._start + seconds - min(max(seconds / 10, _LEAST_SECONDS), _MOST_SECONDS)

    def passed(self) -> float:
        """Seconds since the start."""
        return self._now() - self._start

    def left(self) -> float:
        """Seconds that checks may still take; at most 0 when the time is up."""
        return self._end - self._now()

    def clean_up(self) -> None:
        """From now on, what is left is all that was given, and never less than what is kept for this."""
        self._end = max(self._start + self.seconds, self._now() + _LEAST_SECONDS)

    def pause(self, seconds: float) -> None:
        """Sleep, but not beyond the time. TimeUpError when it is up before."""
        left = self.left()
        time.sleep(max(0.0, min(seconds, left)))
        if seconds >= left:
            raise TimeUpError
