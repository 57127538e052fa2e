"""An environment by its name must have a Redis with password and TLS, and tokens: prod fails without, test warns."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import redis
from support import wait_until
from support.acceptance import Api, Certificate, named, result_of, run
from support.servers import RedisServer, free_port

from gristmill.lifeline import tied
from gristmill.verify.check import Outcome
from gristmill.verify.redis_door import Door, look

pytestmark = pytest.mark.slow

Apis = Callable[..., Api]
Serve = Callable[..., int]
USER = ["--user default off", "--user app on >secret ~* &* +@all"]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Return a function that starts a real Redis, since Valkey comes without TLS, and returns its port."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    with ExitStack() as stack:

        def start(*arguments: str, tls: Certificate | None = None) -> int:
            port = free_port()
            given = ["--port", str(port)]
            if tls:
                given = ["--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no"]
                given += ["--tls-cert-file", str(tls.cert), "--tls-key-file", str(tls.key)]
                given += ["--tls-ca-cert-file", str(tls.cert)]
            words = [word for argument in arguments for word in argument.split(" ")]
            command = ["redis-server", *given, "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path), *words]
            process = stack.enter_context(subprocess.Popen(tied(command), stdout=subprocess.DEVNULL))
            stack.callback(process.terminate)
            client = redis.Redis(
                port=port, ssl=bool(tls), ssl_cert_reqs="none", username="app", password="secret", socket_timeout=5
            )
            stack.callback(client.close)

            def answers() -> bool:
                assert process.poll() is None, "redis-server ended; perhaps it was built without TLS"
                with suppress(redis.ConnectionError, redis.TimeoutError):
                    try:
                        return bool(client.ping())
                    except (redis.AuthenticationError, redis.ResponseError):
                        return True
                return False

            wait_until(answers, 20, "redis-server answers")
            return port

        yield start


def test_a_redis_without_password_is_open(start_server: Callable[..., RedisServer]) -> None:
    door = look(start_server("valkey").url, None)
    assert (door.has_tls, door.is_open, door.reply) == (False, True, "+PONG")


def test_a_redis_with_a_password_lets_no_stranger_in(serve: Serve) -> None:
    door = look(f"redis://ada:secret@127.0.0.1:{serve(*USER)}/0", None)
    assert (door.has_tls, door.is_open) == (False, False)
    assert door.reply.startswith("-NOAUTH")
    assert "secret" not in repr(door)


def test_a_redis_with_tls_is_trusted_by_its_authority_alone(
    serve: Serve, certificate: Certificate, tmp_path: Path
) -> None:
    port = serve(*USER, tls=certificate)
    url = f"redis://127.0.0.1:{port}/0"
    assert look(url, certificate.cert) == Door(f"127.0.0.1:{port}", True, False, "-NOAUTH Authentication required.", "")
    assert "no ca.crt" in look(url, None).distrust
    (tmp_path / "other").mkdir()
    other = Certificate.make(tmp_path / "other")
    assert other is not None
    door = look(url, other.cert)
    assert "not trusted" in door.distrust
    assert (door.has_tls, door.is_open) == (True, False)


def test_a_redis_with_tls_and_without_password_is_open(serve: Serve, certificate: Certificate) -> None:
    assert look(f"rediss://127.0.0.1:{serve(tls=certificate)}", certificate.cert).is_open


def _secrets(folder: Path, certificate: Certificate) -> Path:
    (folder / "secrets" / "redis").mkdir(parents=True)
    shutil.copy(certificate.cert, folder / "secrets" / "redis" / "ca.crt")
    return folder / "secrets"


CHECKS = ("environment.name", "environment.redis_password", "environment.redis_tls", "environment.tokens")


def test_prod_with_password_tls_and_tokens_is_as_it_must_be(
    apis: Apis, serve: Serve, certificate: Certificate, tmp_path: Path
) -> None:
    url = apis("run", tokens=True, ENVIRONMENT="prod").url
    report = run(
        url,
        *CHECKS,
        environment="prod",
        redis_url=f"redis://127.0.0.1:{serve(*USER, tls=certificate)}/0",
        secrets_folder=_secrets(tmp_path, certificate),
    )
    assert named(report, Outcome.FAILED, Outcome.WARNED, Outcome.NOT_RUN) == {}
    assert set(CHECKS) <= set(named(report, Outcome.PASSED))


@pytest.mark.parametrize(("environment", "outcome", "code"), [("prod", Outcome.FAILED, 1), ("test", Outcome.WARNED, 0)])
def test_what_is_missing_fails_in_prod_and_warns_in_test_with_the_command_that_mends_it(
    apis: Apis, start_server: Callable[..., RedisServer], environment: str, outcome: Outcome, code: int
) -> None:
    url = apis("run", ENVIRONMENT=environment).url
    report = run(url, *CHECKS, environment=environment, redis_url=start_server("valkey").url)
    found = named(report, outcome)
    assert set(found) == set(CHECKS[1:])
    for reason in found.values():
        assert f"gristmill secret {environment} | kubectl apply -f -" in reason
        assert f"kubectl rollout restart deployment/app-{environment}-deployment-redis" in reason
    assert report.exit_code == code


def test_tls_without_the_authority_at_hand_is_a_warning(apis: Apis, serve: Serve, certificate: Certificate) -> None:
    url = apis("run", ENVIRONMENT="test").url
    port = serve(*USER, tls=certificate)
    report = run(url, "environment.redis_tls", environment="test", redis_url=f"redis://127.0.0.1:{port}/0")
    assert "no ca.crt" in named(report, Outcome.WARNED)["environment.redis_tls"]


def test_a_redis_that_cannot_be_reached_from_here_is_a_failure_that_says_where_to_run_it(apis: Apis) -> None:
    url = apis("run", ENVIRONMENT="test").url
    report = run(url, "environment.redis_password", environment="test", redis_url="redis://ada:secret@redis.invalid/0")
    result = result_of(report, "environment.redis_password")
    assert "app-test-pod-debug" in result.right
    assert "secret" not in repr(result)


def test_a_redis_that_refuses_the_connection_is_a_failure_that_says_what_to_look_at(apis: Apis) -> None:
    url = apis("run", ENVIRONMENT="test").url
    gone = f"redis://ada:secret@127.0.0.1:{free_port()}/0"
    report = run(url, "environment.redis_password", environment="test", redis_url=gone)
    result = result_of(report, "environment.redis_password")
    assert "refused" in result.came
    assert "kubectl describe pod -l app.kubernetes.io/instance=app-test" in result.right
    assert "`kubectl rollout restart deployment/app-test-deployment-redis" in result.right
    assert "app-test-pod-debug" not in result.right
    assert "secret" not in repr(result)


def test_a_token_file_that_the_api_does_not_use_is_told(apis: Apis, tmp_path: Path) -> None:
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens" / "tokens").write_text("")
    url = apis("run", ENVIRONMENT="prod").url
    report = run(url, "environment.tokens", environment="prod", secrets_folder=tmp_path)
    assert "restart the API" in result_of(report, "environment.tokens").came


def test_everything_for_everybody_fails_in_prod_and_is_a_warning_in_test(apis: Apis) -> None:
    assert "manage" in result_of(run(apis(ENVIRONMENT="prod").url, "access.stranger"), "access.stranger").came
    assert "manage" in named(run(apis(ENVIRONMENT="test").url, "access.stranger"), Outcome.WARNED)["access.stranger"]
