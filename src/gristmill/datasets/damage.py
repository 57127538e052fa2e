"""Tells when the copy of a version in the local cache cannot be read any more, though it could be attached."""

import duckdb

# DuckDB looks at the checksum of a block when it reads the block; that error has no class of its own. Messages of other
# classes may begin with a user's text, and say nothing.
_CORRUPT = "Corrupt database file"
_CUT_OFF = "IO Error: Could not read"


def is_damage(error: BaseException) -> bool:
    """Whether DuckDB says that a file that it reads is damaged, cut off, or unreadable."""
    if isinstance(error, duckdb.IOException):
        return str(error).startswith(_CUT_OFF)
    return type(error) is duckdb.Error and str(error).startswith(_CORRUPT)
