"""The rows of a statement as a table of the five types that results have."""

from collections.abc import Sequence

import numpy as np

from gristmill.datasets.columns import kind_of
from gristmill.processes.column import Column
from gristmill.processes.dataset import DataSet, as_table_has_it
from gristmill.processes.exact import exactly, may_round
from gristmill.processes.table import Table
from gristmill.processes.workspace import DataColumn


def fetched(data: DataSet, sql: str, titles: Sequence[str]) -> Table:
    """Run a statement, and return its rows; titles: names of its columns.

    No value is rounded: decimals and whole numbers that neither a 64-bit integer nor a double says are text.
    """
    described = data.query(f"DESCRIBE {sql}").fetchall()
    names = [f"c{place}" for place in range(len(described))]
    inner = f"({sql}) AS found({', '.join(names)})"
    kinds, selected = [], []
    for name, (_, type_text, *_) in zip(names, described, strict=True):
        if may_round(type_text):
            kind, expression = exactly(data, name, type_text, inner)
        else:
            kind, expression = as_table_has_it(DataColumn(name, type_text, kind_of(type_text) or "nested"))
        kinds.append(kind)
        selected.append(f"{expression} AS {name}")
    arrays = data.query(f"SELECT {', '.join(selected)} FROM {inner}").fetchnumpy()
    return Table(
        Column.of_arrays(title, kind, np.ma.getdata(arrays[name]), ~np.ma.getmaskarray(arrays[name]))
        for title, name, kind in zip(titles, names, kinds, strict=True)
    )
