"""Bearer tokens in a file."""

import os
import stat
from pathlib import Path

import pytest
from support.secured import Mount

from gristmill import tokens
from gristmill.errors import ConfigurationError, InvalidRequestError
from gristmill.settings import Settings
from gristmill.tokens import TokenFile, made_token, new_token


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch):
    monkeypatch.setattr(tokens, "_LOOK_SECONDS", 0.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secrets" / "tokens"


@pytest.fixture
def settings(path: Path) -> Settings:
    return Settings(token_file=path)


def test_a_new_token_is_found_with_its_name_and_role(settings, path):
    text = new_token(settings, "alice", "run")
    found = TokenFile(path).find(text)
    assert found is not None
    assert (found.name, found.role) == ("alice", "run")


def test_the_file_does_not_hold_the_token_and_is_for_its_owner_alone(settings, path):
    text = new_token(settings, "alice", "run")
    assert text.removeprefix("gm_") not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_second_token_leaves_the_first_and_the_comments(settings, path):
    first = new_token(settings, "alice", "run")
    path.write_text("# ours\n" + path.read_text().rstrip("\n"))
    second = new_token(settings, "bob", "manage")
    file = TokenFile(path)
    assert path.read_text().startswith("# ours\n")
    assert [file.find(text).name for text in (first, second)] == ["alice", "bob"]


@pytest.mark.parametrize("sent", ["", "x", "gm_", "gm_" + "A" * 43, "\udcff", "é" * 1000])
def test_any_other_text_is_no_token(settings, path, sent):
    new_token(settings, "alice", "run")
    assert TokenFile(path).find(sent) is None


def test_every_token_is_compared_whichever_is_sent(settings, path, monkeypatch):
    sent = [new_token(settings, name, "run") for name in ("a", "b", "c")]
    file = TokenFile(path)
    compared = []
    same = tokens.hmac.compare_digest
    monkeypatch.setattr(tokens.hmac, "compare_digest", lambda one, other: compared.append(one) or same(one, other))
    for text in (*sent, "unknown"):
        compared.clear()
        file.find(text)
        assert len(compared) == 3


def test_a_changed_file_counts_without_a_restart(settings, path):
    old = new_token(settings, "alice", "run")
    file = TokenFile(path)
    new = new_token(settings, "bob", "read")
    assert file.find(new).role == "read"
    path.write_text("")
    assert file.find(old) is None
    assert file.find(new) is None


def test_the_file_is_looked_at_once_a_second_at_most(settings, path, monkeypatch):
    monkeypatch.setattr(tokens, "_LOOK_SECONDS", 3600.0)
    text = new_token(settings, "alice", "run")
    file = TokenFile(path)
    path.write_text("")
    assert file.find(text) is not None


@pytest.mark.parametrize("content", ["nonsense\n", "alice boss sha256:" + "0" * 64, None, b"\xff\xfe"])
def test_a_file_that_breaks_leaves_the_tokens_in_force_and_says_so_once(settings, path, caplog, content):
    text = new_token(settings, "alice", "run")
    file = TokenFile(path)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for _ in range(3):
        assert file.find(text).name == "alice"
    path.unlink(missing_ok=True)
    again = new_token(settings, "bob", "run")
    assert file.find(again).name == "bob"
    assert file.find(text) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("alice run\n", "Line 1"),
        ("\n# x\nalice run plain\n", "Line 3"),
        (f"alice none sha256:{'0' * 64}", "role 'none'"),
        (f"127.0.0.1 run sha256:{'0' * 64}", "address"),
        (f"::1 run sha256:{'0' * 64}", "name '::1'"),
        (f"a/b run sha256:{'0' * 64}", "name 'a/b'"),
        (f"alice run sha256:{'0' * 64}\nalice run sha256:{'1' * 64}", "twice"),
    ],
)
def test_a_wrong_file_stops_the_start(path, content, message):
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=message):
        TokenFile(path)


# The optional file of the secrets folder, as Kubernetes mounts it


@pytest.fixture
def mounted(tmp_path: Path) -> Mount:
    return Mount(tmp_path / "mounted" / "tokens")


@pytest.fixture
def optional(mounted) -> Settings:
    return Settings(secrets_folder=mounted.secrets_folder)


def _line(name: str, role: str = "run") -> tuple[str, bytes]:
    text, line = made_token(name, role)
    return text, line.encode()


def test_an_optional_file_may_be_missing_and_come_later(mounted, optional):
    text, line = _line("alice")
    for absent in (optional, Settings(secrets_folder=mounted.secrets_folder / "nowhere"), Settings()):
        file = TokenFile.of(absent)
        assert not file.enabled
        assert file.find(text) is None
    file = TokenFile.of(optional)
    mounted.put({"tokens": line})
    assert file.enabled
    assert file.find(text).name == "alice"


def test_a_swap_of_the_folder_with_equal_times_and_sizes_is_seen(mounted, optional):
    texts, lines = zip(*(_line(name) for name in ("ann", "bob", "cat")), strict=True)
    file = None
    for index, line in enumerate(lines):
        mounted.put({"tokens": line})
        os.utime(mounted.folder / "tokens", ns=(10**18, 10**18))
        file = file or TokenFile.of(optional)
        assert [file.find(text) is not None for text in texts] == [other == index for other in range(3)]


def test_an_optional_file_that_goes_leaves_its_tokens_in_force(mounted, optional):
    text, line = _line("alice")
    mounted.put({"tokens": line})
    file = TokenFile.of(optional)
    mounted.put({})
    assert file.enabled
    assert file.find(text).name == "alice"


def test_an_optional_file_that_comes_broken_turns_nothing_on_and_says_so(mounted, optional, caplog):
    file = TokenFile.of(optional)
    mounted.put({"tokens": b"nonsense"})
    assert not file.enabled
    text, line = _line("alice")
    mounted.put({"tokens": line})
    assert file.find(text).name == "alice"


def test_an_optional_file_that_is_wrong_stops_the_start(mounted, optional):
    mounted.put({"tokens": b"nonsense"})
    with pytest.raises(ConfigurationError, match="Line 1"):
        TokenFile.of(optional)


def test_an_optional_file_that_cannot_be_read_stops_the_start(mounted, optional):
    (mounted.folder / "tokens").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        TokenFile.of(optional)


def test_two_token_files_stop_the_start(mounted, path):
    both = Settings(token_file=path, secrets_folder=mounted.secrets_folder)
    text = new_token(both, "alice", "run")
    assert TokenFile.of(both).find(text).name == "alice"
    mounted.put({"tokens": b""})
    with pytest.raises(ConfigurationError, match="There are two token files"):
        TokenFile.of(both)


def test_a_file_that_the_setting_names_must_be_there(mounted, path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        TokenFile.of(Settings(token_file=path, secrets_folder=mounted.secrets_folder))


def test_a_missing_file_stops_the_start(path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        TokenFile(path)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/full"])
def test_a_file_without_an_end_stops_the_start(device):
    with pytest.raises(ConfigurationError, match=f"{device} cannot be read: it has more than 4 MiB"):
        TokenFile(Path(device))


def test_a_file_that_grows_without_an_end_leaves_the_tokens_in_force(settings, path):
    text = new_token(settings, "alice", "run")
    file = TokenFile(path)
    path.unlink()
    path.symlink_to("/dev/zero")
    assert file.find(text) is not None


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_no_token_is_added_to_a_device(tmp_path, device):
    path = tmp_path / "device"
    path.symlink_to(device)  # which would be replaced, and not the device
    with pytest.raises(ConfigurationError, match="is no file"):
        new_token(Settings(token_file=path), "alice", "run")
    assert path.is_symlink()


def test_without_a_file_there_are_no_tokens():
    file = TokenFile(None)
    assert not file.enabled
    assert file.find("gm_x") is None


@pytest.mark.parametrize(("name", "role"), [("", "run"), ("a b", "run"), ("10.0.0.1", "run"), ("alice", "none")])
def test_a_name_or_role_that_cannot_be_is_refused(settings, path, name, role):
    with pytest.raises(InvalidRequestError):
        new_token(settings, name, role)
    assert not path.exists()


def test_a_name_that_is_taken_is_refused(settings):
    new_token(settings, "alice", "run")
    with pytest.raises(InvalidRequestError, match="already"):
        new_token(settings, "alice", "read")


def test_without_a_setting_no_token_is_made():
    with pytest.raises(ConfigurationError, match="GRISTMILL_TOKEN_FILE"):
        new_token(Settings(), "alice", "run")


def test_a_file_that_cannot_be_written_is_a_configuration_error(settings, path):
    path.parent.write_text("a file where the folder should be")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        new_token(settings, "alice", "run")
