"""Every error that Gristmill raises on purpose, each with its HTTP status and its problem type (RFC 9457).

Lower layers' errors are mapped to these once, at the border where they come in, with the cause chained.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

OGC = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/"
OURS = "urn:gristmill:problem:"

_LISTED_FAULTS = 100
_LETTERS_OF_A_NAME = 300  # in a pointer: each of a hundred faults may be below the same name

# What a client is told of a fault of ours, with the id by which the log is searched.
UNEXPECTED = "Something went wrong here; it is not your fault. Please report the error id {}."


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a request.

    pointer: JSON pointer (RFC 6901) into the body, such as ``/inputs/bins``; or a parameter's or header's name.
    count: how many it stands for.
    """

    pointer: str
    detail: str
    count: int = 1


def first_faults(faults: Iterable[Fault], at: str) -> list[Fault]:
    """The first hundred, and one at the pointer ``at`` that says how many more there are."""
    rest = iter(faults)
    found = list(islice(rest, _LISTED_FAULTS + 1))
    if more := sum(fault.count for fault in rest):
        more += found.pop().count
        found.append(Fault(at, f"has {more:,} more faults", more))
    return found


def pointer_part(name: str) -> str:
    """A name as a part of a JSON pointer (RFC 6901), the start of a very long one."""
    if len(name) > _LETTERS_OF_A_NAME:
        name = name[:_LETTERS_OF_A_NAME] + "…"
    return name.replace("~", "~0").replace("/", "~1")


class GristmillError(Exception):
    """What went wrong, why, and what to do now, in one message. faults: the first hundred, and how many more."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = OURS + "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str, *, faults: Iterable[Fault] = (), retry_after_seconds: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.faults = tuple(first_faults(faults, ""))
        self.retry_after_seconds = retry_after_seconds


class ConfigurationError(GristmillError):
    """A setting, a file or a folder of the installation is not usable; the start is refused."""

    type = OURS + "configuration"
    title = "Wrong configuration"


class InvalidRequestError(GristmillError):
    """The request is malformed, or a value in it is not allowed."""

    status = 400
    type = OURS + "invalid-request"
    title = "Invalid request"


class InvalidInputsError(InvalidRequestError):
    """The inputs of an execution do not match the process description."""

    type = OURS + "invalid-inputs"
    title = "Invalid inputs"


class InvalidFilterError(InvalidRequestError):
    """The filter is not CQL2 text that the data set can answer."""

    type = OURS + "invalid-filter"
    title = "Invalid filter"


class QueryLimitError(GristmillError):
    """The query needs more time or memory than a request may take."""

    status = 422
    type = OURS + "query-limit"
    title = "Query past its limit"


class QueryValueError(GristmillError):
    """A value of the data does not fit what the query computes with it."""

    status = 422
    type = OURS + "query-value"
    title = "Value out of range"


class FetchError(GristmillError):
    """A URL that a user named gave no usable answer."""

    status = 400
    type = OURS + "not-fetched"
    title = "Not fetched"


class RefusedUrlError(FetchError):
    """A URL that a user named is malformed, or its address may not be reached from here."""

    type = OURS + "url-refused"
    title = "URL refused"


class UnauthenticatedError(GristmillError):
    """No token, or one that is not known."""

    status = 401
    type = OURS + "unauthenticated"
    title = "Not authenticated"


class ForbiddenError(GristmillError):
    """The caller's role does not allow it."""

    status = 403
    type = OURS + "forbidden"
    title = "Not allowed"


class NotFoundError(GristmillError):
    """Nothing is at this address."""

    status = 404
    type = OURS + "not-found"
    title = "Not found"


class NoSuchProcessError(NotFoundError):
    """No process of this name is offered."""

    type = OGC + "no-such-process"
    title = "No such process"


class NoSuchJobError(NotFoundError):
    """No job of this identifier exists, or not for this caller, or it has expired."""

    type = OGC + "no-such-job"
    title = "No such job"


class NoSuchOutputError(NotFoundError):
    """The job has no output of this name."""

    type = OURS + "no-such-output"
    title = "No such output"


class NoSuchDataSetError(NotFoundError):
    """No data set of this name exists, or it has been deleted."""

    type = OURS + "no-such-data-set"
    title = "No such data set"


class NoSuchVersionError(NotFoundError):
    """The data set has no such version, or has one no longer."""

    type = OURS + "no-such-version"
    title = "No such version"


class ResultNotReadyError(NotFoundError):
    """The job has not finished."""

    type = OGC + "result-not-ready"
    title = "Result not ready"


class JobDismissedError(GristmillError):
    """The job was dismissed: it has no result, and will never have one."""

    status = 410
    type = OURS + "job-dismissed"
    title = "Job dismissed"


class ConflictError(GristmillError):
    """The request cannot be carried out in the present state."""

    status = 409
    type = OURS + "conflict"
    title = "Conflict"


class PreconditionFailedError(GristmillError):
    """What If-Match or If-None-Match asks for is not so, because somebody else was faster."""

    status = 412
    type = OURS + "precondition-failed"
    title = "Precondition failed"


class TooLargeError(GristmillError):
    """The body is larger than the limit."""

    status = 413
    type = OURS + "too-large"
    title = "Content too large"


class UnsupportedFormatError(GristmillError):
    """The body's media type or content coding is not one that is read here."""

    status = 415
    type = OURS + "unsupported-format"
    title = "Unsupported format"


class SlowUploadError(GristmillError):
    """The body did not arrive within its time."""

    status = 408
    type = OURS + "slow-upload"
    title = "Upload too slow"


class MalformedDataError(GristmillError):
    """An uploaded file is not what it is said to be; the message names the place."""

    status = 422
    type = OURS + "malformed-data"
    title = "Malformed data"


class ReadingFailedError(GristmillError):
    """The process that read an uploaded file was ended by a limit, or crashed."""

    status = 422
    type = OURS + "reading-failed"
    title = "Reading failed"


class ClientGoneError(GristmillError):
    """The client closed the connection, or takes nothing of the response: nobody sees this error, but the metrics."""

    status = 499
    type = OURS + "client-gone"
    title = "Client gone"


class IdempotencyMismatchError(GristmillError):
    """The Idempotency-Key was used for another body."""

    status = 422
    type = OURS + "idempotency-key-reused"
    title = "Idempotency-Key reused"


class TooManyJobsError(GristmillError):
    """The owner has as many queued jobs as one owner may have."""

    status = 429
    type = OURS + "too-many-jobs"
    title = "Too many queued jobs"


class RateLimitedError(GristmillError):
    """The owner has sent too many requests."""

    status = 429
    type = OURS + "rate-limited"
    title = "Too many requests"


class BusyError(GristmillError):
    """Every place for requests that wait is taken."""

    status = 503
    type = OURS + "busy"
    title = "Busy"


class UnavailableError(GristmillError):
    """Redis does not answer."""

    status = 503
    type = OURS + "unavailable"
    title = "Temporarily unavailable"


class DamagedDataError(GristmillError):
    """What is stored of a data set is not what was uploaded."""

    type = OURS + "damaged-data"
    title = "Damaged data"


class CacheUnusableError(GristmillError):
    """The local cache cannot hold the data: its disk is full, or its folder cannot be written."""

    status = 503
    type = OURS + "cache-unusable"
    title = "Cache not usable"


class CacheBusyError(GristmillError):
    """The data was not ready in the local cache in time."""

    status = 503
    type = OURS + "cache-busy"
    title = "Cache busy"


class StorageFullError(GristmillError):
    """Redis has no memory left, or the owner no share of it."""

    status = 507
    type = OURS + "storage-full"
    title = "Storage full"


class BackupError(GristmillError):
    """A backup cannot be written, or not be restored here."""

    type = OURS + "backup"
    title = "Backup not possible"


class DamagedBackupError(BackupError):
    """A backup is not what was written, not whole, or none at all."""

    type = OURS + "damaged-backup"
    title = "Damaged backup"


class LostAttemptError(GristmillError):
    """The attempt's token is dead: the job was dismissed, or given to another attempt."""

    status = 409
    type = OURS + "lost-attempt"
    title = "Attempt lost"
