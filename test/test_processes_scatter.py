"""The process ``scatter``: what it draws, counts and leaves out."""

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.runs import outputs_of

from gristmill.errors import InvalidInputsError
from gristmill.processes.drawing import BLUE, GREY
from gristmill.samples import penguins


def table_of(outputs: dict[str, Any]) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(outputs["table"]), keep_default_na=False)


def many(rows: int) -> dict[str, list[Any]]:
    random = np.random.default_rng(1)
    x = random.normal(size=rows)
    return {"x": x.tolist(), "y": (2 * x + random.normal(size=rows)).tolist(), "g": ["a", "b"] * (rows // 2)}


def is_picture(outputs: dict[str, Any], *texts: str) -> bool:
    svg = outputs["plot_svg"].decode()
    return bool(outputs["plot"].startswith(b"\x89PNG")) and all(f">{text}<" in svg for text in texts)


def test_a_group_whose_name_begins_with_an_underscore_is_named() -> None:
    assert is_picture(outputs_of("scatter", table={"x": [1, 2], "g": ["_a", "b"]}, x="x", y="x", color="g"), "_a", "b")


def test_few_rows_are_points_in_the_colours_of_their_groups() -> None:
    made = outputs_of("scatter", table=penguins(), x="bill_length_mm", y="bill_depth_mm", color="species")

    told = made["scatter"]
    frame = pd.read_csv(io.StringIO(penguins())).dropna(subset=["bill_length_mm", "bill_depth_mm"])
    assert (told["rows"], told["drawn"], told["missing"], told["is_density"]) == (344, 342, 2, False)
    assert told["colors"] == ["Adelie", "Gentoo", "Chinstrap"]
    assert told["x_range"] == [frame.bill_length_mm.min(), frame.bill_length_mm.max()]
    assert told["correlation"] == pytest.approx(frame.bill_length_mm.corr(frame.bill_depth_mm))
    points = table_of(made)
    assert list(points.columns) == ["bill_length_mm", "bill_depth_mm", "species"]
    assert points.species.value_counts().to_dict() == frame.species.value_counts().to_dict()
    assert is_picture(made, "bill_length_mm", "bill_depth_mm", "Adelie", "not shown: 2 rows without a value")


def test_many_rows_are_numbers_of_rows_in_cells() -> None:
    data = many(10_000)

    made = outputs_of("scatter", table=data, x="x", y="y")

    cells = table_of(made)
    assert made["scatter"]["is_density"]
    assert cells.rows.sum() == 10_000
    x, y = np.array(data["x"]), np.array(data["y"])
    for cell in cells.sample(20, random_state=1).itertuples():
        inside = (x >= cell.x_from) & (x < cell.x_to) & (y >= cell.y_from) & (y < cell.y_to)
        assert abs(int(inside.sum()) - cell.rows) <= 1  # the upper edge of the last cell is inside
    assert len(made["plot_svg"]) < 300_000
    assert is_picture(made, "rows", "x", "y")


def test_numbers_that_are_large_beside_their_differences_keep_their_cells_and_their_correlation() -> None:
    random = np.random.default_rng(1)
    x, y = random.normal(size=4000), 1e15 + np.round(random.normal(size=4000) * 100)
    y += np.round(x * 50)

    made = outputs_of("scatter", table={"x": x.tolist(), "y": y.tolist()}, x="x", y="y")

    cells = table_of(made)
    assert cells.y_from.nunique() > 20
    assert made["scatter"]["correlation"] == pytest.approx(np.corrcoef(x, y - 1e15)[0, 1], rel=1e-12)


def test_a_density_has_a_panel_for_each_colour() -> None:
    made = outputs_of("scatter", table=many(8000), x="x", y="y", color="g", points=100)

    cells = table_of(made)
    assert cells.groupby("color").rows.sum().to_dict() == {"a": 4000, "b": 4000}
    assert is_picture(made, "a", "b", "y against x, by g: 8,000 rows")


@pytest.mark.parametrize("color", [None, "g"])
def test_a_table_without_rows_is_said_to_have_none(color: str | None) -> None:
    empty = {"columns": [{"name": name, "type": kind} for name, kind in (("x", "number"), ("g", "string"))], "rows": []}

    assert is_picture(outputs_of("scatter", table=empty, x="x", y="x", color=color), "no rows")


@pytest.mark.parametrize("y", [[], [None], ["NaN", "Infinity"], [1e260]])
def test_nothing_to_draw_over_time_is_said(y: list[Any]) -> None:
    columns = [{"name": name, "type": kind} for name, kind in (("t", "datetime"), ("y", "number"))]

    made = outputs_of("scatter", table={"columns": columns, "rows": [["2024-01-01", one] for one in y]}, x="t", y="y")

    assert is_picture(made, "no rows")


def test_what_is_left_out_is_said_with_its_reason() -> None:
    times = ["2024-01-01", "9999-12-31", "0001-01-01", None, "2024-01-01", "2024-01-01"]
    y = [1, 1, "NaN", 1, "Infinity", 1e260]

    made = outputs_of("scatter", table=[{"t": t, "y": one} for t, one in zip(times, y, strict=True)], x="t", y="y")

    told = made["scatter"]
    assert (told["drawn"], told["missing"], told["not_finite"]) == (1, 1, 4)
    reasons = "2 rows before 0001-01-08 or after 9999-12-30, 1 row not finite, 1 row beyond 1e250"
    assert is_picture(made, f"not shown: 1 row without a value, {reasons}")


def test_rare_values_share_a_colour() -> None:
    groups = [f"g{number:02}" for number in range(12) for _ in range(20 - number)]
    table = {"x": list(range(len(groups))), "y": list(range(len(groups))), "g": groups}

    made = outputs_of("scatter", table=table, x="x", y="y", color="g")

    assert made["scatter"]["colors"] == [*(f"g0{number}" for number in range(7)), "(others)"]
    assert (table_of(made).g == "(others)").sum() == sum(20 - number for number in range(7, 12))


def test_a_missing_value_and_what_is_called_like_it_are_told_apart() -> None:
    made = outputs_of(
        "scatter", table={"x": [1, 2, 3, 4], "g": [None, "(none)", None, "(others)"]}, x="x", y="x", color="g"
    )

    assert made["scatter"]["colors"] == ["((none))", "(none)", "(others)"]
    assert table_of(made).g.tolist() == ["((none))", "(none)", "((none))", "(others)"]
    assert is_picture(made, "((none))", "(none)")


def test_rare_values_are_not_one_with_a_value_that_is_called_like_them() -> None:
    groups = ["(others)"] * 5 + [f"g{number}" for number in range(8)] * 3 + [None]

    made = outputs_of("scatter", table={"x": list(range(len(groups))), "g": groups}, x="x", y="x", color="g")

    assert made["scatter"]["colors"] == ["(others)", *(f"g{number}" for number in range(6)), "((others))"]
    assert (table_of(made).g == "((others))").sum() == 3 + 3 + 1


def test_the_others_are_drawn_below_the_named_values() -> None:
    groups = [f"g{number}" for number in range(9)]

    svg = outputs_of("scatter", table={"x": list(range(9)), "g": groups}, x="x", y="x", color="g")["plot_svg"].decode()

    assert svg.index(f"fill: {GREY.lower()}; fill-opacity: 0.8") < svg.index(f"fill: {BLUE.lower()}; fill-opacity: 0.8")
    assert svg.index(">g6<") < svg.index(">(others)<")


def test_times_stand_along_the_axis() -> None:
    made = outputs_of(
        "scatter", table={"t": ["2024-01-01", "2024-03-01T12:00:00Z", None], "y": [1, 2, 3]}, x="t", y="y"
    )

    assert made["scatter"]["x_range"] == ["2024-01-01T00:00:00.000000Z", "2024-03-01T12:00:00.000000Z"]
    assert table_of(made).t.tolist() == ["2024-01-01T00:00:00.000000Z", "2024-03-01T12:00:00.000000Z"]


@pytest.mark.parametrize(
    ("x", "y", "drawn"),
    [
        ([], [], 0),
        ([1], [2], 1),
        ([1, 1, 1], [2, 2, 2], 3),
        ([None, "NaN", "Infinity", 1], [1, 1, 1, "NaN"], 0),
        ([1e300, 5], [2, 5], 1),
        ([1e200, -1e200], [1e-300, 5e-324], 2),
        ([2**62, 2**62 + 1024], [0, 1], 2),
    ],
)
@pytest.mark.parametrize("points", [1, 3000])
def test_any_two_columns_are_drawn_and_what_is_left_out_is_counted(
    x: list[Any], y: list[Any], drawn: int, points: int
) -> None:
    columns = [{"name": "x $a_b$", "type": "number"}, {"name": "y", "type": "number"}]
    table = {"columns": columns, "rows": [list(row) for row in zip(x, y, strict=True)]}

    made = outputs_of("scatter", table=table, x="x $a_b$", y="y", points=points)

    told = made["scatter"]
    assert told["drawn"] == drawn
    assert told["drawn"] + told["missing"] + told["not_finite"] == told["rows"] == len(x)
    assert is_picture(made)


@pytest.mark.parametrize(
    ("inputs", "pointer", "said"),
    [
        ({"x": "z"}, "/inputs/x", "the columns are: x, y, g"),
        ({"x": "g"}, "/inputs/x", "numbers, dates or timestamps"),
        ({"y": "g"}, "/inputs/y", "must be one of numbers"),
        ({"color": "z"}, "/inputs/color", "not a column"),
    ],
)
def test_a_wrong_column_is_named(inputs: dict[str, str], pointer: str, said: str) -> None:
    with pytest.raises(InvalidInputsError) as caught:
        outputs_of("scatter", **({"table": many(4), "x": "x", "y": "y"} | inputs))

    assert caught.value.faults[0].pointer == pointer
    assert said in caught.value.faults[0].detail
