"""A system with everything in it that a backup may meet."""

from dataclasses import dataclass, replace

from gristmill.job import End, Finish, Idempotency, Lost, NewJob, Output, new_id
from gristmill.settings import Settings
from support.lab import DONE, OFFER, Lab, child_of
from support.shelf import Shelf, version_of

LONG = b'"' + b"z" * 3_000_000 + b'"'
LIMITED = replace(OFFER, process="limited", concurrent=1)
OFFERS = (OFFER, LIMITED)
SUBSCRIBER = {
    "successUri": "https://example.org/s", "failedUri": "https://example.org/f",
    "inProgressUri": "https://example.org/p",
}  # fmt: skip
KEY = Idempotency("ann POST /x", "key", "body")
DELETED_KEY = Idempotency("ann POST /x", "deleted", "body")
A, B, C = b"a" * 3_000_000, b"b" * 1000, b"c" * 50_000


@dataclass
class OddSystem:
    """Some of the jobs by what they are; see ``make``."""

    lab: Lab
    shelf: Shelf
    worker: str
    jobs: dict[str, str]


def make(settings: Settings) -> OddSystem:
    """Jobs in every state, with everything that a job can have, and data sets that share versions."""
    lab, shelf = Lab(settings), Shelf(settings)
    worker = lab.worker(*OFFERS)
    jobs = {}

    def submit(name: str, owner: str = "ann", process: str = "echo", inputs: bytes = b"{}", **more) -> str:
        job = NewJob(new_id(), process, owner, inputs, OFFER.interface, "v1", **more)
        jobs[name] = lab.jobs.submit(job, idempotency=KEY if name == "keyed" else None).job.id
        return jobs[name]

    def run(name: str, how: Finish = DONE, **more) -> None:
        submit(name, **more)
        attempt = lab.claim(worker, *OFFERS)
        assert attempt.job_id == jobs[name]
        outputs = tuple(
            lab.jobs.put_output(attempt.token, attempt.job_id, output.name, output.media_type, output.data or b"")
            for output in how.outputs
        )
        lab.finish(attempt, replace(how, outputs=outputs))

    made = Finish((Output("picture", "image/png", LONG, "", len(LONG)), *DONE.outputs), log=b"done\n")
    run("keyed")
    run("with everything", made, inputs=LONG, request='{"response": "raw"}', subscriber=SUBSCRIBER)
    run("original", made, equal_work="same")
    submit("copy", owner="bob", equal_work="same")
    run("long log", replace(DONE, log=b"line\n" * 10_000))
    run("failed", Finish(end=End.EXCEPTION, detail="why not", log=b"Traceback"), subscriber=SUBSCRIBER)
    submit("dismissed")
    lab.jobs.dismiss(jobs["dismissed"])
    submit("crashed")
    for _ in range(2):
        lab.jobs.settle(child_of(lab.claim(worker)), Lost(End.CRASHED, "signal 11", b"the end"))
    run("delayed", Finish(end=End.EXCEPTION, detail="later", retry_after=5000, log=b"first try"), queue_seconds=900)
    submit("deleted")
    lab.finish(lab.claim(worker))
    lab.jobs.delete(jobs.pop("deleted"))
    gone = lab.jobs.submit(lab.new(), idempotency=DELETED_KEY).job.id
    lab.jobs.dismiss(gone)
    lab.jobs.delete(gone)
    submit("running", inputs=LONG, subscriber=SUBSCRIBER)
    attempt = lab.claim(worker, *OFFERS)
    lab.jobs.progress(attempt.job_id, attempt.token, 40, "half way")
    lab.jobs.put_output(attempt.token, attempt.job_id, "unfinished", "text/plain", LONG)
    submit("running alone", process="limited", owner="cy")
    lab.claim(worker, *OFFERS)
    submit("under way", equal_work="other", queue_seconds=800)
    submit("joined", owner="bob", equal_work="other")
    for number in range(5):
        submit(f"waiting {number}", owner="cy", process="limited", priority=3 - number % 3, inputs=LONG[:5000] + b'"')
    submit("odd owner", owner="böb|:@ x")
    lab.jobs.pause("another")
    lab.jobs.signing_secret("ann")

    shelf.put("flights", A)
    shelf.put("flights", B)
    shelf.put("air", A, owner="bob")
    shelf.put("café".encode().hex(), C, owner="böb")
    shelf.store.describe("flights", {"title": "Flüge", "columns": {"x": {"unit": "m", "description": "far"}}}, ["x"])
    far = lab.client.time()[0] * 1_000_000 + 10**12
    shelf.store.hold("flights", version_of(A).id, jobs["waiting 0"], far)
    shelf.store.hold("air", version_of(A).id, jobs["waiting 1"], far + 1)
    shelf.store.hold("flights", version_of(B).id, jobs["waiting 1"], far)
    shelf.store.hold("flights", version_of(B).id, gone, far)
    shelf.store.reserve("unfinished", "ann", 1000)
    return OddSystem(lab, shelf, worker, jobs)
