"""User, password and authority from files."""

import ssl
from pathlib import Path

import pytest
from support.secured import Mount

from gristmill.certificates import make_certificates
from gristmill.credentials import CredentialFiles, Credentials, RefusedError

CANARY = "c4n4ry-s3cret"


@pytest.fixture
def files(mount: Mount) -> CredentialFiles:
    return CredentialFiles(mount.secrets_folder)


def test_every_file_may_be_missing(mount: Mount, files: CredentialFiles, tmp_path: Path) -> None:
    nothing = Credentials()
    assert files.read() == nothing
    assert CredentialFiles(tmp_path / "nowhere").read() == nothing
    assert CredentialFiles(None).read() == nothing
    assert not files.are_there()


def test_what_is_there_is_read_without_the_ends_of_its_lines(mount: Mount, files: CredentialFiles) -> None:
    mount.put({"username": b"ann\n", "password": b" p w\r\n", "ca.crt": b"x\ny\n"})
    assert files.are_there()
    assert files.read() == Credentials("ann", " p w", "x\ny")


def test_a_password_alone_is_that_of_the_default_user(mount: Mount, files: CredentialFiles) -> None:
    mount.put({"password": b"pw"})
    assert files.read() == Credentials("", "pw", "")


def test_files_that_change_as_kubernetes_changes_them_are_read_anew(mount: Mount, files: CredentialFiles) -> None:
    mount.put({"username": b"ann", "password": b"1"})
    assert files.read().password == "1"
    mount.put({"username": b"bob", "password": b"2", "ca.crt": b"ca"})
    assert files.read() == Credentials("bob", "2", "ca")
    mount.put({})
    assert files.read() == Credentials()


@pytest.mark.parametrize(
    ("broken", "name", "reason"),
    [
        ({"password": b""}, "password", "is empty"),
        ({"username": b"ann", "password": b"\n"}, "password", "is empty"),
        ({"ca.crt": b" \n"}, "ca.crt", "is empty"),
        ({"username": b"ann"}, "username", "add it, or delete both"),
        ({"username": b"ann\nbob", "password": CANARY.encode()}, "username", "more than one line"),
        ({"password": f"{CANARY}\nanother".encode()}, "password", "more than one line"),
        ({"password": b"\xff" + CANARY.encode()}, "password", "UTF-8"),
    ],
)
def test_a_file_that_is_of_no_use_is_an_error_that_names_it_and_not_what_it_holds(
    mount: Mount, files: CredentialFiles, broken: dict[str, bytes], name: str, reason: str
) -> None:
    mount.put(broken)
    with pytest.raises(RefusedError) as raised:
        files.read()
    assert str(mount.folder / name) in str(raised.value)
    assert reason in str(raised.value)
    assert CANARY not in repr(raised.value)


def test_a_file_that_cannot_be_read_is_an_error_and_not_as_if_it_were_missing(
    mount: Mount, files: CredentialFiles
) -> None:
    (mount.folder / "password").mkdir()
    with pytest.raises(RefusedError, match="password is there and cannot be read: Is a directory"):
        files.read()


def test_what_is_no_certificate_is_an_error_that_names_the_file(mount: Mount, files: CredentialFiles) -> None:
    for text in ("nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "é"):
        with pytest.raises(RefusedError, match=r"ca\.crt holds no certificates"):
            files.context(text)


def test_only_the_authorities_of_the_file_are_believed_and_only_under_the_right_name(files: CredentialFiles) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl.SSLContext, "load_default_certs", lambda *_: pytest.fail("asked for those of the computer"))
        context = files.context(_authority())
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert len(context.get_ca_certs()) == 1


def test_the_context_is_made_once_for_each_authority(files: CredentialFiles) -> None:
    first, second = _authority(), _authority()
    made = files.context(first)
    assert files.context(first) is made
    assert files.context(second) is not made


def test_a_password_does_not_stand_in_what_is_printed_of_credentials() -> None:
    assert CANARY not in repr(Credentials("ann", CANARY, CANARY))


def _authority() -> str:
    return make_certificates(("localhost",), 1).authority
