"""The data sets of one run: opened when an input asks for them, closed with the run."""

from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, Self

from gristmill.datasets.damage import is_damage
from gristmill.errors import DamagedDataError, NoSuchDataSetError
from gristmill.processes.column import TableError
from gristmill.processes.dataset import DataSet
from gristmill.processes.references import Reference
from gristmill.processes.table import Table
from gristmill.processes.workspace import DataColumn, OpenVersion, Workspace
from gristmill.processes.workspaces import Wanted, Workspaces


class Attach(Protocol):
    """Attaches a table."""

    def __call__(self, file: Path, table: str, columns: list[DataColumn] | None = None, /) -> list[DataColumn]:
        """Attach the table of a database file, whose columns may be known; returns them."""
        ...


class Opener(Protocol):
    """Opens versions of data sets."""

    def __call__(self, reference: Reference, attach: Attach, kept: OpenVersion | None, /) -> OpenVersion:
        """Call ``attach`` with the version's database file and the name of its table.

        kept: what an earlier run has attached; what is said of its columns may be different now.
        Raises NoSuchDataSetError, NoSuchVersionError.
        """
        ...


def no_data_sets(reference: Reference, _attach: Attach, _kept: OpenVersion | None) -> OpenVersion:
    """The opener where there are no data sets, as in a process's own tests."""
    raise NoSuchDataSetError(f"There are no data sets here, so there is none {reference.dataset!r}.")


class RunData:
    """Makes data sets for the inputs of one run; a context, at whose end they are given back.

    memory_bytes, threads: what DuckDB may use for all of them. workspaces: where the workspace comes from; without
    them, a new one is made, and closed at the end. reuses: whether the run takes one that is kept, and leaves its own
    for another run.
    """

    def __init__(
        self,
        opener: Opener = no_data_sets,
        *,
        memory_bytes: int = 0,
        threads: int = 1,
        workspaces: Workspaces | None = None,
        reuses: bool = False,
    ) -> None:
        self._opener = opener
        self._memory_bytes = memory_bytes
        self._threads = threads
        self._is_to_be_closed = workspaces is None
        self._workspaces = workspaces or Workspaces()
        self._reuses = reuses
        self._made: Workspace | None = None
        self._wanted: Wanted | None = None
        self._names: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Give the workspace back.

        Raises DamagedDataError instead of what DuckDB says of a file that it cannot read.
        """
        is_damaged = error is not None and is_damage(error)
        if self._made is not None:
            for opened in self._made.versions.values() if is_damaged else ():
                opened.damaged()
            self._workspaces.give_back(self._made, is_good=error is None, reusable_for=self._wanted)
        if self._is_to_be_closed:
            self._workspaces.close()
        if is_damaged:
            raise DamagedDataError(
                "The worker's copy of a data set was damaged, and is made anew for the next job; send the job again."
            ) from error

    def stored(self, name: str, reference: Reference) -> DataSet:
        """The version that a reference means, as a table of this name.

        Raises NoSuchDataSetError, NoSuchVersionError, TableError.
        """
        workspace = self._workspace(name, reference.version)
        kept = workspace.versions.get((name, reference.version))
        opened = self._opener(reference, partial(workspace.attach, name), kept)
        workspace.versions[name, reference.version] = opened
        columns = [_said(column, opened.texts.get(column.name)) for column in opened.columns]
        return DataSet(
            workspace.queries,
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
        return DataSet(workspace.queries, name, workspace.add(name, table), table.rows)

    def lock(self) -> None:
        """All are made: from here on, statements reach nothing else."""
        if self._made is not None:
            self._made.lock()

    def _workspace(self, name: str, version: str = "") -> Workspace:
        """Where a data set of this name can be made."""
        if name.casefold() in self._names:
            raise TableError(f"is the second data set called {name!r} in this run")
        self._names.add(name.casefold())
        if self._made is None:
            if self._reuses and version:
                self._wanted = (name, version, self._memory_bytes, self._threads)
                self._made = self._workspaces.take_kept(self._wanted)
            if self._made is None:
                self._made = self._workspaces.take(self._memory_bytes, self._threads, name, version)
        elif self._wanted is not None:
            raise AssertionError("a run on several data sets cannot share its workspace")
        return self._made


def _said(column: DataColumn, text: Any) -> DataColumn:
    return column if text is None else replace(column, unit=text.unit, description=text.description)
