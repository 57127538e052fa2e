"""Connections with user, password and TLS, and what is said where one is refused."""

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from redis.exceptions import RedisError
from support import RedisServer
from support.lab import Lab
from support.secured import Files, Mount, SecuredServer, for_clients, redis_secret

from gristmill.certificates import make_certificates
from gristmill.credentials import DoubtfulError, RefusedError
from gristmill.errors import ConfigurationError, UnavailableError
from gristmill.hub import Hub
from gristmill.jobs import Jobs
from gristmill.library import Library
from gristmill.settings import Settings
from gristmill.store import (
    RETRY_SECONDS,
    Protection,
    check_credentials,
    connect,
    new_connection,
    protection_of,
    reason_of,
)

Start = Callable[..., SecuredServer]
MakeSettings = Callable[..., Settings]
MIB = 2**20


@pytest.fixture
def server(start_secured: Start, redis_files: Files) -> SecuredServer:
    return start_secured(redis_files, appendfsync="no")


@pytest.fixture
def settings(server: SecuredServer, mount: Mount, redis_files: Files, make_settings: MakeSettings) -> Settings:
    """Settings that get into the server by files."""
    mount.put(for_clients(redis_files))
    return make_settings(server.url, secrets_folder=mount.secrets_folder)


def refusal(settings: Settings) -> str:
    """Why the next connection is refused."""
    connection = new_connection(connect(settings), retry=None, retry_on_error=[])
    with pytest.raises((RefusedError, DoubtfulError)) as raised:
        connection.connect()
    assert not connection.is_connected
    assert settings.secrets_folder is None or _password(settings) not in repr(raised.value)
    return str(raised.value)


def _password(settings: Settings) -> str:
    path = (settings.secrets_folder or Path()) / "redis" / "password"
    return path.read_text() if path.exists() and path.read_text() else "no password at all"


# What works


def test_the_engine_works_with_user_password_and_tls(settings: Settings) -> None:
    lab = Lab(settings)
    job = lab.submit()
    attempt = lab.claim(lab.worker())
    lab.finish(attempt)
    assert lab.status(job).status.is_final
    lab.check()


def test_urls_with_user_password_and_authority_work_without_files(
    server: SecuredServer, redis_files: Files, make_settings: MakeSettings, tmp_path: Path
) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_bytes(redis_files["ca.crt"])
    login = f"{redis_files['username'].decode()}:{redis_files['password'].decode()}"
    url = f"rediss://{login}@localhost:{server.port}/0?ssl_ca_certs={authority}"
    with connect(make_settings(url)) as client:
        assert client.ping()


def test_the_url_may_name_the_user_and_the_file_hold_the_password(
    server: SecuredServer, mount: Mount, redis_files: Files, make_settings: MakeSettings
) -> None:
    mount.put({"password": redis_files["password"], "ca.crt": redis_files["ca.crt"]})
    url = f"redis://gristmill@127.0.0.1:{server.port}/0"
    with connect(make_settings(url, secrets_folder=mount.secrets_folder)) as client:
        assert client.ping()


def test_without_files_a_secrets_folder_changes_nothing(
    redis_url: str, mount: Mount, make_settings: MakeSettings
) -> None:
    with connect(make_settings(redis_url, secrets_folder=mount.secrets_folder)) as client:
        assert client.ping()


def test_a_new_password_is_taken_up_at_the_next_connection(
    settings: Settings, server: SecuredServer, mount: Mount, redis_files: Files
) -> None:
    library = Library(connect(settings), settings.key_prefix)
    assert library.command("PING") == b"PONG"
    with server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "gristmill", "resetpass", ">rotated")
        mount.put(for_clients(redis_files) | {"password": b"rotated"})
        assert library.command("PING") == b"PONG"
        admin.client_kill_filter(_type="normal", skipme=True)
        assert library.command("PING") == b"PONG"
    assert library.command("ACL", "WHOAMI") == b"gristmill"


def test_tls_that_is_turned_on_with_a_restart_is_taken_up_with_the_files(
    start_secured: Start, mount: Mount, redis_files: Files, make_settings: MakeSettings
) -> None:
    server = start_secured(None)
    library = Library(connect(make_settings(server.url, secrets_folder=mount.secrets_folder)), "{g0}")
    for files in (redis_files, None):
        assert library.command("PING") == b"PONG"
        server.stop()
        server.secret = files
        server.start()
        mount.put(for_clients(files or {}))
    assert library.command("PING") == b"PONG"


def test_large_values_go_both_ways_over_tls_from_many_threads(settings: Settings) -> None:
    library = Library(connect(settings), settings.key_prefix)
    wrong: list[str] = []

    def exchange(number: int) -> None:
        key = f"{settings.key_prefix}:b:{number}"
        for size in (1, 16 * 1024 - 1, 16 * 1024 + 1, MIB, 8 * MIB):
            value = os.urandom(size)
            library.command("SET", key, value)
            if library.command("GET", key) != value:
                wrong.append(f"{size} bytes came back changed")
        library.command("DEL", key)

    threads = [threading.Thread(target=exchange, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_reply_of_many_records_is_read_whole_over_tls(settings: Settings) -> None:
    library = Library(connect(settings), settings.key_prefix)
    key = f"{settings.key_prefix}:list"
    words = [f"{number:050}" for number in range(200_000)]
    library.command("RPUSH", key, *words)
    assert [word.decode() for word in library.command("LRANGE", key, 0, -1)] == words


def test_blocking_reads_wait_over_tls_and_wake_at_once(settings: Settings) -> None:
    library = Library(connect(settings), settings.key_prefix)
    key, got = f"{settings.key_prefix}:gate", []
    threads = [threading.Thread(target=lambda: got.append(library.command("BLPOP", key, 2))) for _ in range(20)]
    for thread in threads:
        thread.start()
    library.command("RPUSH", key, *range(19))
    for thread in threads:
        thread.join()
    assert sorted(len(it) for it in got if it) == [2] * 19
    assert got.count(None) == 1


def test_thousands_of_events_over_tls_reach_their_watchers(settings: Settings) -> None:
    jobs = Jobs(connect(settings), settings)
    with closing(Hub(jobs)) as hub, hub.watch("last") as last, hub.watch("busy") as busy, connect(settings) as client:
        with client.pipeline(transaction=False) as pipe:
            for revision in range(1, 20_001):
                pipe.publish(jobs.event_channel("busy"), f"{revision} running {revision % 100}")
            pipe.publish(jobs.event_channel("last"), "1 running 1")
            pipe.execute()
        assert last.wait(10) is not None
        event = busy.wait(10)
        assert event is not None
        assert event.revision == 20_000


# What is said where a connection is refused


def test_a_wrong_password_is_told_with_its_file(settings: Settings, mount: Mount, redis_files: Files) -> None:
    mount.put(for_clients(redis_files) | {"password": b"wr0ng-one"})
    told = refusal(settings)
    assert "does not let in the user 'gristmill'" in told
    assert str(mount.folder / "password") in told
    assert "restart it" in told


def test_a_wrong_password_of_the_url_is_told_as_such(
    server: SecuredServer, mount: Mount, redis_files: Files, make_settings: MakeSettings
) -> None:
    mount.put({"ca.crt": redis_files["ca.crt"]})
    url = f"redis://gristmill:wr0ng-one@127.0.0.1:{server.port}/0"
    told = refusal(make_settings(url, secrets_folder=mount.secrets_folder))
    assert "the password of REDIS_URL" in told
    assert "wr0ng-one" not in told


def test_a_missing_password_is_told_with_where_it_belongs(settings: Settings, mount: Mount, redis_files: Files) -> None:
    mount.put({"ca.crt": redis_files["ca.crt"]})
    told = refusal(settings)
    assert "wants a user and a password, and there are none" in told
    assert str(mount.folder / "username") in told


def test_a_user_that_redis_does_not_have_yet_is_told(
    start_secured: Start, mount: Mount, redis_files: Files, make_settings: MakeSettings
) -> None:
    mount.put({name: redis_files[name] for name in ("username", "password")})
    server = start_secured(None)
    told = refusal(make_settings(server.url, secrets_folder=mount.secrets_folder))
    assert "does not let in the user 'gristmill'" in told
    assert "Redis reads them only at its start" in told


def test_another_authority_is_told_with_its_file(settings: Settings, mount: Mount, redis_files: Files) -> None:
    mount.put(for_clients(redis_files) | {"ca.crt": make_certificates(("localhost",), 1).authority.encode()})
    assert f"is not certified by {mount.folder / 'ca.crt'}" in refusal(settings)


def test_an_authority_that_the_computer_does_not_trust_is_told_for_urls_too(
    server: SecuredServer, make_settings: MakeSettings
) -> None:
    told = refusal(make_settings(f"rediss://u:p@localhost:{server.port}/0"))
    assert "is not certified by an authority that this computer trusts" in told


def with_certificate(files: Files, authority: str, certificate: str, key: str) -> dict[str, bytes]:
    pems = {"ca.crt": authority, "tls.crt": certificate, "tls.key": key}
    return dict(files) | {name: pem.encode() for name, pem in pems.items()}


def test_a_certificate_for_another_name_is_told(
    settings: Settings, server: SecuredServer, mount: Mount, redis_files: Files
) -> None:
    made = make_certificates(("redis.example.org",), 1)
    serve(server, with_certificate(redis_files, made.authority, made.certificate, made.key), mount)
    assert "for another name (IP address mismatch, certificate is not valid for '127.0.0.1')" in refusal(settings)


def test_a_certificate_that_has_expired_is_told(
    settings: Settings, server: SecuredServer, mount: Mount, redis_files: Files, tmp_path: Path
) -> None:
    key, request, certificate, extensions = (tmp_path / name for name in ("key", "request", "crt", "extensions"))
    extensions.write_text("subjectAltName = IP:127.0.0.1\n")
    for command in (
        f"openssl ecparam -name prime256v1 -genkey -noout -out {key}",
        f"openssl req -new -key {key} -subj /CN=expired -out {request}",
        f"openssl x509 -req -in {request} -signkey {key} -days -1 -extfile {extensions} -out {certificate}",
    ):
        subprocess.run(command.split(), check=True, capture_output=True)
    own = certificate.read_text()
    serve(server, with_certificate(redis_files, own, own, key.read_text()), mount)
    assert "has expired" in refusal(settings)


def serve(server: SecuredServer, files: Files, mount: Mount) -> None:
    """Let the server start again with another certificate, and its clients know."""
    server.stop()
    server.secret = files
    server.start()
    mount.put(for_clients(files))


def test_tls_with_a_server_that_has_none_is_told(
    start_secured: Start, mount: Mount, redis_files: Files, make_settings: MakeSettings
) -> None:
    server = start_secured(None)
    mount.put(for_clients(redis_files))
    told = refusal(make_settings(server.url, secrets_folder=mount.secrets_folder))
    assert "does not answer in TLS" in told
    assert "Does it speak TLS there?" in told


def test_no_tls_with_a_server_that_wants_it_is_told(settings: Settings, mount: Mount, redis_files: Files) -> None:
    mount.put({name: redis_files[name] for name in ("username", "password")})
    told = refusal(settings)
    assert "cuts the connection at the first word" in told
    assert str(mount.folder / "ca.crt") in told


def test_a_server_that_ends_midway_is_not_taken_for_one_that_refuses(settings: Settings, server: SecuredServer) -> None:
    client = connect(settings)
    assert client.ping()
    server.kill()
    with pytest.raises(RedisError) as raised:
        client.ping()
    assert not isinstance(raised.value, RefusedError | DoubtfulError)


@pytest.mark.parametrize(
    ("url", "name"),
    [("redis://ann:pw@127.0.0.1:1/0", "username"), ("redis://:pw@127.0.0.1:1/0", "password")],
)
def test_what_both_url_and_files_have_is_refused(
    url: str, name: str, mount: Mount, redis_files: Files, make_settings: MakeSettings
) -> None:
    mount.put(for_clients(redis_files))
    told = refusal(make_settings(url, secrets_folder=mount.secrets_folder))
    assert f"REDIS_URL has a {name}, and so has {mount.folder / name}: keep one." in told


def test_options_of_tls_in_the_url_and_an_authority_in_a_file_are_refused(
    mount: Mount, redis_files: Files, make_settings: MakeSettings
) -> None:
    mount.put(for_clients(redis_files))
    url = "rediss://127.0.0.1:1/0?ssl_check_hostname=false"
    assert "keep one" in refusal(make_settings(url, secrets_folder=mount.secrets_folder))


def test_options_of_tls_without_tls_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="must begin with rediss://"):
        connect(Settings(redis_url="redis://127.0.0.1:1/0?ssl_ca_certs=/x"))


def test_tls_over_a_unix_socket_is_refused(mount: Mount, redis_files: Files, make_settings: MakeSettings) -> None:
    mount.put({"ca.crt": redis_files["ca.crt"]})
    told = refusal(make_settings("unix:///nowhere.sock", secrets_folder=mount.secrets_folder))
    assert "does not go over the Unix socket" in told


def test_a_unix_socket_takes_user_and_password_from_files(
    start_secured: Start, mount: Mount, make_settings: MakeSettings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    files = redis_secret("--no-tls")
    path = tmp_path_factory.mktemp("s") / "r.sock"
    start_secured(files, unixsocket=str(path))
    mount.put(for_clients(files))
    with connect(make_settings(f"unix://{path}?db=0", secrets_folder=mount.secrets_folder)) as client:
        assert client.acl_whoami() == b"gristmill"
        assert protection_of(client) == Protection(has_password=True, is_private=True)


def test_the_start_is_refused_with_a_file_that_is_of_no_use(
    mount: Mount, redis_files: Files, make_settings: MakeSettings
) -> None:
    settings = make_settings("redis://127.0.0.1:1/0", secrets_folder=mount.secrets_folder)
    mount.put(for_clients(redis_files))
    check_credentials(settings)
    mount.put({"ca.crt": b"nonsense"})
    with pytest.raises(ConfigurationError, match=r"ca\.crt holds no certificates"):
        check_credentials(settings)


# What is said of servers that are not such as are needed


@pytest.fixture
def answering() -> Iterator[Callable[[bytes], str]]:
    """Return a function that starts a server which answers everything with one line, and returns its URL."""
    with ExitStack() as stack:

        def start(line: bytes) -> str:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            threading.Thread(target=_answer_all, args=(listener, line + b"\r\n"), daemon=True).start()
            return f"redis://127.0.0.1:{listener.getsockname()[1]}/0"

        yield start


def _answer_all(listener: socket.socket, line: bytes) -> None:
    with suppress(OSError):  # the test has closed it
        while True:
            threading.Thread(target=_answer, args=(listener.accept()[0], line), daemon=True).start()


def _answer(connection: socket.socket, line: bytes) -> None:
    with connection, suppress(OSError):
        while connection.recv(4096):
            connection.sendall(line)


@pytest.mark.parametrize("login", ["", "ann:pw@"])
@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"-ERR unknown command 'HELLO'", "Redis 7, Valkey 8 or newer must answer there"),
        (b"-NOPROTO unsupported protocol version", "Redis 7, Valkey 8 or newer must answer there"),
        (b"-DENIED Redis is running in protected mode", "is in protected mode"),
        (b"-MASTERDOWN Link with MASTER is down", "answers the first word with an error: Link with MASTER is down"),
        (b"-ERR something else", "answers the first word with an error: something else"),
        (b"+OK", "is no Redis or Valkey that is known here: it says b'OK' to HELLO"),
    ],
)
def test_a_server_that_does_not_greet_as_redis_does_is_told_in_one_line(
    answering: Callable[[bytes], str], line: bytes, told: str, login: str
) -> None:
    settings = Settings(redis_url=answering(line).replace("//", f"//{login}"))
    said = refusal(settings)
    assert told in said
    assert "\n" not in said
    with pytest.raises(UnavailableError) as raised, closing(Jobs(connect(settings), settings)) as jobs:
        jobs.workers()
    assert told in reason_of(raised.value)


def test_a_server_with_too_many_clients_is_not_taken_for_one_that_wants_tls(
    answering: Callable[[bytes], str],
) -> None:
    settings = Settings(redis_url=answering(b"-ERR max number of clients reached"))
    with pytest.raises(UnavailableError) as raised, closing(Jobs(connect(settings), settings)) as jobs:
        jobs.workers()
    assert reason_of(raised.value) == "Redis does not answer; try again. (max number of clients reached)"


def test_a_redis_in_protected_mode_is_told_with_what_to_do(
    start_server: Callable[..., RedisServer],
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("this computer has no address but the loopback one")
        address = probe.getsockname()[0]
    server = start_server("redis", bind=f"127.0.0.1 {address}")
    said = refusal(Settings(redis_url=f"redis://{address}:{server.port}/0"))
    assert "is in protected mode" in said
    assert "Give it a password" in said


# What users and the team are told


def test_what_only_the_team_can_mend_is_told_at_once(settings: Settings, mount: Mount, redis_files: Files) -> None:
    jobs = Jobs(connect(settings), settings)
    mount.put(for_clients(redis_files) | {"password": b"wr0ng-one"})
    began = time.monotonic()
    with pytest.raises(UnavailableError):
        jobs.workers()
    assert time.monotonic() - began < RETRY_SECONDS


def test_users_are_told_neither_files_nor_addresses_and_the_team_both(
    settings: Settings, mount: Mount, redis_files: Files
) -> None:
    mount.put(for_clients(redis_files) | {"password": b"wr0ng-one"})
    with pytest.raises(UnavailableError) as raised:
        Jobs(connect(settings), settings).workers()
    assert not any(word in raised.value.detail for word in ("127.0.0.1", "password", str(mount.folder)))
    assert raised.value.retry_after_seconds
    assert str(mount.folder / "password") in reason_of(raised.value)
    assert "wr0ng-one" not in reason_of(raised.value)


@pytest.mark.parametrize("lacks", ["-fcall", "-hset", "-zadd"])
def test_rights_that_the_user_lacks_are_told_to_the_team(settings: Settings, server: SecuredServer, lacks: str) -> None:
    with server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "gristmill", lacks)
    with pytest.raises(UnavailableError) as raised:
        Lab(settings).worker()
    assert "not do what we must" in reason_of(raised.value)
    assert "not let this system in" in raised.value.detail


@pytest.mark.parametrize("has_secret", [True, False])
def test_a_stranger_finds_out_how_a_server_is_protected(
    start_secured: Start, mount: Mount, redis_files: Files, make_settings: MakeSettings, has_secret: bool
) -> None:
    server = start_secured(redis_files if has_secret else None)
    mount.put(for_clients(redis_files) if has_secret else {})
    with connect(make_settings(server.url, secrets_folder=mount.secrets_folder)) as client:
        assert protection_of(client) == Protection(has_password=has_secret, is_private=has_secret)


def test_a_password_that_nobody_needs_is_no_protection(
    start_server: Callable[..., RedisServer], make_settings: MakeSettings, mount: Mount
) -> None:
    server = start_server("redis")
    with server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "ann", "on", ">pw", "~*", "&*", "+@all")
    mount.put({"username": b"ann", "password": b"pw"})
    with connect(make_settings(server.url, secrets_folder=mount.secrets_folder)) as client:
        assert protection_of(client) == Protection(has_password=False, is_private=False)
