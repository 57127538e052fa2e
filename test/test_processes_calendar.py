"""Times that arrays and pictures have no room for: infinities, and years before 1 and after 9999."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.stored import stored

from gristmill.processes.authoring import Progress
from gristmill.processes.dataset import DataSet
from gristmill.processes.histogram import histogram
from gristmill.processes.scatter import scatter
from gristmill.processes.summary import summary

TYPES = ["DATE", "TIMESTAMP", "TIMESTAMPTZ"]
TIMES = ["infinity", "-infinity", "0044-03-15 (BC)", "290000-01-01", None, "2020-01-01", "2020-01-03"]


@pytest.fixture(params=TYPES)
def dated(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DataSet]:
    """Seven rows, of which two have times in the years 1 to 9999."""
    cells = ", ".join(
        f"({number}, {'NULL' if time is None else repr(time)}::{request.param})" for number, time in enumerate(TIMES)
    )
    data, workspace = stored(tmp_path, f"SELECT * FROM (VALUES {cells}) v(n, t)")
    yield data
    workspace.close()


def test_a_summary_counts_times_beyond_the_calendar_and_leaves_them_out(dated: DataSet) -> None:
    described = summary(dated, progress=Progress())["columns"][1]

    assert (described.nulls, described.not_finite, described.distinct) == (1, 4, 6)
    assert (described.minimum, described.mean, described.maximum) == tuple(
        f"2020-01-0{day}T00:00:00.000000Z" for day in (1, 2, 3)
    )
    assert described.histogram is not None
    assert sum(described.histogram.counts) == 2


def test_a_histogram_counts_times_beyond_the_calendar_and_leaves_them_out(dated: DataSet) -> None:
    outputs = histogram(dated, "t", progress=Progress())

    counted = outputs["histogram"]
    assert (sum(counted.counts), counted.nulls, counted.not_finite, counted.outside) == (2, 1, 4, 0)
    assert "1 row without a value, 4 not finite" in outputs["plot_svg"]().decode()


@pytest.mark.parametrize("points", [1, 3000])
def test_a_scatter_counts_times_beyond_the_calendar_and_leaves_them_out(dated: DataSet, points: int) -> None:
    told = scatter(dated, "t", "n", points=points, progress=Progress())["scatter"]

    assert (told.drawn, told.missing, told.not_finite) == (2, 1, 4)
    assert told.x_range == ["2020-01-01T00:00:00.000000Z", "2020-01-03T00:00:00.000000Z"]
