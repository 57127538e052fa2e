"""The DuckDB instance of one run: its data sets are tables there, and its statements reach nothing else."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from gristmill.datasets.columns import Kind, kind_of
from gristmill.datasets.descriptions import ColumnText
from gristmill.datasets.inference import literal
from gristmill.datasets.mapping import double_of, quoted
from gristmill.datasets.nameless import nameless
from gristmill.limits import MIB
from gristmill.processes.column import Array
from gristmill.processes.query_result import Queries
from gristmill.processes.table import Table
from gristmill.words import without_formulas

_DUCKDB_TYPES = {
    "boolean": "BOOLEAN",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "datetime": "TIMESTAMP",
    "string": "VARCHAR",
}


@dataclass(frozen=True, slots=True)
class DataColumn:
    """A column of a data set: its name, DuckDB's name of its type, and what its owner has said about it.

    kind: boolean, integer, number, decimal, text, date, time, timestamp, timestamptz, interval, binary, uuid or nested.
    minimum, maximum: as JSON values, those of a stored version; None where they are not known.
    """

    name: str
    type: str
    kind: Kind
    unit: str = ""
    description: str = ""
    minimum: Any = None
    maximum: Any = None

    @property
    def sql(self) -> str:
        """The name as SQL."""
        return quoted(self.name)

    @property
    def shown(self) -> str:
        """The values as SQL, with the digits that rows show: of a FLOAT 0.1, where DuckDB has 0.10000000149011612."""
        return double_of(self.sql, self.type)

    @property
    def label(self) -> str:
        """The name, with the unit where it is known, and UTC for times with a zone: for axes and headings."""
        unit = self.unit or ("UTC" if self.kind == "timestamptz" else "")
        return f"{self.name} ({unit})" if unit else self.name

    @property
    def axis_label(self) -> str:
        """The label as Matplotlib is to be given it, which takes what stands between two `$` for a formula."""
        return without_formulas(self.label)

    @property
    def is_numeric(self) -> bool:
        """Whether the column is integer, number or decimal."""
        return self.kind in {"integer", "number", "decimal"}

    @property
    def is_time(self) -> bool:
        """Whether the column is date, timestamp or timestamptz."""
        return self.kind in {"date", "timestamp", "timestamptz"}


@dataclass(frozen=True, slots=True)
class OpenVersion:
    """A version that is attached. file: closed when it is no longer needed. texts: what is said of its columns.

    damaged: has the file made anew for the next run. is_unwanted: whether the cache would have the file back.
    """

    columns: list[DataColumn]
    rows: int
    file: ExitStack
    texts: Mapping[str, ColumnText] = field(default_factory=dict)
    damaged: Callable[[], object] = lambda: None
    is_unwanted: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True)
class Attached:
    """A version in a workspace. name: the one it has there. path, table: where it is."""

    name: str
    version: str
    opened: OpenVersion
    path: Path
    table: str


class Workspace:
    """A DuckDB instance for one run. memory_bytes: what it may use, 0 for DuckDB's own choice.

    versions: what is attached, by its name here and the version's.
    """

    def __init__(
        self, memory_bytes: int = 0, threads: int = 1, connection: duckdb.DuckDBPyConnection | None = None
    ) -> None:
        self.connection = connection or _connected()
        self.queries = Queries(self.connection)
        self.versions: dict[tuple[str, str], OpenVersion] = {}
        self._sources: dict[str, str] = {}
        self._places: dict[str, tuple[Path, str]] = {}
        self._is_locked = False
        if memory_bytes:
            self.connection.execute(f"SET memory_limit = '{memory_bytes // MIB}MiB'")
        if threads > 1:
            self.connection.execute(f"SET threads = {threads}")

    def attach(self, name: str, file: Path, table: str, columns: list[DataColumn] | None = None) -> list[DataColumn]:
        """Offer a table of a database file, read-only, under a name; returns its columns. Raises duckdb.Error.

        columns: where they are known, as DuckDB takes a millisecond to say them.
        """
        database = _database(name)
        with nameless(file) as path:
            self.connection.execute(f"ATTACH {literal(str(path))} AS {database} (READ_ONLY)")
        self._sources[name] = f"{database}.{quoted(table)}"
        self._places[name] = file, table
        self.connection.execute(f"CREATE VIEW {quoted(name)} AS FROM {self._sources[name]}")
        return self._described(name) if columns is None else columns

    def add(self, name: str, table: Table) -> list[DataColumn]:
        """Offer a table that is in memory under a name."""
        arrays: dict[str, Array] = {}
        selected = []
        for number, column in enumerate(table.columns):
            arrays |= {f"c{number}": column.values, f"v{number}": column.valid}
            value = f"c{number}"
            if column.kind == "number":  # NaN in an array comes to DuckDB as NULL
                value = f"coalesce(c{number}, 'NaN')"
            selected.append(
                f"CAST(CASE WHEN v{number} THEN {value} END AS {_DUCKDB_TYPES[column.kind]}) AS {quoted(column.name)}"
            )
        if not selected:
            self.connection.execute(f"CREATE TABLE {quoted(name)} AS SELECT 0 AS empty WHERE false")
            return []
        self.connection.register("given", arrays)
        self.connection.execute(f"CREATE TABLE {quoted(name)} AS SELECT {', '.join(selected)} FROM given")
        self.connection.unregister("given")
        return self._described(name)

    def source(self, name: str) -> str:
        """The table itself that is offered under a name, as SQL."""
        return self._sources.get(name, quoted(name))

    def lock(self) -> None:
        """Let statements reach nothing but the tables that are here now, and change no setting."""
        if self._is_locked:
            return
        # With file systems, an attached file may still be opened by its path, and its write-ahead log written.
        self.connection.execute(
            "SET enable_external_access = false; SET disabled_filesystems = 'LocalFileSystem'; "
            "SET lock_configuration = true"
        )
        self._is_locked = True

    @property
    def is_unwanted(self) -> bool:
        """Whether a data set of it should be let go as soon as no run has it."""
        return any(opened.is_unwanted() for opened in self.versions.values())

    def clear(self) -> None:
        """Drop what a run has made beside the data sets."""
        made = self.connection.execute("SELECT table_name FROM duckdb_tables() WHERE temporary").fetchall()
        for (name,) in made:
            self.connection.execute(f"DROP TABLE {quoted(name)}")

    def take_out(self) -> Attached | None:
        """The version that is attached, where there is just one; its file is not closed with this instance then."""
        if len(self.versions) != 1:
            return None
        (name, version), opened = self.versions.popitem()
        return Attached(name, version, opened, *self._places[name])

    def put_in(self, it: Attached) -> None:
        """Attach what another one had. Raises duckdb.Error."""
        self.attach(it.name, it.path, it.table, it.opened.columns)
        self.versions[it.name, it.version] = it.opened

    def detach(self) -> None:
        """Let go of all versions; before a run has this instance."""
        for name, version in list(self.versions):
            self.connection.execute(f"DROP VIEW {quoted(name)}; DETACH {_database(name)}")
            self.versions.pop((name, version)).file.close()
            del self._sources[name], self._places[name]

    def close(self) -> None:
        """Let go of files and memory."""
        self.connection.close()
        for opened in self.versions.values():
            opened.file.close()

    def _described(self, name: str) -> list[DataColumn]:
        described = self.connection.execute(f"DESCRIBE {quoted(name)}").fetchall()
        return [DataColumn(column[0], column[1], kind_of(column[1]) or "nested") for column in described]


def _database(name: str) -> str:
    return quoted(f"file {name}")


def _connected() -> duckdb.DuckDBPyConnection:
    """A new instance, which starts no thread before a statement asks for some."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "async_threads": 0,
        "temp_directory": "",
        "secret_directory": "none",  # else its path, in the home folder, can be asked for
        "allow_persistent_secrets": False,
        "allow_community_extensions": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,  # else a table's name could be that of a variable of ours
    }
    connection = duckdb.connect(":memory:", config=config)
    connection.execute("SET GLOBAL TimeZone = 'UTC'")  # else days and hours of moments are those of the server
    return connection
