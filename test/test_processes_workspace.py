"""What statements of a run can reach once its workspace is locked: the data sets that it was given, and nothing else.

The statements here are run as they are: what the process ``sql`` refuses before is refused here a second time.
"""

import hashlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from gristmill.datasets.cache import Cache
from gristmill.datasets.nameless import nameless
from gristmill.limits import IS_LINUX
from gristmill.processes.table import Table
from gristmill.processes.workspace import Workspace

SECRET = "the words of another user"


@dataclass
class Attacked:
    """A locked workspace, and what it must keep to itself."""

    workspace: Workspace
    folder: Path
    mine: Path
    other: Path

    def ask(self, statement: str) -> list[Any]:
        return self.workspace.connection.execute(statement).fetchall()

    def state(self) -> dict[str, str]:
        """Every file of the folder, with its content's hash."""
        return {
            str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            for path in sorted(self.folder.rglob("*"))
        }

    def secrets(self) -> list[str]:
        """What no answer may hold."""
        names = ["HOME", "PATH", "GRISTMILL_SECRET"]
        return [SECRET, str(self.folder), "root:x:", *(value for name in names if len(value := os.environ[name]) > 1)]

    def try_hard(self, statement: str) -> str:
        """The statement's answer, or its error, as text."""
        try:
            return str(self.ask(statement))
        except (duckdb.Error, RuntimeError) as error:
            return str(error).replace(statement, "")


def _database(path: Path, text: str) -> Path:
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE data AS SELECT i AS x, ? AS words FROM range(3) t(i)", [text])
    return path


@pytest.fixture
def attacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Attacked]:
    monkeypatch.setenv("GRISTMILL_SECRET", SECRET)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".duckdbrc").write_text(f"SELECT '{SECRET}';")
    (tmp_path / "x.csv").write_text(f"words\n{SECRET}\n")
    (tmp_path / "x.json").write_text(f'[{{"words": "{SECRET}"}}]')
    (tmp_path / "cache").mkdir()
    other = _database(tmp_path / "cache" / "other.db", SECRET)
    mine = _database(tmp_path / "cache" / "mine.db", "mine")
    duckdb.execute(f"COPY (SELECT '{SECRET}' AS words) TO '{tmp_path}/x.parquet'")
    workspace = Workspace()
    workspace.attach("mine", mine, "data")
    workspace.add("inline", Table.from_columns({"y": [1, 2]}))
    workspace.lock()
    yield Attacked(workspace, tmp_path, mine, other)
    workspace.close()


def test_the_given_data_sets_can_be_read(attacked: Attacked) -> None:
    assert attacked.ask("SELECT sum(x), any_value(words) FROM mine") == [(3, "mine")]
    assert attacked.ask("SELECT sum(y) FROM inline") == [(3,)]


READS = [
    "FROM '{}'",
    "FROM read_csv('{}')",
    "FROM read_csv_auto('{}')",
    "FROM read_single_csv_file('{}')",
    "FROM sniff_csv('{}')",
    "FROM read_text('{}')",
    "FROM read_blob('{}')",
    "FROM read_json('{}')",
    "FROM read_json_objects('{}')",
    "FROM read_ndjson('{}')",
    "FROM read_parquet('{}')",
    "FROM parquet_scan('{}')",
    "FROM parquet_metadata('{}')",
    "FROM parquet_file_metadata('{}')",
    "FROM parquet_full_metadata('{}')",
    "FROM parquet_kv_metadata('{}')",
    "FROM parquet_schema('{}')",
    "FROM parquet_bloom_probe('{}', 'words', 'x')",
    "FROM read_duckdb('{}')",
    "FROM read_duckdb('{}', table_name := 'data')",
    "FROM query('FROM read_text(''{}'')')",
    "FROM query_table('{}')",
    "FROM query_table(['{}'])",
    "FROM glob('{}')",
    "SELECT (SELECT max(content) FROM read_text('{}'))",
    "SELECT * FROM (VALUES ('{}')) v(f), LATERAL (SELECT content FROM read_text(v.f))",
    "ATTACH '{}' AS stolen",
    "ATTACH '{}' AS stolen (READ_ONLY)",
    "ATTACH 'file:{}' AS stolen (READ_ONLY)",
    "ATTACH OR REPLACE '{}' AS memory",
    "COPY inline FROM '{}'",
    "IMPORT DATABASE '{}'",
    "LOAD '{}'",
    "INSTALL '{}'",
    'FROM "{}".data',
    'FROM "{}".main.data',
]


@pytest.mark.parametrize("statement", READS)
def test_no_file_is_read_by_any_path(attacked: Attacked, statement: str) -> None:
    files = ["x.csv", "x.json", "x.parquet", "cache/other.db", "cache/mine.db"]
    paths = [*files, *(f"./{name}" for name in files), *(str(attacked.folder / name) for name in files)]
    paths += ["file://" + str(attacked.folder / "x.csv"), "../" + attacked.folder.name + "/x.csv", "~/.duckdbrc", "*"]
    paths += ["/etc/passwd", "/proc/self/environ", "/proc/self/cmdline", "/proc/self/fd/0", "/dev/stdin", "/", "."]
    paths += [f"/proc/self/fd/{number}" for number in range(16)]
    for path in paths:
        with pytest.raises((duckdb.Error, RuntimeError)) as caught:
            attacked.ask(statement.format(path))
        assert SECRET not in str(caught.value)
        assert "root:x:" not in str(caught.value)


def test_the_attached_file_cannot_be_opened_again_by_the_path_that_duckdb_tells(attacked: Attacked) -> None:
    paths = [row[0] for row in attacked.ask("SELECT path FROM duckdb_databases() WHERE path IS NOT NULL")]
    paths += attacked.ask("SELECT current_setting('allowed_paths')")[0][0]
    assert paths
    before = attacked.state()
    for path in [*paths, str(attacked.mine), f"{attacked.mine}.wal"]:
        for statement in (*READS, "COPY inline TO '{}'", "WITH c AS (COPY inline TO '{}') SELECT 1"):
            with pytest.raises((duckdb.Error, RuntimeError)):
                attacked.ask(statement.format(path))
    assert attacked.state() == before


WRITES = [
    "COPY inline TO 'out.csv'",
    "COPY inline TO 'out.parquet' (FORMAT parquet)",
    "COPY inline TO 'cache/other.db'",
    "COPY (SELECT 1) TO '/dev/stdout'",
    "WITH c AS (COPY inline TO 'out.csv') SELECT 1",
    "EXPORT DATABASE 'out'",
    "ATTACH 'out.db'",
    "ATTACH 'out.db' AS out; CREATE TABLE out.t AS SELECT 1",
    "COPY FROM DATABASE memory TO out",
    "PRAGMA profile_output = 'out.json'",
    "PRAGMA profiling_output = 'out.json'",
    "PRAGMA enable_profiling = 'json'",
    "PRAGMA log_query_path = 'out.log'",
    "CALL enable_logging(storage := 'file', storage_path := 'out')",
    "CALL enable_logging('QueryLog', storage := 'stdout')",
    "CALL enable_profiling(save_location := 'out.json')",
    "SET temp_directory = 'out'",
    "SET log_query_path = 'out.log'",
    "SET logging_storage = 'file'",
    "SET secret_directory = 'out'",
    "SET home_directory = 'out'",
    "SET extension_directory = 'out'",
    "CREATE PERSISTENT SECRET s (TYPE http, BEARER_TOKEN 'x')",
    "INSERT INTO mine VALUES (1, 'x')",
    "INSERT INTO \"file mine\".data VALUES (1, 'x')",
    'UPDATE "file mine".data SET x = 0',
    'DELETE FROM "file mine".data',
    'WITH d AS (DELETE FROM "file mine".data RETURNING *) SELECT * FROM d',
    'DROP TABLE "file mine".data',
    'CREATE TABLE "file mine".more AS SELECT 1',
    'ALTER TABLE "file mine".data RENAME TO x',
    'TRUNCATE "file mine".data',
]


@pytest.mark.parametrize("statement", WRITES)
def test_nothing_is_written_and_no_data_set_is_changed(attacked: Attacked, statement: str) -> None:
    before = attacked.state()

    with pytest.raises((duckdb.Error, RuntimeError)):
        attacked.ask(statement)

    assert attacked.state() == before
    assert attacked.ask("SELECT sum(x), count(*) FROM mine") == [(3, 3)]


@pytest.mark.parametrize(
    "statement",
    [
        'CHECKPOINT "file mine"',
        'FORCE CHECKPOINT "file mine"',
        'VACUUM ANALYZE "file mine".data',
        'COPY FROM DATABASE "file mine" TO memory',
        'DETACH "file mine"',
        "SELECT write_log('x')",
        "CREATE TEMP TABLE big AS SELECT * FROM range(1000000)",
        "CREATE SECRET s (TYPE http, BEARER_TOKEN 'x')",
    ],
)
def test_what_may_run_leaves_nothing_on_the_disk(attacked: Attacked, statement: str) -> None:
    before = attacked.state()
    with suppress(duckdb.Error):
        attacked.ask(statement)
    attacked.workspace.close()
    assert attacked.state() == before


@pytest.mark.slow
def test_no_setting_can_be_changed(attacked: Attacked) -> None:
    settings = [row[0] for row in attacked.ask("SELECT name FROM duckdb_settings()")]
    assert len(settings) > 100
    before = attacked.ask("SELECT name, value FROM duckdb_settings() ORDER BY name")
    for name in settings:
        (value,) = attacked.ask(f"SELECT value FROM duckdb_settings() WHERE name = '{name}'")[0]
        for wish in {str(value), "true", "false", "1", "''", "'x'"}:
            with suppress(duckdb.Error):
                attacked.ask(f"SET {name} = {wish}")
            with suppress(duckdb.Error):
                attacked.ask(f"PRAGMA {name} = {wish}")
        with suppress(duckdb.Error):
            attacked.ask(f"RESET {name}")
    assert attacked.ask("SELECT name, value FROM duckdb_settings() ORDER BY name") == before


@pytest.mark.parametrize(
    "statement",
    [
        "INSTALL httpfs",
        "INSTALL h3 FROM community",
        "FORCE INSTALL spatial FROM 'http://127.0.0.1:{}/'",
        "LOAD httpfs",
        "LOAD spatial",
        "UPDATE EXTENSIONS",
        "FROM 'http://127.0.0.1:{}/x.csv'",
        "FROM read_csv('http://127.0.0.1:{}/x.csv')",
        "FROM read_parquet('s3://bucket/x.parquet')",
        "FROM read_text('hf://datasets/x/y')",
        "ATTACH 'http://127.0.0.1:{}/x.db' AS x",
        "ATTACH 'postgres://127.0.0.1:{}/x' AS x (TYPE postgres)",
        "ATTACH 'mysql:host=127.0.0.1 port={}' AS x",
        "FROM postgres_scan('host=127.0.0.1 port={}', 'a', 'b')",
        "FROM st_read('/vsicurl/http://127.0.0.1:{}/x')",
        "COPY inline TO 'http://127.0.0.1:{}/x.csv'",
        "SELECT http_get('http://127.0.0.1:{}/')",
    ],
)
def test_nothing_goes_over_the_network(attacked: Attacked, statement: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        with pytest.raises((duckdb.Error, RuntimeError)):
            attacked.ask(statement.format(server.getsockname()[1]))
        with pytest.raises(BlockingIOError):
            server.accept()


def test_no_function_tells_a_path_or_a_secret(attacked: Attacked) -> None:
    """Every function that gives a table, with every sort of arguments; also those of a later DuckDB."""
    names = {
        row[0] for row in attacked.ask("SELECT function_name FROM duckdb_functions() WHERE function_type LIKE 'table%'")
    }
    assert {"glob", "read_text", "duckdb_databases", "duckdb_settings", "duckdb_secrets", "query"} <= names
    paths = [str(attacked.folder / "x.csv"), str(attacked.other), "/etc/passwd", "GRISTMILL_SECRET", "mine", "*"]
    before = attacked.state()
    for name in sorted(names - {"range", "generate_series", "repeat", "repeat_row"}):
        for arguments in ["", *(f"'{path}'" for path in paths), *(f"'{path}', 'x'" for path in paths), "1", "1, 2, 3"]:
            said = attacked.try_hard(f"FROM {name}({arguments}) LIMIT 1000")
            hidden = [secret for secret in attacked.secrets() if secret not in arguments]
            assert not [secret for secret in hidden if secret in said], (name, arguments, said)
    assert attacked.state() == before


def test_no_function_of_values_reads_settings_that_tell_a_path_or_variables_of_the_environment(
    attacked: Attacked,
) -> None:
    for statement in [
        "SELECT getenv('GRISTMILL_SECRET')",
        "SELECT current_setting('GRISTMILL_SECRET')",
        "SELECT getvariable('GRISTMILL_SECRET')",
        "SELECT read_text('x.csv')",
        "SELECT json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
        "FROM json_execute_serialized_sql(json_serialize_sql('FROM read_text(''x.csv'')'))",
        "PRAGMA database_list",
        "PRAGMA database_size",
        "SHOW DATABASES",
        "SHOW ALL TABLES",
        "FROM duckdb_views()",
        "FROM sqlite_master",
        "FROM information_schema.schemata",
        "FROM pg_catalog.pg_database",
        "FROM pragma_database_list",
        "FROM duckdb_logs",
        *(f"SELECT current_setting('{row[0]}')" for row in attacked.ask("SELECT name FROM duckdb_settings()")),
    ]:
        said = attacked.try_hard(statement)
        assert not [secret for secret in attacked.secrets() if secret in said], (statement, said)


@pytest.mark.parametrize("is_locked", [False, True])
def test_no_object_of_python_can_be_named(is_locked: bool) -> None:
    workspace = Workspace()
    workspace.add("inline", Table.from_columns({"y": [1, 2]}))
    if is_locked:
        workspace.lock()
    secret = {"x": np.arange(3)}
    with duckdb.connect() as other:
        assert other.execute("SELECT sum(x) FROM secret").fetchall() == [(3,)]  # what DuckDB does by itself
    assert len(secret) == 1
    for statement in ("FROM secret", "FROM query_table('secret')", "FROM query('FROM secret')", "SELECT secret()"):
        with pytest.raises(duckdb.Error, match=r"secret does not exist"):
            workspace.connection.execute(statement)
    for statement in ("FROM pandas_scan(1)", "FROM arrow_scan(1, 2, 3)", "FROM python_map_function((FROM inline))"):
        with pytest.raises(duckdb.Error):
            workspace.connection.execute(statement)
    with pytest.raises(duckdb.Error, match="POINTER does not exist"):
        workspace.connection.execute("SELECT 1::POINTER")


def test_each_setting_that_keeps_something_out_is_in_force(attacked: Attacked) -> None:
    on = {"lock_configuration"}
    off = {
        "enable_external_access",
        "allow_persistent_secrets",
        "allow_community_extensions",
        "allow_unsigned_extensions",
        "autoinstall_known_extensions",
        "autoload_known_extensions",
        "python_enable_replacements",
        "python_scan_all_frames",
    }
    found = dict(attacked.ask("SELECT name, value FROM duckdb_settings()"))
    assert {name: found[name] for name in on | off} == dict.fromkeys(on, "true") | dict.fromkeys(off, "false")
    assert found["temp_directory"] == ""


def test_time_zones_need_no_file(attacked: Attacked) -> None:
    found = attacked.ask("SELECT CAST(TIMESTAMPTZ '2026-07-01 12:00:00Z' AT TIME ZONE 'Europe/Zurich' AS VARCHAR)")
    assert found == [("2026-07-01 14:00:00",)]


def test_moments_are_in_utc_wherever_the_server_is() -> None:
    asking = (
        "from gristmill.processes.workspace import Workspace;"
        "answer = Workspace().connection.execute(\"SELECT CAST(TIMESTAMPTZ '2026-01-01 00:30:00Z' AS DATE)::VARCHAR\");"
        "print(answer.fetchall())"
    )
    environment = os.environ | {"TZ": "America/New_York"}
    done = subprocess.run([sys.executable, "-c", asking], env=environment, capture_output=True, text=True, check=True)
    assert "2026-01-01" in done.stdout


@pytest.mark.skipif(not IS_LINUX, reason="there is no /proc")
def test_an_attached_file_has_no_path_to_tell(attacked: Attacked) -> None:
    (path,) = [row[0] for row in attacked.ask("SELECT path FROM duckdb_databases() WHERE path IS NOT NULL")]
    assert path.startswith("/proc/")
    assert {entry.name for entry in attacked.mine.parent.iterdir()} == {"mine.db", "other.db"}


def test_a_file_whose_file_system_has_no_hard_links_is_attached_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    file = _database(tmp_path / "a.db", "a")
    with nameless(file) as path:
        assert path == file
    workspace = Workspace()
    workspace.attach("mine", file, "data")
    workspace.lock()
    assert workspace.connection.execute("SELECT count(*) FROM mine").fetchall() == [(3,)]
    for statement in (*READS, "COPY mine TO '{}'"):
        with pytest.raises((duckdb.Error, RuntimeError)):
            workspace.connection.execute(statement.format(file))
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.db"]


def test_a_file_that_is_attached_may_be_deleted(tmp_path: Path) -> None:
    file = _database(tmp_path / "a.db", "a")
    workspace = Workspace()
    workspace.attach("mine", file, "data")
    workspace.lock()
    file.unlink()
    assert workspace.connection.execute("SELECT count(*) FROM mine").fetchall() == [(3,)]


def test_many_may_attach_one_file_at_once(tmp_path: Path) -> None:
    file = _database(tmp_path / "a.db", "a")
    found: list[int] = []

    def use() -> None:
        workspace = Workspace()
        workspace.attach("mine", file, "data")
        workspace.lock()
        found.extend(row[0] for row in workspace.connection.execute("SELECT count(*) FROM mine").fetchall())
        workspace.close()

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [3] * 8
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.db"]


def test_a_name_that_a_killed_process_has_left_is_cleared_by_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, version = Cache(tmp_path, 2**30), "a" * 64
    with cache.open(version, lambda target: _database(target, "a")) as file:
        with monkeypatch.context() as patch:
            patch.setattr("gristmill.datasets.nameless.remove", lambda _folder: None)
            with nameless(file):
                pass
        assert len(list(tmp_path.glob("*.making"))) == 1

        cache.tidy()

        assert not list(tmp_path.glob("*.making"))
        assert file.exists()


@pytest.mark.skipif(not IS_LINUX, reason="there is no /proc")
def test_a_name_that_the_cache_clears_too_early_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _database(tmp_path / "a.db", "a")
    real = os.link
    calls: list[Path] = []

    def late(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == 1:
            target.parent.rmdir()
        real(source, target)

    monkeypatch.setattr(os, "link", late)
    with nameless(file) as path:
        assert path != file
    assert len(calls) == 2
