"""Call-backs: tells the URLs of a job's ``subscriber`` when the job starts, succeeds or fails.

Signed as Standard Webhooks 1.0 (https://www.standardwebhooks.com): the same ``webhook-id`` on every try, so a
receiver can tell a repetition; 2xx says it was received; anything else is tried again for a day, except 410.
"""

import base64
import hashlib
import hmac
import random
import threading
import time

import structlog

from gristmill.api.negotiation import json_bytes
from gristmill.api.result_body import chosen, document
from gristmill.api.status import status_document
from gristmill.errors import FetchError, GristmillError, NoSuchJobError, RefusedUrlError
from gristmill.fetch import CALL_BACK_ALLOW, SafeClient
from gristmill.job import CallBack, Job, Status
from gristmill.jobs import Jobs
from gristmill.settings import Settings

AT_ONCE = 4
ANSWER_SECONDS = 15.0
GIVE_UP_SECONDS = 24 * 3600
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 3 * 3600.0

_log = structlog.get_logger(__name__)


def secret_text(secret: bytes) -> str:
    """A signing secret as receivers' libraries take it."""
    return "whsec_" + base64.b64encode(secret).decode()


def signature(secret: bytes, webhook_id: str, timestamp: int, body: bytes) -> str:
    """The ``webhook-signature`` of a message. ``timestamp``: seconds since 1970, as in ``webhook-timestamp``."""
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()


def pause_seconds(tries: int) -> float:
    """How long to wait after so many failed tries: 5 s, then three times longer each, 3 h at most; 20 % of chance."""
    pause = min(FIRST_PAUSE_SECONDS * 3.0 ** min(tries - 1, 20), LONGEST_PAUSE_SECONDS)
    return pause * random.uniform(0.9, 1.1)  # noqa: S311


class CallBacks:
    """Sends the call-backs that are due; several processes may do so at the same time."""

    def __init__(self, jobs: Jobs, settings: Settings) -> None:
        self._jobs = jobs
        self._base = settings.public_url.rstrip("/")
        self._client = SafeClient(allowed=settings.call_back_allow, setting=CALL_BACK_ALLOW, seconds=ANSWER_SECONDS)
        self._sending: list[threading.Thread] = []

    def send_due(self) -> int:
        """Begin to send what is due and there is room for; returns how many. For one thread; UnavailableError.

        Each is sent in a thread that does not outlive the process: what is cut off is due again in a minute.
        """
        self._sending = [thread for thread in self._sending if thread.is_alive()]
        free = AT_ONCE - len(self._sending)
        due = self._jobs.due_call_backs(free) if free else ()
        for call_back in due:
            thread = threading.Thread(target=self._send, args=(call_back,), name="call-back", daemon=True)
            self._sending.append(thread)
            thread.start()
        return len(due)

    def close(self) -> None:
        """Wait for what is under way."""
        for thread in self._sending:
            thread.join()

    def _send(self, call_back: CallBack) -> None:
        try:
            problem, again = self._try(call_back)
            self._settle(call_back, problem, again)
        except GristmillError as error:  # Redis is away: the call-back is due again in a minute
            _log.warning("call-back interrupted", job=call_back.job_id, reason=error.detail)
        except Exception:  # noqa: BLE001 -- the thread ends here, and the log must say why
            _log.exception("call-back failed by a fault of ours", job=call_back.job_id)

    def _try(self, call_back: CallBack) -> tuple[str, bool]:
        """Send once. Returns what went wrong, "" for nothing, and whether another try makes sense."""
        try:
            body = self._body(self._jobs.get(call_back.job_id), call_back.status)
        except NoSuchJobError:
            return "the job has been deleted", False
        now = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": call_back.id,
            "webhook-timestamp": str(now),
            "webhook-signature": signature(self._jobs.signing_secret(call_back.owner), call_back.id, now, body),
        }
        try:
            status = self._client.post(call_back.url, body, headers)
        except RefusedUrlError as error:
            return error.detail, False
        except FetchError as error:
            return error.detail, True
        return "" if 200 <= status < 300 else f"answered with status {status}", status != 410

    def _settle(self, call_back: CallBack, problem: str, again: bool) -> None:
        facts = {"job": call_back.job_id, "url": call_back.url.partition("?")[0], "tries": call_back.tries + 1}
        retry_after = None
        if problem:
            pause = pause_seconds(call_back.tries + 1)
            left = call_back.created / 1_000_000 + GIVE_UP_SECONDS - time.time()
            retry_after = pause if again and pause < left else None
            _log.warning("call-back not delivered", reason=problem, retry_after=retry_after, **facts)
        else:
            _log.info("call-back delivered", **facts)
        self._jobs.call_back_done(call_back, retry_after=retry_after)

    def _body(self, job: Job, told: Status) -> bytes:
        """The result, for a success; else the job's status."""
        if told is Status.SUCCESSFUL and job.status is Status.SUCCESSFUL:
            choice = chosen(job)
            return b"".join(document(self._jobs, job, choice, self._base).pieces)
        return json_bytes(status_document(job, self._base))
