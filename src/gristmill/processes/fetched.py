"""The rows of a statement as a table of the five types that results have."""

from collections.abc import Sequence

import numpy as np

from gristmill.datasets.columns import kind_of
from gristmill.datasets.mapping import csv_of
from gristmill.processes.column import Column, Kind
from gristmill.processes.dataset import DataSet, as_table_has_it
from gristmill.processes.exact import exactly, may_round
from gristmill.processes.table import Table
from gristmill.processes.workspace import DataColumn

_AS_THEY_ARE = frozenset(["boolean", "integer", "number"])


def fetched(data: DataSet, sql: str, titles: Sequence[str]) -> Table:
    """Run a statement, and return its rows; titles: names of its columns.

    No value is rounded: decimals and whole numbers that neither a 64-bit integer nor a double says are text. Dates,
    times and all else are the texts that the data set's rows have as CSV, so that both can be joined.
    """
    described = data.query(f"DESCRIBE {sql}").fetchall()
    names = [f"c{place}" for place in range(len(described))]
    inner = f"({sql}) AS found({', '.join(names)})"
    kinds, selected = [], []
    for name, (_, type_text, *_) in zip(names, described, strict=True):
        if may_round(type_text):
            kind, expression = exactly(data, name, type_text, inner)
        else:
            kind, expression = _as_csv_has_it(name, type_text)
        kinds.append(kind)
        selected.append(f"{expression} AS {name}")
    arrays = data.query(f"SELECT {', '.join(selected)} FROM {inner}").fetchnumpy()
    return Table(
        Column.of_arrays(title, kind, np.ma.getdata(arrays[name]), ~np.ma.getmaskarray(arrays[name]))
        for title, name, kind in zip(titles, names, kinds, strict=True)
    )


def _as_csv_has_it(name: str, type_text: str) -> tuple[Kind, str]:
    kind = kind_of(type_text)
    if kind in _AS_THEY_ARE:
        return as_table_has_it(DataColumn(name, type_text, kind))
    return "string", f"CAST({csv_of(name, type_text)} AS VARCHAR)"
