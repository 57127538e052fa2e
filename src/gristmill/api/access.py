"""Who is asking, and what they may do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from flask import request

from gristmill.api.proxies import client_address
from gristmill.api.services import services
from gristmill.errors import ForbiddenError, NoSuchJobError, UnauthenticatedError
from gristmill.job import Job
from gristmill.settings import Role, Settings
from gristmill.tokens import TokenFile

_CALLER = "gristmill.caller"
_RANK = {role: rank for rank, role in enumerate(get_args(Role))}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent the request. ``owner``: the name of the token, else the client's address."""

    owner: str
    role: Role
    has_token: bool = False


def caller() -> Caller:
    """The caller of the current request. UnauthenticatedError when a token was sent that is not known."""
    environ = request.environ
    known: Caller | None = environ.get(_CALLER)
    if known is None:
        serving = services()
        known = environ[_CALLER] = read_caller(serving.settings, serving.tokens, environ)
    return known


def require(role: Role) -> Caller:
    """The caller, who must have at least this role, and is counted against the owner's rate.

    Raises UnauthenticatedError, ForbiddenError, RateLimitedError.
    """
    who = caller()
    if not may(who, role):
        if not who.has_token and services().tokens.enabled:
            raise UnauthenticatedError("This needs a bearer token: send Authorization: Bearer <token>.")
        raise ForbiddenError(f"This needs the role {role}; {who.owner} has {who.role}.")
    services().rate.spend(who.owner)
    return who


def may(who: Caller, role: Role) -> bool:
    """Whether a caller has at least this role."""
    return _RANK[who.role] >= _RANK[role]


def owner_filter() -> str:
    """The only owner whose jobs the caller may see, or "" when all."""
    who = caller()
    return who.owner if services().tokens.enabled and who.role != "manage" else ""


def may_see(job: Job) -> bool:
    """Whether the caller may read the job: with tokens on, others' jobs are for the role manage."""
    return owner_filter() in {"", job.owner}


def visible(job: Job) -> Job:
    """The job, if the caller may see it. NoSuchJobError, as for a job that is not there."""
    if not may_see(job):
        raise NoSuchJobError(f"There is no job {job.id!r}; it may have expired or been deleted.")
    return job


def require_own(job: Job) -> None:
    """Let the job's owner and the role manage pass. ForbiddenError."""
    who = caller()
    if who.role != "manage" and job.owner != who.owner:
        raise ForbiddenError(f"Job {job.id} belongs to another owner; only the role manage may end or delete it.")


def read_caller(settings: Settings, tokens: TokenFile, environ: Mapping[str, Any]) -> Caller:
    """The caller of a request by its WSGI environment. UnauthenticatedError."""
    given = environ.get("HTTP_AUTHORIZATION", "")
    scheme, _, text = given.partition(" ")
    if scheme.lower() != "bearer":
        if given and tokens.enabled:
            # Not shown: what stands in the place of the scheme may be the token.
            raise UnauthenticatedError("A token is sent as Authorization: Bearer <token>; this one comes otherwise.")
        return Caller(client_address(environ, settings), settings.anonymous)
    token = tokens.find(text.strip())
    if token is None:
        raise UnauthenticatedError(
            "The bearer token is not known here."
            if tokens.enabled
            else "No tokens are set up here (GRISTMILL_TOKEN_FILE); send the request without one."
        )
    return Caller(token.name, token.role, has_token=True)
