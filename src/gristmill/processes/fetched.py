"""The rows of a statement as a table of the five types that results have."""

from collections.abc import Sequence

import numpy as np

from gristmill.datasets.columns import kind_of
from gristmill.processes.column import Column
from gristmill.processes.dataset import DataSet, as_table_has_it
from gristmill.processes.table import Table
from gristmill.processes.workspace import DataColumn

_WIDE = frozenset(["HUGEINT", "UHUGEINT", "UBIGINT"])


def fetched(data: DataSet, sql: str, titles: Sequence[str]) -> Table:
    """Run a statement, and return its rows; titles: names of its columns.

    Whole numbers beyond 64 bits make their column one of doubles.
    """
    described = data.query(f"DESCRIBE {sql}").fetchall()
    names = [f"c{place}" for place in range(len(described))]
    inner = f"({sql}) AS found({', '.join(names)})"
    kinds, selected = [], []
    for name, (_, found_type, *_) in zip(names, described, strict=True):
        type_text = found_type
        if type_text in _WIDE:
            type_text = "BIGINT" if _fits(data, name, inner) else "DOUBLE"
        kind, expression = as_table_has_it(DataColumn(name, type_text, kind_of(type_text) or "nested"))
        kinds.append(kind)
        selected.append(f"{expression} AS {name}")
    arrays = data.query(f"SELECT {', '.join(selected)} FROM {inner}").fetchnumpy()
    return Table(
        Column.of_arrays(title, kind, np.ma.getdata(arrays[name]), ~np.ma.getmaskarray(arrays[name]))
        for title, name, kind in zip(titles, names, kinds, strict=True)
    )


def _fits(data: DataSet, name: str, inner: str) -> bool:
    fitting = f"bool_and({name} IS NULL OR TRY_CAST({name} AS BIGINT) IS NOT NULL)"
    ((fits,),) = data.query(f"SELECT {fitting} FROM {inner}").fetchall()
    return fits is not False
