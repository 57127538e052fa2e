"""The lists of queries (columns, orders, metrics): however they are written, they are read in good time."""

import time
from contextlib import suppress

import pytest

from gristmill.datasets.columns import Column as StoredColumn
from gristmill.datasets.queries import Table
from gristmill.errors import InvalidRequestError


@pytest.mark.parametrize("start", ["", " ", "+", "a", '"a', '"a"', "count(", "count(a", 'mean("', "p90(a, 1"])
@pytest.mark.parametrize("many", [" ", '"', "+", "a", "1", ".", '""', "+ "])
@pytest.mark.parametrize("end", ["(", '"', ")", "\n(", "!,"])
@pytest.mark.parametrize("parameter", ["sortby", "properties", "groupby", "metrics"])
def test_no_list_takes_long_to_read(parameter: str, start: str, many: str, end: str) -> None:
    table, text = Table("data", "v1", [StoredColumn("a", "DOUBLE", 0, 0, 1)]), start + many * 7_000 + end
    started = time.process_time()

    with suppress(InvalidRequestError):
        match parameter:
            case "sortby":
                table.keys(text)
            case "properties":
                table.chosen(text)
            case "groupby":
                table.aggregate(groupby=text, limit=1)
            case _:
                table.metrics(text)

    assert time.process_time() - started < 1
