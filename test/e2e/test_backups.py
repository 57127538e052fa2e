"""Backups as docs/deploy.md makes them: by the CronJob to its disk, and straight into a fresh environment elsewhere."""

import json
import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from support import deploy_docs
from support.client_view import seen as all_seen

from e2e.environment import Environment
from e2e.kubectl import Kubectl
from e2e.pods import Pod
from e2e.seen import Notes
from e2e.workload import Sleepers, submit
from gristmill.samples import penguins

BIRDS = "/datasets/birds?null=NA&null="
CSV = {"Content-Type": "text/csv"}


@pytest.fixture(scope="module")
def prod(
    new_namespace: Callable[[str], Kubectl], new_environment: Callable[[Kubectl, str], Environment]
) -> Environment:
    """A prod with two data sets, one in two versions, and jobs of several processes with their results."""
    made = new_environment(new_namespace("origin"), "prod")
    made.start()
    with made.client() as client:
        for path, content in (
            (BIRDS, penguins()),
            (BIRDS, "species,body_mass_g\nAdelie,3750\n"),
            ("/datasets/numbers", "n,square\n" + "".join(f"{n},{n * n}\n" for n in range(100_000))),
        ):
            answer = client.put(path, content=content, headers=CSV)
            assert answer.status_code == 201, answer.text
        oldest = {"dataset": "birds", "version": client.get("/datasets/birds").json()["versions"][-1]["version"]}
        jobs = [
            submit(client, "summary", {"table": oldest}),
            submit(client, "histogram", {"table": oldest, "column": "body_mass_g"}),
            submit(client, "regression", {"table": {"dataset": "numbers"}, "y": "square", "x": ["n"]}),
            *[submit(client, "echo", {"string": f"{n}" * 1000}) for n in range(20)],
        ]
        ended = Sleepers(client, jobs).ended(120)
        assert {job["status"] for job in ended} == {"successful"}, ended
    return made


def visible(environment: Environment) -> dict[str, Any]:
    """All that a client sees of it."""
    with environment.client() as client:
        return all_seen(client)


def test_the_cron_job_makes_a_backup_that_is_restored_from_its_disk(prod: Environment, seen: Notes) -> None:
    before = visible(prod)
    with seen.timed("backup by the CronJob, at once") as sight:
        prod.kubectl("create", "job", "backup-now", f"--from=cronjob/{prod.object('cronjob-backup')}")
        prod.kubectl("wait", "--for=condition=Complete", "job/backup-now", "--timeout=10m", seconds=620)
        sight.seen = prod.kubectl("logs", "job/backup-now").stdout.strip().splitlines()[-1]
    claim = prod.kubectl.get(f"pvc/{prod.object('pvc-backup')}")
    assert claim["status"]["phase"] == "Bound"

    with prod.client() as client:
        assert client.delete("/datasets/birds").status_code in {200, 204}
        submit(client, "echo", {"string": "after the backup"})
    pod = json.loads(prod.kubectl("create", "--dry-run=client", "-ojson", "-f-", stdin=restoring_pod(prod)).stdout)
    with prod.kubectl.running(pod), seen.timed("restored from that disk with --replace") as sight:
        restorer = Pod(prod.kubectl, pod["metadata"]["name"])
        (file,) = re.findall(r"\S+\.backup$", restorer.exec("ls", "-l", "/backup").stdout, re.MULTILINE)
        done = restorer.exec("gristmill", "restore", f"/backup/{file}", "--replace")
        sight.seen = restored(done.stderr)
    assert visible(prod) == before


def restoring_pod(environment: Environment) -> str:
    """The pod of the docs that reads the claim, with the image of these files."""
    image = environment.files.image_of(environment.name)
    return re.sub(r"(?<=image: )gristmill/gristmill:\S+", image, deploy_docs.shown("Pod"))


def test_production_is_restored_straight_into_a_fresh_test_of_another_namespace(
    prod: Environment,
    new_namespace: Callable[[str], Kubectl],
    new_environment: Callable[[Kubectl, str], Environment],
    seen: Notes,
) -> None:
    test = new_environment(new_namespace("copy"), "test")
    test.start()
    before = visible(prod)
    with seen.timed("prod restored straight into a fresh test elsewhere") as sight:
        sight.seen = restored(piped(prod, test))
    assert visible(test) == before
    data_sets = sum(name.startswith("/datasets/") and "/versions/" not in name for name in before)
    jobs = sum(not name.startswith("/") for name in before)
    assert (data_sets, jobs) == (2, 23)
    seen.add("compared: all that a client sees", f"{data_sets} data sets, {jobs} jobs and their results")
    with test.client() as client:
        assert Sleepers.submitted(client, 1, seconds=0).ended(30)[0]["status"] == "successful"


def piped(one: Environment, other: Environment) -> str:
    """Back up one into the other, as the docs do; returns what the restore said."""
    backup = one.kubectl.command("exec", one.deployment("worker"), "--", "gristmill", "backup", "-")
    restore = other.kubectl.command("exec", "-i", other.deployment("worker"), "--", "gristmill", "restore", "-")
    with subprocess.Popen(backup, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as sender:
        receiver = subprocess.run(restore, stdin=sender.stdout, capture_output=True, timeout=300, check=False)
        _, said = sender.communicate(timeout=60)
    assert sender.returncode == 0, said.decode()
    assert receiver.returncode == 0, receiver.stderr.decode()
    return receiver.stderr.decode()


def restored(said: str) -> str:
    """What a restore says that it restored."""
    (line,) = re.findall(r"^Restored: (.+)\.$", said, re.MULTILINE)
    return str(line)
