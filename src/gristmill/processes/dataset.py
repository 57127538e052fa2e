"""Data sets as inputs of a process: asked in SQL, by DuckDB, so that only what is needed is ever loaded."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import duckdb
import numpy as np
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from gristmill.datasets.mapping import csv_of, double_of, microseconds, quoted
from gristmill.errors import ConfigurationError
from gristmill.processes.column import Array, Column
from gristmill.processes.column import Kind as TableKind
from gristmill.processes.query_result import Queries, QueryResult
from gristmill.processes.table import Table, read_table, table_schema
from gristmill.processes.workspace import DataColumn, Workspace

# Dates reach further than timestamps.
_WITHIN_TIMESTAMPS = "greatest(least({0}, DATE '294247-01-09'), DATE '290308-12-23 (BC)')"
_TABLE_KINDS: dict[str, tuple[TableKind, str]] = {
    "boolean": ("boolean", "{}"),
    "integer": ("integer", "CAST({} AS BIGINT)"),
    "number": ("number", "CAST({} AS DOUBLE)"),
    "decimal": ("number", "CAST({} AS DOUBLE)"),
    "date": ("datetime", f"CAST(CASE WHEN isfinite({{0}}) THEN {_WITHIN_TIMESTAMPS} ELSE {{0}} END AS TIMESTAMP)"),
    "timestamp": ("datetime", "CAST({} AS TIMESTAMP)"),
    "timestamptz": ("datetime", "timezone('UTC', {})"),
    "binary": ("string", "to_base64({})"),
}
_AS_TEXT: tuple[TableKind, str] = ("string", "CAST({} AS VARCHAR)")


class DataSet:
    """A table to ask in SQL.

    name: its table's name in ``query``, which is the input's. rows: their number. dataset, version: where it comes
    from, or "" for a table that came with the request. source: the table itself as SQL, where ``name`` is a view of it.
    """

    __slots__ = ("_columns", "_queries", "dataset", "name", "rows", "source", "version")

    def __init__(
        self,
        queries: Queries,
        name: str,
        columns: Sequence[DataColumn],
        rows: int,
        *,
        dataset: str = "",
        version: str = "",
        source: str = "",
    ) -> None:
        self._queries = queries
        self._columns = {column.name: column for column in columns}
        self.name = name
        self.rows = rows
        self.dataset = dataset
        self.version = version
        self.source = source or quoted(name)

    def __repr__(self) -> str:
        columns = ", ".join(f"{one.name} {one.type}" for one in self.columns)
        return f"DataSet({self.name}: {self.rows} rows; {columns})"

    @property
    def columns(self) -> tuple[DataColumn, ...]:
        """The columns in order."""
        return tuple(self._columns.values())

    def __contains__(self, column: object) -> bool:
        return column in self._columns

    def column(self, name: str) -> DataColumn:
        """Return a column; KeyError names those that there are."""
        try:
            return self._columns[name]
        except KeyError:
            raise KeyError(f"there is no column {name!r}; there are: {', '.join(self._columns)}") from None

    @property
    def sql(self) -> str:
        """The table's name as SQL, for ``FROM``."""
        return quoted(self.name)

    def query(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> QueryResult:
        """Run a statement of DuckDB's SQL, with a value for each ``?`` or ``$name``.

        Take its rows before the next query of the run: ``.fetchall()``, ``.fetchnumpy()``, ``.df()``. All data sets of
        the run are tables, each named as its input is. Raises duckdb.Error.
        """
        return self._queries.run(sql, values)

    def statements(self, sql: str) -> list[duckdb.Statement]:
        """Parse SQL, run none of it, and return its statements. Raises duckdb.Error."""
        return self._queries.connection.extract_statements(sql)

    def table(self) -> Table:
        """Return it as a table of NumPy arrays, each loaded when it is first asked for; rows in their order."""
        return Table.loaded(tuple(self._columns), self.rows, self._load)

    def _load(self, name: str) -> Column:
        column = self.column(name)
        kind, sql = as_table_has_it(column)
        # Not from the view: a statement binds all columns of a view, of which there may be thousands.
        statement = f"SELECT {sql} FROM {self.source}"
        with self._queries.connection.cursor() as apart:  # the rows of a query may not be taken yet
            (values,) = apart.execute(statement).fetchnumpy().values()
        valid = ~np.ma.getmaskarray(values)
        return Column.of_arrays(name, kind, np.ma.getdata(values), valid)

    @classmethod
    def of(cls, table: Table | Mapping[str, Sequence[Any] | Array], name: str = "data") -> Self:
        """Make a data set of a table, or of lists or arrays by column name: for tests."""
        made = table if isinstance(table, Table) else Table.from_columns(table)
        workspace = Workspace()
        columns = workspace.add(name, made)
        workspace.lock()
        return cls(workspace.queries, name, columns, made.rows)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Let Pydantic read tables that come with a request."""
        del source, handler
        return core_schema.no_info_plain_validator_function(read_table)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Describe the JSON forms. Raises ConfigurationError for an output, which it cannot be."""
        del schema
        if handler.mode == "serialization":
            raise ConfigurationError("a DataSet cannot be written; declare `-> Table`, and `return table.table()`")
        return table_schema()


def as_table_has_it(column: DataColumn) -> tuple[TableKind, str]:
    """The kind that a column has in a Table, and the SQL that gives such values."""
    if column.kind == "nested":
        return "string", f"CAST({csv_of(column.sql, column.type)} AS VARCHAR)"  # JSON, as rows have it
    kind, sql = _TABLE_KINDS.get("number" if column.type == "UBIGINT" else column.kind, _AS_TEXT)
    return kind, sql.format(double_of(microseconds(column.sql, column.type), column.type))
