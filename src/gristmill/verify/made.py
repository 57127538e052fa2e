"""What a run has made at the target, and its removal."""

import re
from collections import Counter
from dataclasses import dataclass, field

from gristmill.verify.answers import Answer, MismatchError, NoAnswerError
from gristmill.verify.clock import TimeUpError
from gristmill.verify.session import Session

_JOB = re.compile(r"/jobs/([^/?#<>\s]+)")
# A running job is dismissed, then deleted; the third time it must be gone.
_TRIES = 3
_SEARCHED = 200


@dataclass(slots=True)
class Made:
    """Jobs and data sets of a run that are still there, as far as it knows. lost: requests whose job is not known.

    removed: how many of each are gone. leftovers: what could not be removed, each with the reason.
    """

    jobs: dict[str, None] = field(default_factory=dict)
    data_sets: dict[str, None] = field(default_factory=dict)
    lost: int = 0
    removed: Counter[str] = field(default_factory=Counter)
    leftovers: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is there to remove."""
        return not (self.jobs or self.data_sets or self.lost)

    def expect_job(self) -> None:
        """Before a request that makes a job: until its answer has been told to ``learn``, a job may be lost."""
        self.lost += 1

    def learn(self, answer: Answer) -> str:
        """Remember the job of the answer to such a request; returns its id, or ""."""
        job = job_of(answer)
        if job:
            self.jobs[job] = None
        if job or 400 <= answer.status < 500:
            self.lost -= 1
        return job

    def remove(self, session: Session, mark: str) -> list[str]:
        """Delete everything; returns what is left, each with the reason. ``mark``: a text in the inputs of each job."""
        left = []
        if self.lost:
            left += self._find_lost(session, mark)
        for job in list(self.jobs):
            if reason := _why_left(session, f"/jobs/{job}"):
                left.append(f"job {job}: {reason}")
            else:
                del self.jobs[job]
                self.removed["jobs"] += 1
        for name in list(self.data_sets):
            if reason := _why_left(session, f"/datasets/{name}"):
                left.append(f"data set {name}: {reason}")
            else:
                del self.data_sets[name]
                self.removed["data sets"] += 1
        return left

    def _find_lost(self, session: Session, mark: str) -> list[str]:
        """Look for the jobs whose ids were never told, by the mark in their inputs."""
        told = f"perhaps jobs with {mark!r} in their inputs: {self.lost} requests had no answer that names the job"
        try:
            listed = session.get("/jobs", params={"processID": "echo,summary", "limit": str(_SEARCHED)}).expect(200)
            for entry in listed.at("jobs", kind=list):
                job = str(entry.get("jobID", "")) if isinstance(entry, dict) else ""
                if job and job not in self.jobs and mark.encode() in session.get(f"/jobs/{job}/prov").body:
                    self.jobs[job] = None
                    self.lost -= 1
        except (MismatchError, NoAnswerError, TimeUpError) as error:
            return [f"{told}, and looking for them failed: {error}"]
        return []


def job_of(answer: Answer) -> str:
    """The id of the job that an answer names in Location, in Link or in its body; "" where there is none."""
    for text in (answer.header("Location"), answer.header("Link")):
        if found := _JOB.search(text):
            return found[1]
    if answer.status == 201:
        try:
            return str(answer.at("jobID", kind=str))
        except MismatchError:
            return ""
    return ""


def _why_left(session: Session, path: str) -> str:
    """Delete until it is gone; returns why it is not, or ""."""
    try:
        for _ in range(_TRIES):
            answer = session.delete(path)
            if answer.status in {404, 410}:
                return ""
            if answer.status != 200:
                return f"{answer.asked} was answered with {answer.told}"
        answer = session.get(path)
    except NoAnswerError as error:
        return str(error)
    except TimeUpError:
        return "the time was up before it could be deleted"
    return "" if answer.status == 404 else f"it is still there after it was deleted {_TRIES} times"
