"""SIGKILL for what runs in a pod, on any cluster and under Pod Security `restricted`.

A child is killed by whoever is in its container. The first process of a container is not: the kernel keeps signals
from inside away from it, this one always, and from outside each cluster has other commands, none of which a namespace
gives. But the kernel itself kills a process, the first one too, that has had more seconds on the CPU than its hard
limit; and that limit may be lowered by everybody of the same user. So `prlimit`, which both of our images have, kills
the first process of a container as `kill -9` by the node would: with SIGKILL, without a word before.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from support.waiting import wait_until

from e2e.pods import Pod

_ONE_SECOND = "1:1"
"""The least that a limit of CPU time can be: soft and hard."""
_CPU_SECONDS = "awk '{print ($14 + $15) / '$(getconf CLK_TCK)'}' /proc/1/stat"
_KILL_CHILDREN = """
import os, signal, time
from gristmill.limits import children_of
(template,) = children_of(1)
for child in children_of(template):
    os.kill(child, signal.SIGKILL)
print(time.time())
"""


@dataclass(frozen=True)
class Death:
    """How a container ended. at: in seconds since 1970, to the second, cut off."""

    exit_code: int
    at: float


def container_of(pod: Pod) -> dict[str, Any]:
    """The state of the only container of a pod, as the cluster reports it."""
    (state,) = pod.document["status"]["containerStatuses"]
    return dict(state)


def kill_first(pod: Pod) -> Death:
    """SIGKILL to the first process of a fresh pod; returns once the cluster has started another.

    It takes effect when that process has had one second on the CPU: wait for ``is_mortal`` where the moment counts.
    """
    doom(pod)
    return death_of(pod)


def doom(pod: Pod) -> None:
    """As ``kill_first``, but does not wait.

    The kernel looks at the limit when its clock ticks: who sleeps then, as what is idle does, lives on.
    """
    assert container_of(pod)["restartCount"] == 0, f"{pod.name} is not fresh: the cluster would wait before its restart"
    pod.exec("prlimit", "--pid", "1", f"--cpu={_ONE_SECOND}")


def death_of(pod: Pod, seconds: float = 120) -> Death:
    """Wait until the cluster has started the container of a doomed pod again."""
    wait_until(lambda: is_restarted(pod), seconds, f"{pod.name} was killed", every=0.5)
    ended = container_of(pod)["lastState"]["terminated"]
    return Death(int(ended["exitCode"]), moment(ended["finishedAt"]))


def is_restarted(pod: Pod) -> bool:
    """Whether the cluster has started its container again."""
    return bool(container_of(pod)["restartCount"] == 1)


def is_mortal(pod: Pod) -> bool:
    """Whether ``kill_first`` would kill at once."""
    return float(pod.exec("sh", "-c", _CPU_SECONDS).stdout) > 1


def kill_children(worker: Pod) -> float:
    """SIGKILL to all children of a worker; returns the moment, in seconds since 1970."""
    return float(worker.exec("python", "-c", _KILL_CHILDREN).stdout)


def moment(text: str) -> float:
    """A time of Kubernetes, or of the API, in seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()
