"""Tells when the copy of a version in the local cache cannot be read any more, though it could be attached."""

import duckdb

# DuckDB looks at the checksum of a block when it reads the block. Neither error has a class of its own.
_SAID = ("Corrupt database file", "Could not read")


def is_damage(error: BaseException) -> bool:
    """Whether DuckDB says that a file that it reads is damaged, cut off, or unreadable."""
    return isinstance(error, duckdb.Error) and any(said in str(error) for said in _SAID)
