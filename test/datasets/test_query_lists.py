"""The lists of queries (columns, orders, metrics): however they are written, they are read in good time."""

import itertools
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from gristmill.datasets.columns import Column as StoredColumn
from gristmill.datasets.queries import Table
from gristmill.errors import InvalidRequestError

TABLE = Table("data", "v1", [StoredColumn("a", "DOUBLE", 0, 0, 1)])
STARTS = ["", " ", "+", "a", '"a', '"a"', "count(", "count(a", 'mean("', "p90(a, 1"]
REPEATED = [" ", '"', "+", "a", "1", ".", '""', "+ "]
ENDS = ["(", '"', ")", "\n(", "!,"]


@pytest.mark.parametrize(
    "read",
    [TABLE.keys, TABLE.chosen, lambda text: TABLE.aggregate(groupby=text, limit=1), TABLE.metrics],
    ids=["sortby", "properties", "groupby", "metrics"],
)
def test_no_list_takes_long_to_read(read: Callable[[str], object]) -> None:
    # The shorter first: a pattern that goes back takes seconds for these, and for the longer ones for ever.
    for count, start, repeated, end in itertools.product([300, 7_000], STARTS, REPEATED, ENDS):
        text = start + count * repeated + end
        started = time.process_time()
        with suppress(InvalidRequestError):
            read(text)
        assert time.process_time() - started < 1, text[:20]
