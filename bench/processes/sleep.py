"""A process that lasts, for measuring what happens to it."""

import time

from gristmill import process


@process(title="Sleep", seconds=600)
def sleep(seconds: float = 300) -> float:
    """Sleep, and say for how long."""
    time.sleep(seconds)
    return seconds
