"""Small real tables that ship with Gristmill, each with its source and licence in README.md beside it."""

from importlib.resources import files


def penguins() -> str:
    """The Palmer penguins as CSV text: 344 birds, eight columns; a missing value is ``NA``."""
    return (files(__name__) / "penguins.csv").read_text(encoding="utf-8")
