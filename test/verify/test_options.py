"""A token comes from a file or the environment, and a mistaken file is told for what it is."""

from pathlib import Path

import pytest
from support.acceptance import Certificate

from gristmill.settings import Settings
from gristmill.settings_table import CLIENT_VARIABLES
from gristmill.tokens import new_token
from gristmill.verify.options import TOKEN_VARIABLE, read_authority, read_token
from gristmill.verify.target import UsageError


def test_a_token_that_was_printed_into_a_file_is_read(tmp_path: Path) -> None:
    token = new_token(Settings(token_file=tmp_path / "tokens"), "ada", "run")
    (tmp_path / "token").write_text(f"{token}\n")
    assert read_token(tmp_path / "token", {}) == token
    assert read_token(tmp_path / "token", {TOKEN_VARIABLE: "gm_another"}) == token
    assert read_token(None, {TOKEN_VARIABLE: token}) == token
    assert read_token(None, {}) == ""


def test_the_variable_of_the_token_is_known_to_those_that_look_for_misspelt_ones() -> None:
    assert TOKEN_VARIABLE in CLIENT_VARIABLES


def test_the_servers_file_of_hashes_is_told_for_what_it_is(tmp_path: Path) -> None:
    new_token(Settings(token_file=tmp_path / "tokens"), "ada", "run")
    with pytest.raises(UsageError, match="hashes"):
        read_token(tmp_path / "tokens", {})


@pytest.mark.parametrize(("text", "word"), [("", "empty"), ("two words", "one token"), ("gm_\x01234567", "one token")])
def test_a_file_without_one_token_is_refused(tmp_path: Path, text: str, word: str) -> None:
    (tmp_path / "token").write_text(text)
    with pytest.raises(UsageError, match=word):
        read_token(tmp_path / "token", {})


def test_a_file_without_an_end_is_not_read_to_it() -> None:
    with pytest.raises(UsageError, match="/dev/zero is too large"):
        read_token(Path("/dev/zero"), {})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="missing"):
        read_token(tmp_path / "missing", {})
    with pytest.raises(UsageError, match="missing"):
        read_authority(tmp_path / "missing")


def test_an_authority_is_a_certificate_and_nothing_else(tmp_path: Path, certificate: Certificate) -> None:
    assert read_authority(None) is None
    context = read_authority(certificate.cert)
    assert context is not None
    assert [dict(part[0] for part in one["subject"])["commonName"] for one in context.get_ca_certs()] == ["verify"]
    (tmp_path / "ca").write_text("no certificate")
    with pytest.raises(UsageError, match="no certificate"):
        read_authority(tmp_path / "ca")
