"""Processes that show what the API does with each kind of process."""

from typing import NamedTuple

from gristmill import DataSet, process


@process(seconds=3600)
def long_running(number: int = 1) -> int:
    """May take longer than a request may wait."""
    return number


@process(seconds=1)
def quick() -> int:
    """May take a second."""
    return 1


@process(deterministic=True)
def doubled(number: int) -> int:
    """Twice a number, always the same."""
    return 2 * number


@process(deterministic=True)
def how_many(tables: dict[str, DataSet]) -> int:
    """How many tables, always the same."""
    return len(tables)


@process
def broken(message: str = "no luck") -> int:
    """Fails."""
    raise RuntimeError(message)


class Two(NamedTuple):
    """Two outputs."""

    first: int
    second: str


@process
def pair(number: int = 1) -> Two:
    """Two outputs."""
    return Two(number, str(number))
