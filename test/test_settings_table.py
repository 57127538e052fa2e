"""Settings come from the environment; what is wrong with one is said by its variable's name."""

import pytest

from gristmill import settings_table
from gristmill.errors import ConfigurationError
from gristmill.settings import Settings


def test_every_setting_has_a_variable_and_a_meaning() -> None:
    rows = settings_table.rows()
    assert {row.field for row in rows} == set(Settings.model_fields)
    assert all(row.help.endswith((".", ")")) and row.variable.isupper() for row in rows)


def test_names_end_in_their_unit() -> None:
    units = {row.field: row.unit for row in settings_table.rows()}
    assert (units["lease_seconds"], units["output_bytes"], units["embedded_memory_mb"]) == ("seconds", "bytes", "MB")


def test_a_default_written_to_the_environment_gives_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for row in settings_table.rows():
        monkeypatch.setenv(row.variable, row.default)
    assert settings_table.load() == Settings.model_construct()


def test_wrong_values_are_all_named_by_their_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_PORT", "http")
    monkeypatch.setenv("GRISTMILL_LEASE_SECONDS", "-1")
    with pytest.raises(ConfigurationError) as caught:
        settings_table.load()
    lines = caught.value.detail.splitlines()
    assert len(lines) == 2
    assert any(line.startswith("GRISTMILL_PORT='http' is not usable: ") for line in lines)
    assert any(line.startswith("GRISTMILL_LEASE_SECONDS='-1' is not usable: ") for line in lines)


def test_an_option_of_the_command_line_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_PORT", "8001")
    assert settings_table.load(port=8002).port == 8002


def test_misspelt_variables_are_found() -> None:
    environ = {"GRISTMILL_PROT": "1", "GRISTMILL_PORT": "1", "GRISTMILL_PROCESSES": "p", "REDIS_URL": "", "PATH": ""}
    assert settings_table.unknown_variables(environ) == ("GRISTMILL_PROT",)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("redis://ada:secret@host:6379/0", "redis://ada:***@host:6379/0"),
        ("redis://:se@cret@host", "redis://:***@host"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("unix:///tmp/a.sock?db=0", "unix:///tmp/a.sock?db=0"),
        ("unix:///tmp/a.sock?db=0&password=secret&x=1", "unix:///tmp/a.sock?db=0&password=***&x=1"),
        ("rediss://ada:secret@host?ssl_password=secret", "rediss://ada:***@host?ssl_password=***"),
    ],
)
def test_a_password_in_a_url_is_never_shown(value: str, shown: str) -> None:
    assert settings_table.without_password(value) == shown


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("GRISTMILL_PUBLIC_URL", "data.example.org", "such as https://example.org/gristmill"),
        ("GRISTMILL_PUBLIC_URL", "https://example.org/?x=1", "URL without query"),
        ("GRISTMILL_CORS_ORIGINS", "https://a.example, b.example", "'b.example' is no origin"),
        ("GRISTMILL_CORS_ORIGINS", "https://a.example/page", "scheme and host without a path"),
    ],
)
def test_addresses_of_the_wrong_form_are_refused_with_an_example(monkeypatch, variable, value, told) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=variable) as caught:
        settings_table.load()
    assert told in caught.value.detail


def _is_time(name: str) -> bool:
    return name.endswith("_seconds") and Settings.model_fields[name].annotation is float


@pytest.mark.parametrize("seconds", ["inf", "nan", "1e11"])
@pytest.mark.parametrize("name", [one.field for one in settings_table.rows() if _is_time(one.field)])
def test_a_time_that_no_clock_has_is_refused(name: str, seconds: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(settings_table.variable(name), seconds)

    with pytest.raises(ConfigurationError, match=f"SECONDS='{seconds}' is not usable: input should be "):
        settings_table.load()
