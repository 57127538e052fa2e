"""One DuckDB instance serves several runs on the same data, and nothing of one run reaches another."""

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_type_hints

import duckdb
import pytest

from gristmill.datasets.descriptions import ColumnText
from gristmill.processes import DataSet, load_registry
from gristmill.processes.references import Reference
from gristmill.processes.run_data import RunData
from gristmill.processes.table import Table
from gristmill.processes.workspace import OpenVersion, Workspace
from gristmill.processes.workspaces import Workspaces, is_reusing

FIRST, SECOND = Reference("birds", "1" * 64), Reference("birds", "2" * 64)
MIB = 2**20


@dataclass
class Files:
    """Opens versions, and counts how often: ``attached``, and how many files are open."""

    folder: Path
    unit: str = "kg"
    attached: int = 0
    damaged: list[str] = field(default_factory=list)
    opened: int = 0
    is_unwanted: bool = False

    def __call__(self, reference: Reference, attach: Any, kept: OpenVersion | None) -> OpenVersion:
        texts = {"mass": ColumnText("", self.unit)}
        if kept is not None:
            return replace(kept, texts=texts)
        file = self.folder / f"{reference.version}.db"
        with duckdb.connect(str(file)) as made:
            made.execute(f"CREATE OR REPLACE TABLE data AS SELECT {reference.version[0]} AS mass")
        self.attached += 1
        self.opened += 1
        closing = ExitStack()
        closing.callback(self._close)
        return OpenVersion(
            attach(file, "data"),
            1,
            closing,
            texts,
            damaged=lambda: self.damaged.append(reference.version),
            is_unwanted=lambda: self.is_unwanted,
        )

    def _close(self) -> None:
        self.opened -= 1


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def workspaces() -> Iterator[Workspaces]:
    made = Workspaces()
    yield made
    made.close()


@pytest.fixture
def mass(files: Files, workspaces: Workspaces) -> Callable[..., int]:
    """Return a function that runs a statement on a version, as a job does, and returns its one value."""

    def run(
        reference: Reference, sql: str = "SELECT mass FROM birds", reuses: bool = True, name: str = "birds", **more: Any
    ) -> int:
        with RunData(
            files, memory_bytes=more.get("memory_bytes", 64 * MIB), workspaces=workspaces, reuses=reuses
        ) as data:
            table = data.stored(name, reference)
            data.lock()
            found: int = table.query(sql).fetchall()[0][0]
        workspaces.tidy()
        return found

    return run


def test_a_run_on_the_same_data_finds_it_open(files: Files, mass: Callable[..., int]) -> None:
    assert [mass(FIRST), mass(FIRST), mass(FIRST)] == [1, 1, 1]
    assert (files.attached, files.opened) == (1, 1)


@pytest.mark.parametrize("other", [{"reuses": False}, {"memory_bytes": 128 * MIB}])
def test_a_run_that_wants_anything_else_has_its_own(
    files: Files, mass: Callable[..., int], other: dict[str, Any]
) -> None:
    mass(FIRST)
    assert mass(FIRST, **other) == 1
    assert files.attached == 2
    assert mass(SECOND) == 2
    assert (files.attached, files.opened) == (3, 1)
    assert mass(SECOND, 'SELECT mass FROM "table"', name="table") == 2
    assert (files.attached, files.opened) == (4, 1)


@pytest.mark.parametrize("reuses", [False, True])
def test_only_a_run_that_reuses_leaves_its_workspace(files: Files, mass: Callable[..., int], reuses: bool) -> None:
    mass(FIRST, "CREATE TABLE found AS SELECT 7", reuses=False)
    with pytest.raises(duckdb.CatalogException):
        mass(FIRST, "SELECT * FROM found", reuses)
    assert files.attached == 2


def test_nothing_that_a_run_has_made_is_there_for_the_next(files: Files, mass: Callable[..., int]) -> None:
    mass(FIRST, "CREATE TEMP TABLE found AS SELECT 7")
    with pytest.raises(duckdb.CatalogException):
        mass(FIRST, "SELECT * FROM found")


def test_what_is_said_of_columns_is_read_anew(files: Files, workspaces: Workspaces) -> None:
    units = []
    for unit in ("kg", "g"):
        files.unit = unit
        with RunData(files, workspaces=workspaces, reuses=True) as data:
            units.append(data.stored("birds", FIRST).column("mass").unit)
        workspaces.tidy()
    assert units == ["kg", "g"]
    assert files.attached == 1


def test_a_kept_workspace_stays_locked(files: Files, mass: Callable[..., int]) -> None:
    for statement in ("SET threads = 8", f"SELECT * FROM '{files.folder}/x.csv'"):
        mass(FIRST)
        with pytest.raises(duckdb.Error):
            mass(FIRST, statement)


def test_a_run_that_fails_leaves_nothing(files: Files, mass: Callable[..., int]) -> None:
    mass(FIRST)
    with pytest.raises(duckdb.Error):
        mass(FIRST, "SELECT nothing")
    assert mass(FIRST) == 1
    assert files.attached == 2


def test_a_table_of_the_request_is_never_kept(files: Files, workspaces: Workspaces) -> None:
    with RunData(files, workspaces=workspaces, reuses=True) as data:
        table = data.given("birds", Table.from_columns({"mass": [1.0]}))
    workspaces.tidy()
    with pytest.raises(duckdb.ConnectionException):
        table.query("SELECT 1")


def test_several_data_sets_cannot_share(files: Files, workspaces: Workspaces) -> None:
    def both() -> None:
        with RunData(files, workspaces=workspaces, reuses=True) as data:
            data.stored("birds", FIRST)
            data.stored("others", SECOND)

    with pytest.raises(AssertionError):
        both()
    workspaces.tidy()
    assert files.opened == 0


@pytest.mark.parametrize(("bytes_", "threads"), [(64 * MIB, 1), (64 * MIB, 2), (128 * MIB, 1)])
def test_one_that_was_made_ahead_has_the_size_that_is_wanted(workspaces: Workspaces, bytes_: int, threads: int) -> None:
    workspaces.give_back(workspaces.take(64 * MIB, 1))
    workspaces.renew()
    taken = workspaces.take(bytes_, threads)
    found = taken.connection.execute("SELECT current_setting('memory_limit'), current_setting('threads')").fetchone()
    assert found == (f"{bytes_ // MIB}.0 MiB", threads)
    workspaces.give_back(taken)


def test_one_that_is_made_ahead_has_the_last_run_s_data_and_nothing_else_of_it(
    files: Files, mass: Callable[..., int], workspaces: Workspaces
) -> None:
    mass(FIRST, "CREATE TEMP TABLE found AS SELECT 7", reuses=False)
    assert files.opened == 1
    workspaces.renew()
    assert mass(FIRST, "SELECT mass + (SELECT count(*) FROM duckdb_tables() WHERE temporary) FROM birds", False) == 1
    workspaces.renew()
    assert mass(FIRST) == 1  # one that is to be kept
    assert (files.attached, files.opened) == (1, 1)
    with pytest.raises(duckdb.Error):
        mass(FIRST, "SET threads = 8")


@pytest.mark.parametrize(
    ("reference", "name"), [(SECOND, "birds"), (FIRST, "others"), (SECOND, "others")], ids=["version", "name", "both"]
)
def test_no_run_has_data_that_was_attached_ahead_and_is_not_its_own(
    files: Files, mass: Callable[..., int], workspaces: Workspaces, reference: Reference, name: str
) -> None:
    mass(FIRST, reuses=False)
    workspaces.renew()
    sql = f"SELECT mass * 100 + (SELECT count(*) FROM duckdb_databases() WHERE NOT internal) FROM {name}"
    # The one in memory and its own; the other run's file is closed.
    assert mass(reference, sql, reuses=False, name=name) == int(reference.version[0]) * 100 + 2
    assert (files.attached, files.opened) == (2, 1)


def test_a_table_of_the_request_has_nothing_beside_it(
    files: Files, mass: Callable[..., int], workspaces: Workspaces
) -> None:
    mass(FIRST, reuses=False)
    workspaces.renew()
    with RunData(files, memory_bytes=64 * MIB, workspaces=workspaces) as data:
        table = data.given("birds", Table.from_columns({"mass": [5]}))
        assert table.query("SELECT mass FROM birds").fetchall() == [(5,)]
        assert table.query("SELECT count(*) FROM duckdb_databases() WHERE NOT internal").fetchall() == [(1,)]
    workspaces.tidy()
    assert files.opened == 0


@pytest.mark.parametrize("is_renewed", [False, True])
def test_what_was_attached_ahead_goes_when_it_is_not_used_or_not_wanted_or_all_is_closed(
    files: Files, mass: Callable[..., int], workspaces: Workspaces, is_renewed: bool
) -> None:
    def attached_ahead() -> None:
        mass(FIRST, reuses=False)
        if is_renewed:
            workspaces.renew()
        assert files.opened == 1

    attached_ahead()
    workspaces.tidy()  # after a run without data sets
    assert files.opened == 0
    attached_ahead()
    workspaces.close()
    assert files.opened == 0
    files.is_unwanted = True
    mass(FIRST, reuses=False)
    assert files.opened == 0


def test_several_data_sets_are_not_attached_ahead(files: Files, workspaces: Workspaces) -> None:
    with RunData(files, memory_bytes=64 * MIB, workspaces=workspaces) as data:
        data.stored("birds", FIRST)
        data.stored("others", SECOND)
    workspaces.tidy()
    workspaces.renew()
    assert files.opened == 0


def test_a_file_that_cannot_be_attached_ahead_is_the_next_run_s_to_open(
    files: Files, mass: Callable[..., int], workspaces: Workspaces
) -> None:
    mass(FIRST, reuses=False)
    (files.folder / f"{FIRST.version}.db").unlink()
    workspaces.renew()
    assert files.opened == 0
    assert mass(FIRST, reuses=False) == 1
    assert (files.attached, files.opened) == (2, 1)


def test_a_run_that_fails_has_nothing_attached_ahead(
    files: Files, mass: Callable[..., int], workspaces: Workspaces
) -> None:
    with pytest.raises(duckdb.Error):
        mass(FIRST, "SELECT nothing", reuses=False)
    workspaces.tidy()
    workspaces.renew()
    assert files.opened == 0


@pytest.mark.parametrize("error", [duckdb.OutOfMemoryException, MemoryError])
def test_one_that_cannot_be_cleared_is_not_kept(
    files: Files, mass: Callable[..., int], monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(_: Workspace) -> None:
        raise error("no memory")

    monkeypatch.setattr(Workspace, "clear", fail)
    assert [mass(FIRST), mass(FIRST)] == [1, 1]
    assert (files.attached, files.opened) == (2, 0)


def test_closing_lets_go_of_all(files: Files, mass: Callable[..., int], workspaces: Workspaces) -> None:
    mass(FIRST)
    workspaces.close()
    assert files.opened == 0
    assert mass(FIRST) == 1


def test_what_a_run_has_not_used_is_not_kept_beyond_it(
    files: Files, mass: Callable[..., int], workspaces: Workspaces
) -> None:
    mass(FIRST)
    assert files.opened == 1
    with RunData(files, workspaces=workspaces, reuses=False):
        pass  # of a process that takes no data set
    workspaces.tidy()
    assert files.opened == 0


def test_what_the_cache_wants_back_is_not_kept(files: Files, mass: Callable[..., int]) -> None:
    mass(FIRST)
    files.is_unwanted = True
    assert mass(FIRST) == 1
    assert (files.attached, files.opened) == (1, 0)


@pytest.mark.parametrize(("reuses", "is_renewed"), [(True, True), (False, False), (False, True)])
def test_between_runs_what_the_cache_wants_back_is_let_go_and_nothing_else(
    files: Files, mass: Callable[..., int], workspaces: Workspaces, reuses: bool, is_renewed: bool
) -> None:
    mass(FIRST, reuses=reuses)
    if is_renewed:
        workspaces.renew()
    workspaces.let_go_of_unwanted()
    assert files.opened == 1
    files.is_unwanted = True
    workspaces.let_go_of_unwanted()
    assert files.opened == 0


def test_processes_that_share_take_one_data_set_and_no_sql() -> None:
    registry = load_registry(Path("absent"))
    sharing = {one.id for one in registry.values() if is_reusing(one.function)}
    assert sharing == {
        "summary", "histogram", "scatter", "timeseries", "groupby", "correlation", "regression",
    }  # fmt: skip
    assert not is_reusing(functools.wraps(registry["groupby"].function)(lambda: None))
    for name in sharing:
        taken = [hint for hint in get_type_hints(registry[name].function).values() if "DataSet" in str(hint)]
        assert taken == [DataSet]
