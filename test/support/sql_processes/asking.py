"""The process ``sql`` with limits that a test can wait for."""

from gristmill.processes import process
from gristmill.processes.dataset import DataSet
from gristmill.processes.selects import select


@process(seconds=3, memory_mb=256)
def ask(query: str, tables: dict[str, DataSet]) -> str:
    """Ask within 3 s and 256 MiB."""
    return select(tables, query, 10_000).csv()


@process(seconds=60, memory_mb=256)
def ask_at_length(query: str, tables: dict[str, DataSet]) -> str:
    """Ask within 256 MiB."""
    return select(tables, query, 10_000).csv()
