"""The process ``timeseries``: periods, aggregates, groups and gaps, against pandas."""

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.runs import outputs_of

from gristmill.errors import InvalidInputsError

RULES = {"minute": "min", "hour": "h", "day": "D", "week": "W-MON", "month": "MS", "quarter": "QS", "year": "YS"}
AGGREGATES = {"mean": "mean", "sum": "sum", "minimum": "min", "maximum": "max", "median": "median", "count": "count"}


def measured(rows: int = 500) -> pd.DataFrame:
    random = np.random.default_rng(7)
    seconds = np.sort(random.integers(0, 86_400 * 300, rows))
    return pd.DataFrame(
        {
            "t": pd.Timestamp("2023-11-15", tz="UTC") + pd.to_timedelta(seconds, unit="s"),
            "v": random.normal(size=rows).round(6),
            "w": random.integers(0, 9, rows),
            "g": random.choice(["x", "y", "z"], rows, p=[0.6, 0.3, 0.1]),
        }
    )


def given(frame: pd.DataFrame) -> dict[str, list[Any]]:
    return {name: [str(one) if name == "t" else one for one in frame[name].tolist()] for name in frame}


def table_of(outputs: dict[str, Any]) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(outputs["table"]), parse_dates=["t"])


@pytest.mark.parametrize("period", ["hour", "day", "week", "month", "quarter", "year"])
def test_the_mean_of_each_period_is_that_of_pandas(period: str) -> None:
    frame = measured()

    made = table_of(outputs_of("timeseries", table=given(frame), time="t", values=["v", "w"], resample=period))

    wanted = frame.set_index("t")[["v", "w"]].resample(RULES[period], label="left", closed="left").mean()
    np.testing.assert_allclose(made["mean(v)"], wanted.v, equal_nan=True)
    np.testing.assert_allclose(made["mean(w)"], wanted.w, equal_nan=True)
    assert made.t.tolist() == wanted.index.tolist()
    assert made.rows.sum() == len(frame)


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_each_aggregate_is_that_of_pandas(aggregate: str) -> None:
    frame = measured()

    made = outputs_of("timeseries", table=given(frame), time="t", values=["v"], resample="month", aggregate=aggregate)

    wanted = frame.set_index("t").v.resample("MS").agg(AGGREGATES[aggregate])
    np.testing.assert_allclose(table_of(made)[f"{aggregate}(v)"], wanted)
    assert f">{aggregate} of v<" in made["plot_svg"].decode()


@pytest.mark.parametrize(("aggregate", "cell"), [("sum", str(2**63)), ("minimum", 1.0), ("maximum", 2**63 - 1)])
def test_values_that_a_floating_point_number_would_round_are_written_exactly(aggregate: Any, cell: Any) -> None:
    data = {"t": ["2024-01-01"] * 2, "v": [2**63 - 1, 1]}
    found = outputs_of("timeseries", table=data, time="t", values=["v"], aggregate=aggregate)

    assert found["table"].decode().split()[1].split(",")[1] == str(cell)


def test_groups_are_lines_of_their_own() -> None:
    frame = measured()

    made = outputs_of("timeseries", table=given(frame), time="t", values=["v"], resample="month", by="g")

    wanted = frame.groupby([frame.t.dt.tz_localize(None).dt.to_period("M"), "g"]).v.mean()
    found = table_of(made)
    found["m"] = found.t.dt.tz_localize(None).dt.to_period("M")
    found = found.set_index(["m", "g"])["mean(v)"]
    assert made["timeseries"]["groups"] == ["x", "y", "z"]
    for place, value in wanted.items():
        assert found[place] == pytest.approx(value)
    assert all(f">{name}<" in made["plot_svg"].decode() for name in "xyz")


def test_small_groups_are_taken_together() -> None:
    groups = [f"g{number:02}" for number in range(12) for _ in range(20 - number)]
    table = {"t": ["2024-01-01"] * len(groups), "v": [1] * len(groups), "g": groups}

    made = outputs_of("timeseries", table=table, time="t", values=["v"], by="g", aggregate="count")

    assert made["timeseries"]["groups"] == [*(f"g0{number}" for number in range(7)), "(others)"]
    assert table_of(made).set_index("g")["count(v)"]["(others)"] == sum(20 - number for number in range(7, 12))


def test_a_missing_group_and_what_is_called_like_it_are_told_apart() -> None:
    groups = [None, "(none)", None, "(others)", *(f"g{number}" for number in range(8))]
    table = {"v": ["2024-01-01"] * 12, "g": groups, "w": [1] * 12}

    made = outputs_of("timeseries", table=table, time="v", values=["w"], by="g", aggregate="count")

    named = ["((none))", "(none)", "(others)", *(f"g{number}" for number in range(4)), "((others))"]
    assert made["timeseries"]["groups"] == named
    counts = pd.read_csv(io.BytesIO(made["table"])).set_index("g")["count(w)"].to_dict()
    assert counts == dict.fromkeys(named, 1) | {"((none))": 2, "((others))": 4}


def test_a_period_without_rows_is_there_and_empty() -> None:
    table = {"t": ["2024-01-01", "2024-01-02", "2024-01-05", None], "v": [1, "NaN", 3, 4]}

    made = outputs_of("timeseries", table=table, time="t", values=["v"], resample="day")

    told = made["timeseries"]
    assert (told["periods"], told["empty"], told["without_time"], told["rows"]) == (5, 2, 1, 4)
    assert (told["first"], told["last"]) == ("2024-01-01T00:00:00Z", "2024-01-05T00:00:00Z")
    assert told["columns"] == [{"column": "v", "unit": "", "values": 2, "missing": 0, "not_finite": 1}]
    assert table_of(made).rows.tolist() == [1, 1, 0, 0, 1]
    assert table_of(made)["mean(v)"].tolist()[0::4] == [1, 3]
    assert "not shown: 1 row without t, 1 value not finite" in made["plot_svg"].decode()


def test_what_is_left_out_is_said_with_its_reason() -> None:
    times = ["2024-01-01", "2024-01-02", "9999-12-31", "0001-01-01", None]

    made = outputs_of("timeseries", table={"t": times, "v": [1, None, 1, 1, 1]}, time="t", values=["v"])

    told = made["timeseries"]
    assert (told["without_time"], told["out_of_range"]) == (1, 2)
    said = "not shown: 1 row without t, 2 rows before 0001-01-08 or after 9999-12-30, 1 value missing"
    assert said in made["plot_svg"].decode()
    assert ">By day: 2 rows<" in made["plot_svg"].decode()


def test_a_panel_without_values_says_so() -> None:
    columns = [{"name": name, "type": kind} for name, kind in (("t", "datetime"), ("v", "number"), ("w", "number"))]
    table = {"columns": columns, "rows": [["2024-01-01", 1, None], ["2024-01-02", 2, "NaN"]]}

    svg = outputs_of("timeseries", table=table, time="t", values=["w", "v"])["plot_svg"].decode()

    assert svg.count(">no values<") == 1
    assert ">02<" in svg or ">Jan-02<" in svg or ">2024-Jan-02<" in svg


def test_a_table_without_rows_is_said_to_have_none() -> None:
    columns = [{"name": name, "type": kind} for name, kind in (("t", "datetime"), ("v", "number"))]

    made = outputs_of("timeseries", table={"columns": columns, "rows": []}, time="t", values=["v"])

    assert ">no rows<" in made["plot_svg"].decode()


def test_the_axis_does_not_say_utc_of_times_without_a_zone() -> None:
    table = {"t": ["2024-01-01T00:00", "2024-01-01T05:00"], "v": [1, 2]}

    made = outputs_of("timeseries", table=table, time="t", values=["v"], resample="hour")

    assert "UTC" not in made["plot_svg"].decode()


@pytest.mark.parametrize(
    ("last", "period"),
    [("2024-01-01T05:00:00", "minute"), ("2024-01-10T06:00:00", "hour"), ("2025-01-01", "day"), ("2030-01-01", "week"),
     ("2050-01-01", "month"), ("2100-01-01", "quarter"), ("2600-01-01", "year"), ("2024-01-01", "day"),
     ("2024-01-10", "day"), ("2024-01-01T00:01:00", "minute")],
)  # fmt: skip
def test_auto_chooses_a_period_that_gives_some_hundred(last: str, period: str) -> None:
    made = outputs_of("timeseries", table={"t": ["2024-01-01", last], "v": [1, 2]}, time="t", values=["v"])

    assert made["timeseries"]["period"] == period


def test_a_group_whose_name_begins_with_an_underscore_is_named() -> None:
    table = {"t": ["2024-01-01", "2024-01-02"], "v": [1, 2], "g": ["_a", "b"]}

    svg = outputs_of("timeseries", table=table, time="t", values=["v"], by="g")["plot_svg"].decode()

    assert ">_a<" in svg
    assert ">b<" in svg


@pytest.mark.parametrize(
    "times",
    [
        [],
        [None],
        ["0001-01-01", "9999-12-31T23:59:59"],
        ["0001-01-08", "9999-12-30"],
        ["2024-02-01", "9999-01-01"],
        ["0001-02-01", "2024-01-01"],
        ["2024-01-01"],
    ],
)
def test_any_times_make_a_picture(times: list[Any]) -> None:
    columns = [{"name": "t", "type": "datetime"}, {"name": "v", "type": "number"}]
    table = {"columns": columns, "rows": [[time, 1e300] for time in times]}

    made = outputs_of("timeseries", table=table, time="t", values=["v"])

    assert made["plot"].startswith(b"\x89PNG")
    assert made["timeseries"]["rows"] == len(times)


@pytest.mark.parametrize(
    ("inputs", "pointer", "said"),
    [
        ({"time": "v"}, "/inputs/time", "type number; columns of dates or timestamps are: t"),
        ({"time": "g"}, "/inputs/time", "timestamps (written 2024-02-29 or 2024-02-29T10:00:00) are: t"),
        ({"values": ["g"]}, "/inputs/values", "columns of numbers are: v, w"),
        ({"values": ["q"]}, "/inputs/values", "not a column"),
        ({"values": ["v", "v"]}, "/inputs/values", "has a column twice"),
        ({"by": "q"}, "/inputs/by", "not a column"),
        ({"resample": "minute"}, "/inputs/resample", "choose a longer one, such as day"),
    ],
)
def test_what_cannot_be_drawn_is_a_fault_of_the_input(inputs: dict[str, Any], pointer: str, said: str) -> None:
    with pytest.raises(InvalidInputsError) as caught:
        outputs_of("timeseries", **({"table": given(measured()), "time": "t", "values": ["v"]} | inputs))

    assert caught.value.faults[0].pointer == pointer
    assert said in caught.value.faults[0].detail


def test_a_time_column_may_be_called_as_the_values_would_be() -> None:
    made = outputs_of("timeseries", table={"mean(v)": ["2024-01-01"], "v": [2]}, time="mean(v)", values=["v"])

    assert made["table"].decode().splitlines()[0] == "mean(v),mean(v) (values),rows"
