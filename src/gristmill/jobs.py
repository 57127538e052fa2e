"""The job queue over Redis: one call of the function library ``jobs.lua`` for each change of state.

The table of all keys, and the fields of a record, stand at the top of ``jobs.lua``.
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from redis.exceptions import ResponseError

from gristmill import __version__
from gristmill.errors import (
    ConflictError,
    IdempotencyMismatchError,
    InvalidRequestError,
    LostAttemptError,
    NoSuchJobError,
    StorageFullError,
    TooManyJobsError,
    UnavailableError,
)
from gristmill.job import (
    Attempt,
    CallBack,
    Finish,
    Idempotency,
    Job,
    JobFilter,
    JobPage,
    Lost,
    NewJob,
    Offer,
    Output,
    QueueState,
    Status,
    Submitted,
    Waiting,
    WorkerState,
    new_id,
)
from gristmill.library import Library
from gristmill.records import (
    CHUNK_BYTES,
    CODES,
    INLINE_BYTES,
    blob_text,
    chunk_count,
    decode,
    facts_text,
    inputs_of,
    offers_of,
    offers_text,
    pack,
    pack_outputs,
    release_key,
    unpack,
)
from gristmill.settings import Settings
from gristmill.store import LONGEST_BLOCK_SECONDS, Client

BLOB_TTL_SECONDS = 3600
LOG_BYTES = 64 * 1024
_LARGEST_LIST = 1000
_US = 1_000_000


def new_worker_id() -> str:
    """Make a worker's id: 8 letters and digits."""
    return new_id()[-8:]


class Jobs:
    """The engine. Safe to use from several threads; every call may raise UnavailableError."""

    def __init__(self, client: Client, settings: Settings, release: str = __version__) -> None:
        self.client = client
        self.prefix = settings.key_prefix
        self.release = release
        self._library = Library(client, self.prefix)
        self._settings = settings
        self._key = release_key(release)
        self._facts: dict[str, tuple[str, str, str]] = {}
        self._accepts: dict[tuple[str, str], str] = {}
        self._offers: dict[tuple[Offer, ...], tuple[str, dict[str, str]]] = {}
        self._periods = (
            int(settings.beat_seconds * _US),
            int(settings.lease_seconds * _US),
            settings.retention_seconds * _US,
            settings.no_worker_seconds * _US,
        )
        self._submit_limits = (
            f"{settings.queued_jobs_per_owner} {settings.stored_bytes_per_owner} {settings.retention_seconds * 1000}"
        )

    def close(self) -> None:
        """Close the connections that are not in use; the next call makes new ones."""
        self._library.close()
        self.client.close()

    def event_channel(self, job_id: str) -> str:
        """The pub/sub channel that tells ``<revision> <status> <progress>`` at every change of the job."""
        return f"{self.prefix}:ev:{job_id}"

    def control_channel(self, worker: str) -> str:
        """The pub/sub channel that tells a worker the tokens that have died."""
        return f"{self.prefix}:ctl:{worker}"

    # Submitting

    def submit(self, job: NewJob, *, idempotency: Idempotency | None = None) -> Submitted:
        """Make a job, and queue it, in one step; safe to repeat with the same id.

        Raises TooManyJobsError, StorageFullError (of Redis or of the owner), IdempotencyMismatchError, ConflictError
        (the key's job was deleted).
        """
        reference = self._accepting(job.process_version, job.interface)
        inputs, more = job.inputs, _more(job)
        if len(inputs) > INLINE_BYTES:
            more["blob"] = blob_text(self._put_blob(f"{job.id}i", "inputs", "application/json", inputs))
            inputs = b""
        if idempotency:
            more["key"] = _key_of(idempotency)
            more["body"] = _digest(idempotency.body)[:8]
        try:
            how, job_id, found = self._library.call(
                "submit", job.id, job.process, job.owner, inputs, f"{job.process}@{job.interface}@{self._key}",
                reference, self._submit_limits, pack(more) if more else "",
            )  # fmt: skip
        except ResponseError as error:
            raise self._refusal(error, job) from error
        if isinstance(found, int):
            return Submitted(self._fresh(job, inputs, more.get("blob", ""), found), how.decode())
        return Submitted(decode(job_id.decode(), found, self._fact_of), how.decode())

    def _fresh(self, job: NewJob, inputs: bytes, blob: str, created: int) -> Job:
        """The job as it now is in Redis, without reading it."""
        return Job(
            job.id, job.process, job.owner, Status.ACCEPTED, created, created, 1,
            priority=min(job.priority, 3), interface=job.interface, process_version=job.process_version,
            release=self.release, request=job.request, inputs=inputs_of(inputs, blob),
        )  # fmt: skip

    def _refusal(self, error: ResponseError, job: NewJob) -> Exception:
        word, _, rest = str(error).partition(" ")
        if word == "TOOMANY":
            return TooManyJobsError(
                f"{job.owner} has {rest} unfinished jobs, as many as one owner may have; wait until some finish.",
                retry_after_seconds=10,
            )
        if word == "OWNERFULL":
            return StorageFullError(
                f"{job.owner} has stored {rest} bytes of inputs and results, of at most "
                f"{self._settings.stored_bytes_per_owner}; delete finished jobs."
            )
        if word == "MISMATCH":
            return IdempotencyMismatchError("This Idempotency-Key came with another body before; use a new key.")
        if word == "GONE":
            return ConflictError(f"This Idempotency-Key made job {rest}, which has been deleted; use a new key.")
        if word == "EXPIRED":
            return UnavailableError("The inputs took too long to arrive; try again.", retry_after_seconds=1)
        return error

    def knows(self, idempotency: Idempotency) -> bool:
        """Whether a submission with this key has been answered, lately."""
        return bool(self._library.command("EXISTS", f"{self.prefix}:i:".encode() + _key_of(idempotency)))

    def rerun(self, job_id: str) -> Submitted:
        """Submit the same work again as a new job, for the same owner."""
        job = self.get(job_id)
        return self.submit(
            NewJob(
                id=new_id(), process=job.process, owner=job.owner, inputs=self.inputs(job), interface=job.interface,
                process_version=job.process_version, request=job.request, priority=job.priority,
            )
        )  # fmt: skip

    # Reading

    def get(self, job_id: str) -> Job:
        """One job. Raises NoSuchJobError."""
        packed = self._library.command("GET", f"{self.prefix}:j:{job_id}")
        if packed is None:
            raise _no_such(job_id)
        return decode(job_id, packed, self._fact_of)

    def status(self, job_id: str) -> Job:
        """One job, and why it waits while it is accepted. Raises NoSuchJobError."""
        found = self._library.call("status", job_id)
        if not found:
            raise _no_such(job_id)
        packed, *why = found
        waiting = None
        if why:
            reason, number, joined = why[0].decode(), why[1], why[2].decode()
            waiting = Waiting(reason, 0 if reason == "retry" else number, number if reason == "retry" else 0, joined)
        return decode(job_id, packed, self._fact_of, waiting)

    def list(self, wanted: JobFilter, *, limit: int = 100, cursor: str = "") -> JobPage:
        """One page of jobs, newest first; one call looks at 1,000 records at most. Raises InvalidRequestError."""
        if cursor and not (cursor.isascii() and cursor.isdecimal()):
            raise InvalidRequestError(f"The cursor {cursor!r} is not one that a `next` link has given.")
        index = ":all"
        conditions: dict[str, Any] = {}
        if len(wanted.processes) == 1:
            index = f":p:{wanted.processes[0]}"
        elif wanted.processes:
            conditions["p"] = dict.fromkeys(wanted.processes, 1)
        if wanted.owner and index == ":all":
            index = f":o:{wanted.owner}"
        elif wanted.owner:
            conditions["o"] = wanted.owner
        if wanted.statuses:
            conditions["s"] = {CODES[status]: 1 for status in wanted.statuses}
        if wanted.min_duration is not None:
            conditions["min"] = wanted.min_duration
        if wanted.max_duration is not None:
            conditions["max"] = wanted.max_duration
        below = f"({cursor}" if cursor else "+inf"
        if wanted.created_to is not None and (not cursor or wanted.created_to < int(cursor)):
            below = str(wanted.created_to)
        found, following = self._library.call(
            "list", index, below, "-inf" if wanted.created_from is None else wanted.created_from,
            min(limit, _LARGEST_LIST), pack(conditions),
        )  # fmt: skip
        jobs = tuple(decode(found[i].decode(), found[i + 1], self._fact_of) for i in range(0, len(found), 2))
        return JobPage(jobs, following.decode().lstrip("("))

    def inputs(self, job: Job) -> bytes:
        """The JSON text of the inputs that the job was accepted with."""
        return b"".join(self.output_chunks(job.inputs)) if job.inputs else b"{}"

    def output_chunks(self, output: Output) -> Iterator[bytes]:
        """The bytes of one output, in chunks of at most 1 MB. Raises NoSuchJobError when it expires meanwhile."""
        if output.data is not None:
            yield output.data
            return
        for number in range(chunk_count(output.size)):
            chunk = self._library.command("GET", f"{self.prefix}:b:{output.blob}:{number}")
            if chunk is None:
                raise NoSuchJobError(f"The bytes of output {output.name!r} have been deleted.")
            yield chunk

    def log(self, job: Job) -> bytes:
        """What the job's attempts printed last, at most 64 KB."""
        if job.log is None:
            return b""
        return self._library.command("GET", f"{self.prefix}:l:{job.id}") or b""

    def dismiss(self, job_id: str) -> Job:
        """Dismiss an unfinished job; a finished one comes back as it is. Raises NoSuchJobError."""
        packed = self._library.call("dismiss", job_id)
        if not packed:
            raise _no_such(job_id)
        return decode(job_id, packed, self._fact_of)

    def delete(self, job_id: str) -> None:
        """Forget a finished job with its result. Raises NoSuchJobError, ConflictError while it is unfinished."""
        answer = self._library.call("delete", job_id)
        if answer == b"absent":
            raise _no_such(job_id)
        if answer == b"unfinished":
            raise ConflictError(f"Job {job_id} has not finished; dismiss it first.")

    # Workers

    def beat(
        self, worker: str, *, host: str, offers: Sequence[Offer], children: int, held: Mapping[str, str]
    ) -> frozenset[str]:
        """Keep the worker's lease, and sweep.

        held: child -> token, of every child that has a job. Returns the tokens among them that are dead.
        """
        text, facts = self._offer(offers)
        listed = {child.rpartition(".")[2]: token for child, token in held.items()}
        info = {"offers": text, "key": self._key, "release": self.release, "host": host, "children": children}
        facts = facts | {worker: f"{host}|{self.release}"}
        dead = self._library.call(
            "beat", worker, pack(info), pack(facts), pack(listed), *self._periods, self._settings.hand_backs
        )
        return frozenset(listed[n.decode()] for n in dead)

    def leave(self, worker: str) -> None:
        """The worker has stopped: what it still holds is handed back at once, and its name is forgotten."""
        self._library.call("leave", worker, self._settings.hand_backs)

    def claim(self, child: str, offers: Sequence[Offer]) -> Attempt | None:
        """Take the next job that the child can run; a child that holds one gets that one again.

        Raises LostAttemptError when the child's name has been settled, so that it can never claim again.
        """
        return self._attempt(self._library.call("claim", child, self._offer(offers)[0], self._key))

    def wait_and_claim(self, child: str, offers: Sequence[Offer], wait_seconds: float) -> Attempt | None:
        """Wait until there may be work, at most wait_seconds (and never longer than 2 s), then claim."""
        lists = [f"{self.prefix}:wake:{offer.process}@{offer.interface}" for offer in offers]
        self._library.command("BLPOP", *lists, min(wait_seconds, LONGEST_BLOCK_SECONDS))
        return self.claim(child, offers)

    def _attempt(self, reply: Any) -> Attempt | None:
        if not reply:
            return None
        if isinstance(reply, bytes):
            if reply == b"dead":
                raise LostAttemptError("This child has been settled; it cannot claim.")
            return None
        job_id, token, number, process, owner, inputs, blob, release, request, retries, interface = reply
        if blob:
            name, _, size = blob.decode().split(",")
            try:
                inputs = b"".join(self.output_chunks(Output("inputs", "application/json", None, name, int(size))))
            except NoSuchJobError:  # dismissed and deleted since: there is nothing to do for it
                return None
        return Attempt(
            job_id=job_id.decode(), token=token.decode(), number=number, process=process.decode(),
            owner=owner.decode("utf-8", "surrogateescape"), interface=interface.decode(), inputs=inputs,
            release=release.decode().partition("|")[0] or self.release, request=request.decode(), retries=retries,
        )  # fmt: skip

    def put_output(self, token: str, job_id: str, name: str, media_type: str, data: bytes) -> Output:
        """Store one output: inline when it is small, else as a blob that expires unless the finish names it.

        Raises StorageFullError.
        """
        if len(data) <= INLINE_BYTES:
            return Output(name, media_type, data, "", len(data))
        attempt = token.partition(".")[0]
        return self._put_blob(f"{job_id}{attempt}.{_reference(name)}", name, media_type, data)

    def _put_blob(self, blob: str, name: str, media_type: str, data: bytes) -> Output:
        view = memoryview(data)
        for number in range(chunk_count(len(data))):
            chunk = view[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES]
            self._library.command("SET", f"{self.prefix}:b:{blob}:{number}", chunk, "EX", BLOB_TTL_SECONDS)
        return Output(name, media_type, None, blob, len(data))

    def progress(self, job_id: str, token: str, percent: int, message: str) -> None:
        """Tell how far the attempt is (percent: 0 to 100). Raises LostAttemptError when its token is dead."""
        self._attempt_call("progress", job_id, token, percent, message)

    def finish(
        self, job_id: str, token: str, how: Finish, *, child: str, offers: Sequence[Offer] = ()
    ) -> Attempt | None:
        """End the attempt and, with offers, claim the next job in the same round trip. Safe to repeat.

        Raises LostAttemptError when the token is dead; then nothing was claimed.
        """
        blobs = ";".join(blob_text(output) for output in how.outputs if output.data is None)
        reply = self._attempt_call(
            "finish", job_id, token, "F" if how.end else "S", b"" if how.end else pack_outputs(how.outputs), blobs,
            how.end.value if how.end else "", how.detail,
            "" if how.retry_after is None else int(how.retry_after * _US), how.log[-LOG_BYTES:], child,
            self._offer(offers)[0] if offers else "", self._key, self._settings.stored_bytes_per_owner,
        )  # fmt: skip
        return self._attempt(reply)

    def _attempt_call(self, name: str, *args: Any) -> Any:
        try:
            return self._library.call(name, *args)
        except ResponseError as error:
            if str(error).startswith("LOST"):
                raise LostAttemptError(f"Job {args[0]} has been dismissed, or given to another attempt.") from error
            raise

    def hand_back(self, child: str) -> str:
        """The child was killed at a stop: its job goes back to its place, no attempt spent.

        Returns the job's id or "".
        """
        return self._settle(child, "hand-back", "", b"")

    def settle(self, child: str, lost: Lost) -> str:
        """The child is dead: what it held ends, or runs again, by the table of ends. Returns the job's id or "".

        The child's name never claims again. Safe to repeat.
        """
        return self._settle(child, lost.end.value, lost.detail, lost.log[-LOG_BYTES:])

    def _settle(self, child: str, how: str, detail: str, log: bytes) -> str:
        settled: bytes = self._library.call("settle", child, how, detail, log, self._settings.hand_backs)
        return settled.decode()

    def sweep(self) -> None:
        """Do what time asks for: lost workers, delayed and expired jobs, missing wake-ups."""
        self._library.call("sweep", *self._periods)
        for _ in range(20):
            if not self._library.call("expire", self._periods[2]):
                break

    # Running the queue

    def pause(self, process: str = "") -> None:
        """Let no job of the process start (of any process: "")."""
        self._library.call("pause", process or "*")

    def resume(self, process: str = "") -> None:
        """Let jobs of the process start again; "" takes back only a pause of all."""
        self._library.call("resume", process or "*")

    def queues(self) -> tuple[QueueState, ...]:
        """The state of every queue that has jobs, is paused, or is offered by a live worker."""
        rows, paused_names = self._library.call("queues")
        paused = {name.decode() for name in paused_names}
        offered: dict[str, int] = {}
        for worker in self.workers():
            for offer in worker.offers:
                offered[offer.process] = offered.get(offer.process, 0) + 1
        numbers = {name: {"ready": 0, "delayed": 0, "running": 0} for name in (*offered, *(paused - {"*"}))}
        oldest: dict[str, float] = {}
        for name, kind, number, age in rows:
            process = name.decode()
            numbers.setdefault(process, {"ready": 0, "delayed": 0, "running": 0})[kind.decode()] += number
            oldest[process] = max(oldest.get(process, 0), age / _US)
        return tuple(
            QueueState(
                process, **counts, oldest_seconds=oldest.get(process, 0),
                paused=bool(paused & {process, "*"}), workers=offered.get(process, 0),
            )
            for process, counts in sorted(numbers.items())
        )  # fmt: skip

    def workers(self) -> tuple[WorkerState, ...]:
        """The live workers."""
        states = []
        for name, packed, running, lease_left in self._library.call("workers"):
            info = unpack(packed)
            offers = tuple(offers_of(info["offers"]))
            ago = max(0.0, self._settings.lease_seconds - lease_left / _US)
            states.append(
                WorkerState(name.decode(), info["release"], info["host"], info["children"], running, offers, ago)
            )
        return tuple(states)

    def host_of(self, worker: str) -> str:
        """The host that a worker runs or ran on; "" when it is long forgotten."""
        return self._fact_of(worker)[0] if worker else ""

    def source_of(self, process_version: str) -> tuple[str, str]:
        """The source hash and the declared version that a version of a process stands for.

        Both "" when no worker has offered it, or when it is long forgotten.
        """
        found = self._library.command("HGET", f"{self.prefix}:facts", process_version) or b""
        source, _, declared = found.decode().partition("|")
        return source, declared

    def attempt_counts(self) -> dict[tuple[str, str, str], int]:
        """Attempts ended so far, by (process, end, upper bound of their seconds).

        (process, "us", "") is the time they took together, in microseconds.
        """
        found = self._library.command("HGETALL", f"{self.prefix}:stats")
        counts = {}
        for field, value in found.items():
            process, end, bucket = (*field.decode().split("|"), "")[:3]
            counts[process, end, bucket] = int(value)
        return counts

    # Call-backs

    def due_call_backs(self, limit: int = 16) -> tuple[CallBack, ...]:
        """The call-backs to send now. They are the caller's for 60 s; not answered for, they are due again."""
        due = []
        for event, packed in self._library.call("call_backs", limit):
            it = unpack(packed)
            status = next(status for status, code in CODES.items() if code == it["status"])
            due.append(CallBack(event.decode(), it["url"], it["owner"], it["job"], status, it["created"], it["tries"]))
        return tuple(due)

    def call_back_done(self, call_back: CallBack, *, retry_after: float | None = None) -> None:
        """The call-back was delivered or given up (None), or is to be tried again after some seconds."""
        self._library.call("called_back", call_back.id, "" if retry_after is None else int(retry_after * _US))

    def signing_secret(self, owner: str) -> bytes:
        """The 32 bytes that the owner's call-backs are signed with; made when first asked for."""
        key = f"{self.prefix}:secret"
        self._library.command("HSETNX", key, owner, secrets.token_bytes(32))
        secret: bytes = self._library.command("HGET", key, owner)
        return secret

    def drop_old_libraries(self) -> None:
        """Delete the function libraries of releases that have been gone for a day, and name our own facts again."""
        self._accepts.clear()
        self._library.drop_unnamed()

    # Facts

    def _accepting(self, process_version: str, interface: str) -> str:
        """The reference to the facts of this release and a process, told to Redis before its first use."""
        reference = self._accepts.get((process_version, interface))
        if reference is None:
            text = facts_text(self.release, process_version, interface)
            reference = _reference(text)
            self._library.call("facts", pack({reference: text}))
            self._accepts[process_version, interface] = reference
        return reference

    def _fact_of(self, reference: str) -> tuple[str, str, str]:
        fact = self._facts.get(reference)
        if fact is None:
            found = self._library.command("HGET", f"{self.prefix}:facts", reference)
            if found is None:
                return "", "", ""
            release, process_version, interface = (found.decode() + "||").split("|")[:3]
            fact = self._facts[reference] = (release, process_version, interface)
        return fact

    def _offer(self, offers: Sequence[Offer]) -> tuple[str, dict[str, str]]:
        wanted = tuple(offers)
        known = self._offers.get(wanted)
        if known is None:
            facts = {}
            references = {}
            for offer in wanted:
                text = facts_text(self.release, offer.version, offer.interface)
                references[offer] = _reference(text)
                facts[references[offer]] = text
                if offer.source:
                    facts[offer.version] = f"{offer.source}|{offer.declared}"
            known = self._offers[wanted] = (offers_text(wanted, references), facts)
        return known


def _more(job: NewJob) -> dict[str, Any]:
    """What a job rarely has, by the names that the function library knows."""
    more: dict[str, Any] = {}
    if job.request:
        more["request"] = job.request
    if job.priority < 3:
        more["urgency"] = job.priority
    if job.equal_work:
        more["equal"] = _digest(job.equal_work)[:12]
    if job.queue_seconds:
        more["queue_seconds"] = job.queue_seconds
    if job.subscriber:
        more["subscriber"] = json.dumps(job.subscriber)
    return more


def _no_such(job_id: str) -> NoSuchJobError:
    return NoSuchJobError(f"There is no job {job_id!r}; it may have expired or been deleted.")


def _key_of(idempotency: Idempotency) -> bytes:
    return _digest(idempotency.scope, idempotency.key)[:12]


def _digest(text: str, *more: str) -> bytes:
    return hashlib.sha256("\0".join((text, *more)).encode("utf-8", "surrogateescape")).digest()


def _reference(text: str) -> str:
    """Six letters that stand for a text in records."""
    return base64.urlsafe_b64encode(_digest(text)[:6])[:6].decode()
