"""Who may do what: the role of a caller without a token, and of the token that was given."""

from gristmill.verify.answers import Answer
from gristmill.verify.check import ROLES, Role, Skip, Topic, Warn
from gristmill.verify.run import Run
from gristmill.verify.session import Session

topic = Topic("access", "Who may do what")

NO_JOB = "verify-no-such-job"
# For each role, a request that it allows, that a lesser role is refused, and that changes nothing.
ACTS: dict[Role, tuple[str, str]] = {
    "read": ("GET", "/processes?limit=1"),
    "run": ("DELETE", f"/jobs/{NO_JOB}"),
    "manage": ("GET", "/metrics"),
}
_ALLOWED: dict[Role, tuple[int, ...]] = {"read": (200,), "run": (404,), "manage": (200,)}
# An Ingress may keep /metrics to itself.
_HIDDEN = {"manage": (404,)}


def role_of(session: Session) -> tuple[Role, Answer]:
    """The role of a caller, by what it is let do, and the answer to what only manage may. MismatchError."""
    role: Role = "none"
    for name, (method, path) in ACTS.items():
        answer = session.ask(method, path)
        answer.expect(*_ALLOWED[name], *_HIDDEN.get(name, ()), 401, 403)
        if answer.status in _ALLOWED[name]:
            lesser = ROLES[ROLES.index(name) - 1]
            answer.must(role == lesser, f"401 or 403, as for what the role {lesser} may", answer.told)
            role = name
    return role, answer


@topic.check("stranger", "A caller without a token has a role that suits the environment")
def stranger(run: Run) -> str:
    """Everything for everybody is for a laptop: a failure in prod, a warning in test."""
    role, last = role_of(run.stranger)
    facts = run.facts
    facts.stranger = role
    if last.status in {401, 403}:
        facts.tokens_on = last.status == 401
    if not run.options.token:
        facts.mine = role
    environment = run.target.environment or facts.environment
    everybody = "manage: everybody may delete everything"
    last.must(role != "manage" or environment != "prod", "the role run or less (GRISTMILL_ANONYMOUS)", everybody)
    if role == "manage" and environment == "test":
        raise Warn(f"the role is {everybody} (GRISTMILL_ANONYMOUS)")
    return f"the role {role}"


@topic.check("token", "The token that was given is known")
def token(run: Run) -> str:
    """Its role decides what else is checked."""
    if not run.options.token:
        raise Skip("no token was given")
    run.me.get("/processes?limit=1").expect(200)
    role, _ = role_of(run.me)
    run.facts.mine, run.facts.tokens_on = role, True
    return f"the role {role}"


@topic.check(
    "refused",
    "What a stranger's role does not allow is refused with 401 or 403, and problem details",
    after=("stranger",),
)
def refused(run: Run) -> str:
    """Each act above the role, with the words by which a client learns that a token would help."""
    facts = run.facts
    above = [role for role in ACTS if ROLES.index(role) > ROLES.index(facts.stranger or "none")]
    for role in above:
        method, path = ACTS[role]
        answer = run.stranger.ask(method, path)
        if answer.status in _HIDDEN.get(role, ()):
            continue
        answer.problem(401, 403, type_="unauthenticated" if answer.status == 401 else "forbidden")
        if answer.status == 401:
            bearer = answer.header("WWW-Authenticate")
            answer.must(bearer.startswith("Bearer"), "WWW-Authenticate: Bearer", answer.with_header("WWW-Authenticate"))
    if not above:
        raise Skip("a stranger may do everything here")
    return f"{', '.join(above)} refused"


@topic.check("wrong_token", "A token that is not known is refused with 401, also for what everybody may see")
def wrong_token(run: Run) -> None:
    """Else a client with a mistyped token would go on as a stranger."""
    wrong = {"Authorization": f"Bearer gm_{run.mark}"}
    answer = run.stranger.get("/processes?limit=1", headers=wrong).problem(401, type_="unauthenticated")
    bearer = answer.header("WWW-Authenticate")
    answer.must(bearer.startswith("Bearer"), "WWW-Authenticate: Bearer", answer.with_header("WWW-Authenticate"))
