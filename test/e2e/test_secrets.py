"""Password and TLS for Redis, and tokens: turned on and changed by the commands of docs/deploy.md; nothing is lost."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.client_view import seen as all_seen
from support.secured import run_secret
from support.waiting import wait_until

from e2e.environment import Environment
from e2e.images import Images
from e2e.kubectl import Kubectl
from e2e.pods import Pod, stranger
from e2e.seen import Notes
from e2e.verified import counts, outcomes
from e2e.workload import Sleepers
from gristmill.samples import penguins


@dataclass
class Production:
    """A prod that got its Secrets when there was something in it already. before: what a client saw until then."""

    environment: Environment
    before: dict[str, Any] = field(default_factory=dict)
    token: str = ""

    def renew(self, *options: str) -> None:
        """Make the Secrets anew, and restart what they say. Without options, that is a new token too."""
        made = run_secret("prod", *options)
        assert made.returncode == 0, made.stderr
        told = re.search(r"Token of admin, told this once: (\S+)", made.stderr)
        self.token = told[1] if told else self.token
        self.environment.kubectl("apply", "--filename=-", stdin=made.stdout)
        self.environment.restart("redis", "flask", "worker")

    def now(self) -> dict[str, Any]:
        """What the holder of the token sees, as soon as the API reaches Redis."""
        with self.environment.client(token=self.token) as client:
            wait_until(lambda: client.get("/jobs").status_code == 200, 60, "the API reaches Redis", every=0.5)
            return all_seen(client)


@pytest.fixture(scope="module")
def production(
    new_namespace: Callable[[str], Kubectl], new_environment: Callable[[Kubectl, str], Environment], seen: Notes
) -> Production:
    made = Production(new_environment(new_namespace("secrets"), "prod"))
    made.environment.start()
    with made.environment.client() as client:
        answer = client.put("/datasets/birds?null=NA&null=", content=penguins(), headers={"Content-Type": "text/csv"})
        assert answer.status_code == 201, answer.text
        inputs = {"inputs": {"table": {"dataset": "birds"}}, "response": "document"}
        answer = client.post("/processes/summary/execution", json=inputs)
        assert answer.status_code == 200, answer.text
        made.before = all_seen(client)
    with seen.timed("prod: password, TLS and tokens turned on, all restarted"):
        made.renew()
    return made


def test_what_was_there_before_the_secrets_is_there_with_them(production: Production, seen: Notes) -> None:
    assert production.now() == production.before
    seen.add("prod: data sets, jobs and results are there as before", f"{len(production.before)} compared")


def test_verify_prod_is_content(production: Production, seen: Notes) -> None:
    one = production.environment
    with one.debug_pod() as debug, seen.timed("verify prod from the debug pod, with Secrets") as sight:
        report = one.verified_inside(debug, production.token)
    assert report["exitCode"] == 0, outcomes(report, "failed", "not run")
    assert not outcomes(report, "warning")
    sight.seen = counts(report)


@pytest.mark.parametrize("way", ["NodePort", "Ingress"])
@pytest.mark.parametrize("who", ["a token", "nothing"])
def test_verify_passes_from_outside_with_a_token_and_without(
    production: Production, way: str, who: str, seen: Notes
) -> None:
    one = production.environment
    url = one.nodeport_url if way == "NodePort" else one.ingress_url
    with seen.timed(f"verify prod from outside with {who}, {way}") as sight:
        report = one.verified(url, production.token if who == "a token" else "")
    assert report["exitCode"] == 0, outcomes(report, "failed", "not run")
    sight.seen = counts(report)


def test_nobody_gets_into_redis_without_the_password_or_without_tls(production: Production, seen: Notes) -> None:
    (redis,) = production.environment.pods("redis")
    plain = redis.exec("redis-cli", "ping", check=False)
    assert "PONG" not in plain.stdout
    through_tls = redis.exec("redis-cli", "--tls", "--insecure", "ping", check=False)
    assert "NOAUTH" in through_tls.stdout + through_tls.stderr
    seen.add("prod: Redis takes no connection without TLS, and no command without a password")


def test_a_strangers_pod_works_and_does_not_reach_redis(production: Production, images: Images, seen: Notes) -> None:
    one = production.environment
    with stranger(one.kubectl, f"{images.repository}:{images.first}") as other:
        assert other.reaches(one.object("service-flask"), 80)
        assert not other.reaches(one.object("service-redis"), 6379)
        with one.debug_pod() as debug:
            assert debug.reaches(other.address, 8000)
            assert debug.reaches(one.object("service-redis"), 6379)
    seen.add("a stranger's pod serves and asks as before, and does not reach Redis")


def test_a_changed_password_and_certificate_lose_nothing(production: Production, seen: Notes) -> None:
    one = production.environment
    with seen.timed("prod: password and certificate changed, all restarted"):
        production.renew("--redis")
    assert production.now() == production.before
    with one.debug_pod() as debug:
        report = one.verified_inside(debug, production.token)
    assert report["exitCode"] == 0, outcomes(report, "failed", "not run")
    assert not outcomes(report, "warning")
    seen.add("prod: verify is content after the change, and the token still counts", counts(report))


def test_redis_runs_on_with_changed_files_until_it_is_restarted_and_the_others_need_no_restart(
    production: Production, seen: Notes
) -> None:
    one = production.environment
    others = [pod for component in ("flask", "worker") for pod in one.pods(component)]
    (redis,) = one.pods("redis")
    pods = [redis, *others]
    old = {pod.name: secret_files(pod) for pod in pods}
    one.kubectl("apply", "--filename=-", stdin=run_secret("prod", "--redis").stdout)
    with seen.timed("a changed Secret in the files of all running pods"):
        for pod in pods:  # each learns of it in its own time
            wait_until(lambda pod=pod: secret_files(pod) != old[pod.name], 240, f"files of {pod.name} are new", every=2)
    assert redis.restarts == 0
    with seen.timed("prod: Redis alone restarted, until the API reaches it with the new password"):
        one.restart("redis")
        assert production.now() == production.before
    with one.client(token=production.token) as client:
        assert Sleepers.submitted(client, 1, seconds=0).ended(60)[0]["status"] == "successful"
    after = [pod for component in ("flask", "worker") for pod in one.pods(component)]
    assert {pod.name for pod in after} == {pod.name for pod in others}
    assert [pod.restarts for pod in after] == [0] * len(others)
    assert redis.name not in {pod.name for pod in one.pods("redis")}


def secret_files(pod: Pod) -> str:
    """Where the pod has the files of Redis's Secret now: another folder for each content."""
    return pod.exec("readlink", "/run/secrets/redis/..data", "/run/secrets/gristmill/redis/..data", check=False).stdout
