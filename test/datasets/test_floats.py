"""FLOATs: what rows show of them, against DuckDB, which writes the rows."""

import math

import duckdb
import numpy as np
import numpy.typing as npt
import pytest

from gristmill.datasets.floats import nearest, shown

RANDOM = np.random.default_rng(6)
COUNT = 20_000
ANY = RANDOM.integers(0, 2**31 - 2**23, COUNT, dtype=np.uint32).view("f4")


@pytest.mark.parametrize(
    "floats",
    [
        ANY,
        RANDOM.uniform(-1e6, 1e6, COUNT).round(3),
        RANDOM.integers(0, 2**31, COUNT),
        RANDOM.integers(0, 2**24, COUNT) / 2.0 ** RANDOM.integers(0, 24, COUNT),
        2.0 ** np.arange(-149, 128),
        np.arange(1, COUNT, dtype=np.uint32).view("f4"),
        [0.0, -0.0, math.inf, -math.inf, 3.4028234e38],
    ],
    ids=["any", "thousandths", "whole", "fractions", "powers of two", "the smallest", "ends"],
)
def test_a_float_is_shown_as_duckdb_writes_it(floats: npt.ArrayLike) -> None:
    given = {"f": np.asarray(floats).astype("f4")}
    with duckdb.connect() as connection:
        connection.register("given", given)
        rows = connection.execute("SELECT CAST(CAST(f AS VARCHAR) AS DOUBLE) FROM given").fetchall()

    assert list(map(shown, given["f"].tolist())) == [double for (double,) in rows]
    assert math.isnan(shown(math.nan))


def test_the_nearest_float_beyond_all_of_them_is_infinite() -> None:
    assert nearest(0.1) == np.float32(0.1)
    assert nearest(1e39) == nearest(math.inf) == -nearest(-1e300) == math.inf
