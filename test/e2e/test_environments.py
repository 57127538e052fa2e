"""Both environments from nothing, without any Secret, side by side in one namespace that enforces `restricted`."""

from collections.abc import Callable, Iterator

import httpx
import pytest
from support.manifests import ENVIRONMENTS, LABEL, paths, pods

from e2e.environment import COMPONENTS, Environment
from e2e.images import Images
from e2e.kubectl import Kubectl
from e2e.seen import Notes
from e2e.verified import counts, outcomes
from gristmill.samples import penguins

every_environment = pytest.mark.parametrize("name", ENVIRONMENTS)
# What has no Secret yet: a warning in test, and in prod what `gristmill verify prod` is to insist on.
UNPROTECTED = {"environment.redis_password", "environment.redis_tls", "environment.tokens"}


@pytest.fixture(scope="module")
def namespace(new_namespace: Callable[[str], Kubectl]) -> Kubectl:
    return new_namespace("both")


@pytest.fixture(scope="module")
def both(
    namespace: Kubectl, new_environment: Callable[[Kubectl, str], Environment], seen: Notes
) -> dict[str, Environment]:
    made = {name: new_environment(namespace, name) for name in ENVIRONMENTS}
    with seen.timed("both applied from nothing, until all is ready"):
        for one in made.values():
            one.apply()
        for one in made.values():
            one.wait_rolled_out()
    return made


@pytest.fixture(scope="module")
def clients(both: dict[str, Environment]) -> Iterator[dict[str, httpx.Client]]:
    with both["test"].client() as test, both["prod"].client() as prod:
        yield {"test": test, "prod": prod}


@every_environment
def test_all_pods_are_ready_and_were_never_started_again(both: dict[str, Environment], name: str, seen: Notes) -> None:
    selector = f"--selector={LABEL}instance=app-{name}"
    found = both[name].kubectl.get("pods", selector)
    states = {it["metadata"]["name"]: it["status"]["containerStatuses"] for it in found}
    assert len(states) == sum(pods(name)[component].count for component in COMPONENTS)
    assert all(one["ready"] and one["restartCount"] == 0 for state in states.values() for one in state), states
    seen.add(f"{name}: pods ready, none restarted", str(len(states)))


def test_the_namespace_refuses_a_pod_that_wants_more(namespace: Kubectl, images: Images, seen: Notes) -> None:
    image = f"{images.repository}:{images.first}"
    done = namespace("run", "more", f"--image={image}", "--privileged", check=False)
    assert done.returncode != 0
    assert 'violates PodSecurity "restricted' in done.stderr
    seen.add("a privileged pod is refused: `restricted` is enforced")


@every_environment
def test_a_second_apply_changes_nothing(both: dict[str, Environment], name: str, seen: Notes) -> None:
    one = both[name]
    diff = one.kubectl("diff", f"--filename={one.files.of(name)}", check=False)
    assert (diff.returncode, diff.stdout) == (0, ""), diff.stdout + diff.stderr
    before = generations(one)
    said = one.apply().splitlines()
    assert len(said) == len(paths(name))
    # An apply says `configured` of budgets each time, since their update strategy is to replace.
    assert all(line.endswith(" unchanged") or line.startswith("poddisruptionbudget") for line in said), said
    assert generations(one) == before
    seen.add(f"{name}: diff after apply is empty, a second apply changes nothing")


def generations(environment: Environment) -> dict[str, int]:
    """How often the specification of each object was changed."""
    found = environment.kubectl.get(f"--filename={environment.files.of(environment.name)}")
    return {f"{it['kind']}/{it['metadata']['name']}": it["metadata"].get("generation", 0) for it in found}


@every_environment
def test_the_release_is_the_tag(both: dict[str, Environment], images: Images, name: str) -> None:
    with both[name].client() as client:
        told = client.get("/version").json()
    assert (told["release"], told["environment"]) == (images.first, name)


def test_jobs_and_data_sets_of_one_are_not_seen_in_the_other(clients: dict[str, httpx.Client], seen: Notes) -> None:
    test, prod = clients["test"], clients["prod"]
    answer = test.put("/datasets/of-test", content=penguins(), headers={"Content-Type": "text/csv"})
    assert answer.status_code == 201, answer.text
    job = test.post(
        "/processes/echo/execution", json={"inputs": {"string": "of test"}}, headers={"Prefer": "respond-async"}
    )
    assert job.status_code == 201, job.text
    path = f"/jobs/{job.json()['jobID']}"

    assert test.get(path, headers={"Prefer": "wait=20"}).json()["status"] == "successful"
    assert test.get("/datasets/of-test").status_code == 200
    assert prod.get(path).status_code == 404
    assert prod.get("/datasets/of-test").status_code == 404
    assert prod.get("/jobs").json()["jobs"] == []
    assert prod.get("/datasets").json()["datasets"] == []
    seen.add("a job and a data set of test are not there in prod")


@every_environment
@pytest.mark.parametrize("component", ["flask", "worker"])
def test_pods_of_one_do_not_reach_the_redis_of_the_other(
    both: dict[str, Environment], name: str, component: str, seen: Notes
) -> None:
    own, other = (both[one].object("service-redis") for one in sorted(ENVIRONMENTS, key=lambda one: one != name))
    pod = both[name].pods(component)[0]
    assert pod.reaches(own, 6379)
    assert not pod.reaches(other, 6379)
    seen.add(f"{name}: {component} reaches its own Redis, and not the other's")


@every_environment
def test_verify_passes_from_the_debug_pod_by_service_dns(both: dict[str, Environment], name: str, seen: Notes) -> None:
    with both[name].debug_pod() as debug, seen.timed(f"verify {name} from the debug pod, Service DNS") as sight:
        report = both[name].verified_inside(debug)
    missing = {"test": "warning", "prod": "failed"}[name]
    assert set(outcomes(report, "failed", "not run")) == (UNPROTECTED if name == "prod" else set()), report["checks"]
    assert set(outcomes(report, missing)) == UNPROTECTED, report["checks"]
    sight.seen = counts(report)


@every_environment
@pytest.mark.parametrize("way", ["NodePort", "Ingress"])
def test_verify_passes_from_outside(both: dict[str, Environment], name: str, way: str, seen: Notes) -> None:
    url = both[name].nodeport_url if way == "NodePort" else both[name].ingress_url
    with seen.timed(f"verify {name} from outside, {way}") as sight:
        report = both[name].verified(url)
    assert report["exitCode"] == 0, outcomes(report, "failed", "not run")
    assert report["environment"] == name
    sight.seen = counts(report)
