"""The queries of one run and what they give. They share a connection, which has the rows of the last query alone."""

import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb


class Queries:
    """Runs statements one after another, as temporary tables are known to their connection alone."""

    __slots__ = ("connection", "lock", "number")

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        self.lock = threading.Lock()
        """Held while the connection has a statement to run, or gives rows: a process may have threads."""
        self.number = 0
        """Of the query that has begun last."""

    def run(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> "QueryResult":
        """Run a statement, which ends the results of those before it.

        Raises duckdb.Error, and ValueError for a text without a statement.
        """
        with self.lock:
            self.number += 1
            if self.connection.execute(sql, values) is None:
                raise ValueError(f"there is no statement in {sql!r}; write one, such as FROM data")
            return QueryResult(self, self.number)


class QueryResult:
    """The rows that a query has found, each given once.

    Every method raises RuntimeError when a later query of the run has begun, also in another thread, as that has taken
    the place of the rows.
    """

    __slots__ = ("_number", "_queries")

    def __init__(self, queries: Queries, number: int) -> None:
        self._queries = queries
        self._number = number

    @property
    def description(self) -> list[tuple[Any, ...]]:
        """A tuple for each column, of which the first two are its name and type (PEP 249)."""
        with self._rows() as rows:
            return rows.description

    def fetchone(self) -> tuple[Any, ...] | None:
        """Return the next row; None behind the last one."""
        with self._rows() as rows:
            return rows.fetchone()

    def fetchmany(self, size: int = 1) -> list[tuple[Any, ...]]:
        """Return at most so many of the next rows."""
        with self._rows() as rows:
            return rows.fetchmany(size)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return all rows that are left."""
        with self._rows() as rows:
            return rows.fetchall()

    def fetchnumpy(self) -> dict[str, Any]:
        """Return the rows that are left as an array for each column, masked where it has nulls."""
        with self._rows() as rows:
            return rows.fetchnumpy()

    def df(self) -> Any:
        """Return the rows that are left as a pandas DataFrame; needs pandas."""
        with self._rows() as rows:
            return rows.df()

    def to_arrow_table(self) -> Any:
        """Return the rows that are left as a pyarrow.Table; needs pyarrow."""
        with self._rows() as rows, warnings.catch_warnings():
            # It would have us ask again by another way, which knows no `?`.
            warnings.filterwarnings("ignore", message="Arrow output", category=UserWarning)
            return rows.to_arrow_table()

    @contextmanager
    def _rows(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._queries.lock:
            if self._number != self._queries.number:
                raise RuntimeError(
                    "this query's rows are gone, as a later one of the run has begun; take them before it, such as by "
                    ".fetchall(); where threads ask, let a lock of yours be held from the query until then"
                )
            yield self._queries.connection
