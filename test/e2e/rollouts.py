"""An environment that is updated, and what can be seen of its pods before and after."""

from support.manifests import LABEL
from support.waiting import wait_until

from e2e.environment import Environment
from e2e.traffic.doors import Door

UPDATED = ("flask", "worker")
"""The components that a release changes."""
_RELEASE = "import httpx; print(httpx.get('http://127.0.0.1:8000/version').json()['release'])"


def doors_of(environment: Environment) -> list[Door]:
    """The ways from outside, each of them open: proxies and port rules follow some time after the pods."""
    doors = [Door("NodePort", environment.nodeport_url), Door("Ingress", environment.ingress_url)]
    for door in doors:
        wait_until(door.is_open, 30, f"{door.url} answers", every=0.5)
    return doors


def update(environment: Environment, version: str) -> None:
    """Do what a person does for a new version, and wait until the old pods are gone."""
    environment.files.set_release(environment.name, version)
    environment.apply()
    environment.wait_rolled_out(*UPDATED)
    for component in UPDATED:
        wait_until(
            lambda it=component: not _leaving(environment, it), 120, f"old pods of {component} are gone", every=1
        )


def versions(environment: Environment) -> set[str]:
    """What the pods of the API say that they are."""
    return {pod.exec("python", "-c", _RELEASE).stdout.strip() for pod in environment.pods("flask")}


def containers(environment: Environment, component: str) -> dict[str, tuple[str, int]]:
    """The containers of a component by pod, each with its identity and how often it was restarted."""
    return {
        pod.name: (one["containerID"], one["restartCount"])
        for pod in environment.pods(component)
        for one in pod.document["status"]["containerStatuses"]
    }


def _leaving(environment: Environment, component: str) -> bool:
    """Whether pods of a component are on their way out."""
    selector = f"{LABEL}instance=app-{environment.name},{LABEL}component={component}"
    found = environment.kubectl.get("pods", f"--selector={selector}")
    return any("deletionTimestamp" in one["metadata"] for one in found)
