"""Tables of database files, as runs have them."""

from pathlib import Path

import duckdb

from gristmill.processes.dataset import DataSet
from gristmill.processes.workspace import Workspace


def stored(folder: Path, statement: str) -> tuple[DataSet, Workspace]:
    """A table of a database file as a run has it."""
    file = folder / "version.db"
    with duckdb.connect(str(file)) as made:
        made.execute("SET TimeZone = 'UTC'")
        made.execute(f"CREATE TABLE data AS {statement}")
        ((rows,),) = made.execute("SELECT count(*) FROM data").fetchall()
    workspace = Workspace()
    columns = workspace.attach("table", file, "data")
    return DataSet(workspace.queries, "table", columns, rows, source=workspace.source("table")), workspace
