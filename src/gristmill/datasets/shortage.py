"""Whether DuckDB failed because memory was missing, which it says in several ways."""

import duckdb

_BEGIN = "Out of Memory Error:"
_SAID = (
    "could not allocate block",  # where a file is completed, in an error that says it could not commit, or be detached
    "bad_alloc",
    "compressed page size out of range",  # zstd had no memory, and its error code was taken for a size
)


def lacks_memory(error: BaseException) -> bool:
    """Whether an error, of DuckDB or of Python, says so."""
    if isinstance(error, MemoryError | duckdb.OutOfMemoryException) or str(error).startswith(_BEGIN):
        return True
    if isinstance(error, duckdb.ProgrammingError | duckdb.DataError):
        return False  # its message may hold what stands in a file
    return any(said in str(error) for said in _SAID)
