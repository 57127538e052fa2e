"""The process that does nothing, for measuring everything around it."""

from gristmill import process


@process(title="No-op")
def noop() -> int:
    """Do nothing."""
    return 1
