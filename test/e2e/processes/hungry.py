"""Processes that take more than a pod has, with the limits that every process has."""

from pathlib import Path

from gristmill import process


@process(seconds=120)
def eat_memory() -> int:
    """Take ever more memory."""
    held = []
    while True:
        held.append(bytearray(2**24))


@process(seconds=120)
def fill_disk() -> int:
    """Write ever more."""
    with Path("full").open("wb") as file:
        while True:
            file.write(bytes(2**24))
