"""The queries of one run and what they give. They share a connection, which has the rows of the last query alone."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb


class Queries:
    """Runs statements one after another, as temporary tables are known to their connection alone."""

    __slots__ = ("connection", "number")

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        self.number = 0
        """Of the query that has begun last."""

    def run(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> "QueryResult":
        """Run a statement, which ends the results of those before it. Raises duckdb.Error."""
        self.number += 1
        return QueryResult(self, self.connection.execute(sql, values))


class QueryResult:
    """The rows that a query has found, each given once.

    Every method raises RuntimeError when a later query of the run has begun, as that has taken the place of the rows.
    """

    __slots__ = ("_connection", "_number", "_queries")

    def __init__(self, queries: Queries, connection: duckdb.DuckDBPyConnection) -> None:
        self._queries = queries
        self._connection = connection
        self._number = queries.number

    @property
    def description(self) -> list[tuple[Any, ...]]:
        """A tuple for each column, of which the first two are its name and type (PEP 249)."""
        return self._rows.description

    def fetchone(self) -> tuple[Any, ...] | None:
        """Return the next row; None behind the last one."""
        return self._rows.fetchone()

    def fetchmany(self, size: int = 1) -> list[tuple[Any, ...]]:
        """Return at most so many of the next rows."""
        return self._rows.fetchmany(size)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return all rows that are left."""
        return self._rows.fetchall()

    def fetchnumpy(self) -> dict[str, Any]:
        """Return the rows that are left as an array for each column, masked where it has nulls."""
        return self._rows.fetchnumpy()

    def df(self) -> Any:
        """Return the rows that are left as a pandas DataFrame; needs pandas."""
        return self._rows.df()

    def to_arrow_table(self) -> Any:
        """Return the rows that are left as a pyarrow.Table; needs pyarrow."""
        rows = self._rows
        with warnings.catch_warnings():
            # It would have us ask again by another way, which knows no `?`.
            warnings.filterwarnings("ignore", message="Arrow output", category=UserWarning)
            return rows.to_arrow_table()

    @property
    def _rows(self) -> duckdb.DuckDBPyConnection:
        if self._number != self._queries.number:
            raise RuntimeError(
                "this query's rows are gone, as a later one of the run has begun; take them before it, such as by "
                ".fetchall()"
            )
        return self._connection
