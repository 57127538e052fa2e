"""Files are read in children; whatever happens to one, the caller hears why and nothing remains."""

import contextlib
import dataclasses
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import wait_until
from support.leaving import client_that_leaves
from support.tables import LIMITS, rows_of

from gristmill.datasets.options import ReadingLimits, ReadingOptions
from gristmill.datasets.reading import Readings
from gristmill.errors import (
    BusyError,
    ClientGoneError,
    GristmillError,
    InvalidRequestError,
    MalformedDataError,
    ReadingFailedError,
    TooLargeError,
)
from gristmill.limits import children_of
from gristmill.settings import Settings

CSV = ReadingOptions("csv")
quick = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Place:
    """A folder of readings, and the files around it."""

    def __init__(self, folder: Path, **limits: Any) -> None:
        self.work = folder / "work"
        self.source = folder / "source"
        self.target = folder / "table"
        self.work.mkdir()
        self.readings = Readings(dataclasses.replace(LIMITS, **limits), most=2, folder=self.work)

    def read(self, data: bytes | None, options: ReadingOptions = CSV, target: Path | None = None) -> Any:
        if data is not None:
            self.source.write_bytes(data)
        return self.readings.read(self.source, target or self.target, options)

    @property
    def leftovers(self) -> list[str]:
        tables = self.target.parent.glob(f"{self.target.name}*")
        return [path.name for path in (*self.work.iterdir(), *tables) if not path.name.startswith("gristmill-tasks-")]

    def children(self) -> list[int]:
        templates = [pid for pid in children_of(os.getpid()) if b"gristmill.template" in _command(pid)]
        return [child for template in templates for child in children_of(template)]


def _command(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


@pytest.fixture
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    made = Place(tmp_path, **getattr(request, "param", {}))
    yield made
    made.readings.close()


def slow_csv(path: Path) -> None:
    """A file that takes seconds to read: a misfit at its end makes each of many columns be looked at again."""
    row = ",".join(["2024-01-01T00:00:00Z"] * 40) + "\n"
    with path.open("w") as file:
        file.write(",".join(f"c{at}" for at in range(40)) + "\n")
        for _ in range(60):
            file.write(row * 1000)
        file.write(",".join(["x"] * 40) + "\n")


def in_thread(place: Place, outcome: list[Any]) -> threading.Thread:
    def run() -> None:
        try:
            # A target of its own: one that fails removes it.
            outcome.append(place.read(None, target=place.target.with_name(f"table-{threading.get_ident()}")))
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_file_is_read_and_nothing_but_the_table_remains(place: Place) -> None:
    facts = place.read(b"a,b\n1,x\n")
    assert (facts.rows, [column.name for column in facts.columns]) == (1, ["a", "b"])
    assert rows_of(place.target) == [(1, "x")]
    assert place.leftovers == ["table"]


@pytest.mark.parametrize(
    ("data", "options", "error"),
    [
        (b"a,b\n1\n", CSV, MalformedDataError),
        (b"a\n1\n", ReadingOptions("csv", types={"b": "DATE"}), InvalidRequestError),
        (b",".join([b"a"] * 60) + b"\n", CSV, TooLargeError),
    ],
)
def test_what_is_wrong_with_a_file_is_told_as_by_the_reader_itself(
    place: Place, data: bytes, options: ReadingOptions, error: type[GristmillError]
) -> None:
    with pytest.raises(error) as caught:
        place.read(data, options)
    assert type(caught.value) is error
    assert len(caught.value.faults) == (error is InvalidRequestError)
    assert place.leftovers == []


@pytest.mark.parametrize(
    ("number", "error", "text"),
    [(signal.SIGKILL, BusyError, "Send the upload again"), (signal.SIGSEGV, ReadingFailedError, "SIGSEGV")],
)
def test_a_child_that_dies_is_an_error_with_its_cause_and_the_next_file_is_read(
    place: Place, number: int, error: type[GristmillError], text: str
) -> None:
    slow_csv(place.source)
    outcome: list[Any] = []
    thread = in_thread(place, outcome)
    wait_until(lambda: place.children() or outcome)
    os.kill(place.children()[0], number)
    thread.join(20)
    assert isinstance(outcome[0], error)
    assert text in outcome[0].detail
    assert place.leftovers == []
    assert place.read(b"a\n1\n").rows == 1


def test_the_death_of_the_template_is_an_error_and_the_next_file_is_read(place: Place) -> None:
    slow_csv(place.source)
    outcome: list[Any] = []
    thread = in_thread(place, outcome)
    wait_until(lambda: place.children() or outcome)
    child = place.children()[0]
    template = next(pid for pid in children_of(os.getpid()) if child in children_of(pid))
    os.kill(template, signal.SIGKILL)
    thread.join(20)
    assert isinstance(outcome[0], BusyError)
    wait_until(lambda: not Path(f"/proc/{child}").exists() or _command(child) == b"")
    assert place.leftovers == []
    assert place.read(b"a\n1\n").rows == 1


@pytest.mark.parametrize("place", [{"seconds": 0.3}], indirect=True)
def test_a_file_that_takes_too_long_is_given_up_and_its_child_killed(place: Place) -> None:
    slow_csv(place.source)
    with pytest.raises(ReadingFailedError, match="GRISTMILL_DATASET_READING_SECONDS"):
        place.read(None)
    assert place.children() == []
    assert place.leftovers == []


def test_a_file_that_nobody_waits_for_any_more_is_given_up_and_its_child_killed(place: Place) -> None:
    slow_csv(place.source)
    with client_that_leaves(0.3), pytest.raises(ClientGoneError):
        place.read(None)
    assert place.children() == []
    assert place.leftovers == []
    assert place.read(b"a\n1\n").rows == 1


def test_who_waits_for_a_place_leaves_the_queue_with_the_client(place: Place) -> None:
    slow_csv(place.source)
    outcome: list[Any] = []
    threads = [in_thread(place, outcome) for _ in range(2)]
    wait_until(lambda: len(place.children()) == 2 or outcome)
    with client_that_leaves(0.1), pytest.raises(ClientGoneError):
        place.read(None)
    for child in place.children():
        os.kill(child, signal.SIGKILL)
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("place", [{"memory_bytes": 40 * 2**20}], indirect=True)
def test_a_file_that_takes_too_much_memory_is_refused(place: Place) -> None:
    slow_csv(place.source)
    with pytest.raises(ReadingFailedError, match="GRISTMILL_DATASET_READING_MEMORY_MB"):
        place.read(None)
    assert place.leftovers == []


@pytest.mark.parametrize("place", [{"stored_bytes": 10_000}], indirect=True)
def test_a_table_that_takes_too_much_disk_is_refused(place: Place) -> None:
    with pytest.raises(TooLargeError, match="GRISTMILL_DATASET_STORED_BYTES"):
        place.read(b"a\n" + b"".join(os.urandom(20).hex().encode() + b"\n" for _ in range(2000)))
    assert place.leftovers == []


@pytest.mark.parametrize("place", [{"stored_bytes": 10_000}], indirect=True)
def test_what_is_written_is_stopped_at_the_limit_while_it_is_written(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gristmill.datasets.reading.COPY_GROWTH", 0)
    with pytest.raises(TooLargeError, match="GRISTMILL_DATASET_STORED_BYTES"):
        place.read(b"a\n" + b"".join(os.urandom(20).hex().encode() + b"\n" for _ in range(99_000)))
    assert place.leftovers == []


def test_more_readings_than_there_are_places_wait_and_are_sent_away(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gristmill.datasets.reading.PLACE_SECONDS", 0.2)
    slow_csv(place.source)
    outcome: list[Any] = []
    threads = [in_thread(place, outcome) for _ in range(2)]
    wait_until(lambda: len(place.children()) == 2 or outcome)
    with pytest.raises(BusyError, match="GRISTMILL_DATASET_READINGS") as caught:
        place.read(None)
    assert caught.value.retry_after_seconds
    monkeypatch.setattr("gristmill.datasets.reading.PLACE_SECONDS", 20)
    place.source.unlink()
    place.source.write_bytes(b"a\n1\n")
    threads.append(in_thread(place, outcome))
    for child in place.children():
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    for thread in threads:
        thread.join(20)
    assert any(getattr(one, "rows", 0) == 1 for one in outcome), outcome


def test_closing_ends_all_children(place: Place) -> None:
    slow_csv(place.source)
    outcome: list[Any] = []
    thread = in_thread(place, outcome)
    wait_until(lambda: place.children() or outcome)
    place.readings.close()
    thread.join(20)
    assert isinstance(outcome[0], BusyError)
    assert place.children() == []
    assert list(place.work.iterdir()) == []


def test_the_limits_of_the_settings_suffice_for_a_file(tmp_path: Path) -> None:
    readings = Readings.of(Settings())
    (tmp_path / "source").write_bytes(b"a\n1\n")
    assert readings.read(tmp_path / "source", tmp_path / "table", CSV).rows == 1
    readings.close()


# Files made to do harm: the caller gets a table or an error of ours, within the time limit


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("shared"), seconds=10)
    yield made
    made.readings.close()


def check(place: Place, data: bytes, options: ReadingOptions) -> None:
    said = ""
    try:
        place.read(data, options)
        place.target.unlink()
    except ReadingFailedError as error:
        said = error.detail
    except GristmillError:
        pass
    assert "with code" not in said, "an exception that the reader does not know; a crash of DuckDB is a signal"
    assert place.leftovers == []


@pytest.fixture(scope="module")
def good_parquet(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("good") / "good"
    with duckdb.connect() as connection:
        connection.execute(
            "COPY (SELECT i, i::VARCHAR || 'x' AS t, [i, 2] AS l, {'a': i, 'b': 'y'} AS s, i::DOUBLE AS d "
            f"FROM range(3000) t(i)) TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE 2048)"
        )
    return path.read_bytes()


@pytest.mark.slow
@quick
@given(st.data())
def test_a_parquet_file_with_wrong_bytes_anywhere_never_takes_the_caller_along(
    shared: Place, good_parquet: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(good_parquet)
    footer = len(damaged) - 8 - int.from_bytes(damaged[-8:-4], "little")
    for _ in range(data.draw(st.integers(1, 8))):
        first = data.draw(st.sampled_from([0, footer]))
        damaged[data.draw(st.integers(first, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(damaged))) if data.draw(st.integers(0, 9)) == 0 else len(damaged)
    check(shared, bytes(damaged[:end]), ReadingOptions("parquet"))


CSV_PARTS = [b"a", b"1", b",", b'"', b'""', b"\n", b"\r\n", b"\r", b";", b"\t", b" ", b"\\", b"#", b"\xef\xbb\xbf"]
CSV_PARTS += [b"\xff\xfe", b"\xff", b"\xc3\xa9", b"\0", b"2024-01-01", b"'", b"-", b"x" * 3000]
JSON_PARTS = [
    b"{",
    b"}",
    b"[",
    b"]",
    b'"a"',
    b":",
    b",",
    b"1",
    b"\n",
    b"null",
    b'"\\ud800"',
    b"1e999",
    b"-",
    b"[" * 200,
]
JSON_PARTS += [b'{"a":1}', b'{"b":"x"}', b"NaN", b"\xff", b'{"a":[1,{"c":2}]}']


@pytest.mark.slow
@quick
@given(st.lists(st.sampled_from(CSV_PARTS), max_size=40), st.sampled_from(["csv", "tsv", "csv-no-header", "latin-1"]))
def test_no_csv_hangs_or_crashes(shared: Place, parts: list[bytes], way: str) -> None:
    options = {
        "csv": CSV,
        "tsv": ReadingOptions("tsv"),
        "csv-no-header": ReadingOptions("csv", header=False),
        "latin-1": ReadingOptions("csv", encoding="latin-1", quote=""),
    }
    check(shared, b"".join(parts), options[way])


@pytest.mark.slow
@quick
@given(st.lists(st.sampled_from(JSON_PARTS), max_size=30), st.sampled_from(["json", "ndjson"]))
def test_no_json_hangs_or_crashes(shared: Place, parts: list[bytes], form: Any) -> None:
    check(shared, b"".join(parts), ReadingOptions(form))


def test_limits_are_passed_on_whole() -> None:
    assert {field.name for field in dataclasses.fields(ReadingLimits)} == set(dataclasses.asdict(LIMITS))
