"""Certificates by the program openssl."""

import os
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gristmill.certificates import Certificates, make_certificates
from gristmill.errors import ConfigurationError, InvalidRequestError

NAMES = ("app-test-service-redis", "redis.example.org", "127.0.0.1", "::1")


@pytest.fixture(scope="module")
def made() -> Certificates:
    return make_certificates(NAMES, 30)


def shake_hands(made: Certificates, name: str, folder: Path) -> None:
    """One TLS handshake, checked as strictly as any Python does it."""
    (folder / "crt").write_text(made.certificate)
    (folder / "key").write_text(made.key)
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(folder / "crt", folder / "key")
    theirs = ssl.create_default_context(cadata=made.authority)
    theirs.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = ours.wrap_bio(to_server, to_client, server_side=True)
    client = theirs.wrap_bio(to_client, to_server, server_hostname=name)
    done = set()
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                pass
    assert done == {client, server}


@pytest.mark.parametrize("name", NAMES)
def test_a_client_believes_the_certificate_under_each_of_its_names(
    made: Certificates, name: str, tmp_path: Path
) -> None:
    shake_hands(made, name, tmp_path)


@pytest.mark.parametrize("name", ["other.example.org", "a.app-test-service-redis", "127.0.0.2"])
def test_and_under_no_other(made: Certificates, name: str, tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="not valid for"):
        shake_hands(made, name, tmp_path)


def test_another_run_makes_another_authority(made: Certificates, tmp_path: Path) -> None:
    other = make_certificates(NAMES, 30)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(Certificates(made.authority, other.certificate, other.key), NAMES[0], tmp_path)


def test_the_certificate_is_good_for_so_many_days(made: Certificates) -> None:
    for pem in (made.certificate, made.authority):
        for seconds, is_good in ((30 * 86400 - 3600, True), (30 * 86400 + 3600, False)):
            check = ["openssl", "x509", "-noout", "-checkend", str(seconds)]
            done = subprocess.run(check, input=pem, text=True, capture_output=True, check=False)
            assert (done.returncode == 0) is is_good


def test_the_key_does_not_stand_in_what_is_printed_of_it(made: Certificates) -> None:
    assert "PRIVATE KEY" in made.key
    assert "PRIVATE KEY" not in repr(made)


@pytest.fixture
def spied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The file in which a wrapper around openssl notes its command lines and the files beside them."""
    log, real = tmp_path / "log", subprocess.run(["which", "openssl"], capture_output=True, text=True, check=True)
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "openssl").write_text(
        f'#!/bin/sh\nexec 3>> {log}\necho "$@" >&3\n{real.stdout.strip()} "$@"\ncode=$?\n'
        'cat "$TMPDIR"/gristmill-*/* >&3\nexit $code\n'
    )
    (folder / "openssl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return log


def test_private_keys_stand_on_no_command_line_and_in_no_file(spied: Path, tmp_path: Path) -> None:
    made = make_certificates(("localhost",), 1)
    seen = spied.read_text()
    assert "-CAkey /dev/stdin" in seen
    assert "BEGIN CERTIFICATE" in seen
    assert "PRIVATE KEY" not in seen
    assert made.key.splitlines()[1] not in seen
    assert not list(tmp_path.glob("gristmill-*"))


@pytest.mark.parametrize("name", ["*.example.org", "a,DNS:b", "", "a b", "-a", "a\nb", "x" * 64, "Ä"])
def test_what_is_no_name_of_a_host_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequestError, match="neither the name of a host nor an address"):
        make_certificates((name,), 1)


def test_without_openssl_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="Install it"):
        make_certificates(("localhost",), 1)


def test_what_openssl_refuses_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "openssl").write_text("#!/bin/sh\necho no such curve >&2\nexit 1\n")
    (tmp_path / "openssl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(ConfigurationError, match="openssl ecparam refuses to make the certificates: no such curve"):
        make_certificates(("localhost",), 1)
