"""The process ``sql``: the answer of one SELECT over data sets."""

import importlib
import time
from typing import Annotated, NotRequired, TypedDict

from pydantic import BaseModel, Field

from gristmill.processes.authoring import MediaType, OnDemand, Progress, process
from gristmill.processes.charts import chart_of
from gristmill.processes.dataset import DataSet
from gristmill.processes.selects import select


class ResultColumn(BaseModel):
    """A column of the result: its name, and DuckDB's name of its type."""

    name: str
    type: str


class Answer(BaseModel):
    """What the query gave.

    Attributes:
        columns: The columns in order.
        rows: Number of rows in the table.
        cut: Whether the query gave more rows than the limit.
        seconds: How long the query took.
    """

    columns: list[ResultColumn]
    rows: int
    cut: bool
    seconds: float


class SqlOutputs(TypedDict):
    """Rows, and what they are.

    Attributes:
        table: The rows as CSV.
        sql: Columns with types, and how many rows there are.
        plot: The first number columns over the result's times, names or numbers; left out where there is no such.
        plot_svg: The same picture as vector graphics.
    """

    table: Annotated[str, MediaType("text/csv")]
    sql: Answer
    plot: NotRequired[Annotated[OnDemand[bytes], MediaType("image/png")]]
    plot_svg: NotRequired[Annotated[OnDemand[bytes], MediaType("image/svg+xml")]]


@process(title="SQL query", version="1", seconds=30, memory_mb=1024, disk_mb=1, keywords=("sql", "query", "table"))
def sql(
    query: Annotated[str, Field(min_length=1, max_length=100_000)],
    tables: dict[str, DataSet],
    limit: Annotated[int, Field(ge=1, le=1_000_000, description="Most rows of the result.")] = 10_000,
    *,
    progress: Progress,
) -> SqlOutputs:
    """Answer of a SQL query

    Runs one statement that reads, in DuckDB's SQL, over one or more data sets, each a table under its name in
    ``tables``. It can read nothing else: no files, no network, no settings.

    Args:
        query: One statement: SELECT, WITH ... SELECT, FROM, VALUES, PIVOT, DESCRIBE or SUMMARIZE.
        tables: The data sets, each under the name that it has in the query.
    """
    progress(5, "running the query")
    began = time.monotonic()
    result = select(tables, query, limit)
    seconds = time.monotonic() - began
    progress(70, "writing rows")
    columns = [ResultColumn(name=name, type=type_) for name, type_ in result.columns]
    answer = Answer(columns=columns, rows=result.rows, cut=result.is_cut, seconds=round(seconds, 6))
    outputs = SqlOutputs(table=result.csv(), sql=answer)
    if chart := chart_of(result):
        progress(80, "drawing")
        pictures = importlib.import_module(
            "gristmill.processes.pictures_query"
        )  # Matplotlib, which the API does without
        picture = pictures.draw(chart)
        outputs["plot"], outputs["plot_svg"] = picture.png, picture.svg
    return outputs
