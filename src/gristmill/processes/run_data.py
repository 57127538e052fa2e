"""The data sets of one run: opened when an input asks for them, closed with the run."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, Self

from gristmill.datasets.damage import is_damage
from gristmill.datasets.descriptions import ColumnText
from gristmill.errors import DamagedDataError, NoSuchDataSetError
from gristmill.processes.dataset import DataSet
from gristmill.processes.references import Reference
from gristmill.processes.table import Table, TableError
from gristmill.processes.workspace import DataColumn, Workspace


@dataclass(frozen=True, slots=True)
class OpenVersion:
    """A version that is attached. file: closed when it is no longer needed. texts: what is said of its columns.

    damaged: has the file made anew for the next run.
    """

    columns: list[DataColumn]
    rows: int
    file: ExitStack
    texts: Mapping[str, ColumnText] = field(default_factory=dict)
    damaged: Callable[[], object] = lambda: None


class Opener(Protocol):
    """Opens versions of data sets."""

    def __call__(self, reference: Reference, attach: Callable[[Path, str], list[DataColumn]], /) -> OpenVersion:
        """Call ``attach`` with the version's database file and the name of its table.

        Raises NoSuchDataSetError, NoSuchVersionError.
        """
        ...


def no_data_sets(reference: Reference, _attach: Callable[[Path, str], list[DataColumn]]) -> OpenVersion:
    """The opener where there are no data sets, as in a process's own tests."""
    raise NoSuchDataSetError(f"There are no data sets here, so there is none {reference.dataset!r}.")


class RunData:
    """Makes data sets for the inputs of one run; a context, at whose end they are closed.

    memory_bytes, threads: what DuckDB may use for all of them. make: makes the workspace. closing: takes over what is
    open, to close it later, as that takes DuckDB some 10 ms; without it, all is closed at the end.
    """

    def __init__(
        self,
        opener: Opener = no_data_sets,
        *,
        memory_bytes: int = 0,
        threads: int = 1,
        make: Callable[[int, int], Workspace] = Workspace,
        closing: ExitStack | None = None,
    ) -> None:
        self._opener = opener
        self._make = make
        self._memory_bytes = memory_bytes
        self._threads = threads
        self._open = ExitStack()
        self._files = ExitStack()
        self._closing = closing
        self._damaged: list[Callable[[], object]] = []
        self._made: Workspace | None = None
        self._names: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Close everything, or hand it over.

        Raises DamagedDataError instead of what DuckDB says of a file that it cannot read.
        """
        is_damaged = error is not None and is_damage(error)
        for damaged in self._damaged if is_damaged else ():
            damaged()
        if self._closing is None:
            self._open.close()
        else:
            self._closing.push(self._open.pop_all())
        if is_damaged:
            raise DamagedDataError(
                "The worker's copy of a data set was damaged, and is made anew for the next job; send the job again."
            ) from error

    def stored(self, name: str, reference: Reference) -> DataSet:
        """The version that a reference means, as a table of this name.

        Raises NoSuchDataSetError, NoSuchVersionError, TableError.
        """
        workspace = self._workspace(name)
        opened = self._opener(reference, lambda file, table: workspace.attach(name, file, table))
        self._files.push(opened.file)
        self._damaged.append(opened.damaged)
        columns = [_said(column, opened.texts.get(column.name)) for column in opened.columns]
        return DataSet(
            workspace.connection,
            name,
            columns,
            opened.rows,
            dataset=reference.dataset,
            version=reference.version,
            source=workspace.source(name),
        )

    def given(self, name: str, table: Table) -> DataSet:
        """A table that came with the request, under this name. Raises TableError where SQL cannot have it."""
        workspace = self._workspace(name)
        names = sorted(table, key=str.casefold)
        for one, other in pairwise(names):
            if one.casefold() == other.casefold():
                raise TableError(f"has the columns {one!r} and {other!r}, which SQL does not tell apart")
        return DataSet(workspace.connection, name, workspace.add(name, table), table.rows)

    def lock(self) -> None:
        """All are made: from here on, statements reach nothing else."""
        if self._made is not None:
            self._made.lock()

    def _workspace(self, name: str) -> Workspace:
        """Where a data set of this name can be made."""
        if name.casefold() in self._names:
            raise TableError(f"is the second data set called {name!r} in this run")
        self._names.add(name.casefold())
        if self._made is None:
            self._made = self._make(self._memory_bytes, self._threads)
            self._open.push(self._files)
            self._open.callback(self._made.close)
        return self._made


def _said(column: DataColumn, text: Any) -> DataColumn:
    return column if text is None else replace(column, unit=text.unit, description=text.description)
