"""What an environment must have: its name, tokens, and a Redis that asks for a password and speaks TLS.

Missing is a failure in prod and a warning in test; either way, the commands that mend it are named.
"""

from gristmill.verify.answers import MismatchError, shown
from gristmill.verify.check import Topic, Warn
from gristmill.verify.redis_door import Door, look
from gristmill.verify.run import Run

topic = Topic("environment", "The environment")


@topic.check("name", "The environment is the one that was named", when="environment", after=("service.version",))
def name(run: Run) -> None:
    """As `/version` tells it."""
    told, right = run.facts.environment, run.target.environment
    if told != right:
        raise MismatchError(
            "GET /version", f"environment {told}", f"environment {right} (GRISTMILL_ENVIRONMENT of the deployment)"
        )


@topic.check("redis_password", "Redis lets nobody in without a password", when="environment")
def redis_password(run: Run) -> str:
    """Whoever gets past the network policy would read and change everything."""
    door = _door(run)
    if door.is_open:
        _missing(run, f"PING at {door.address} without a password", door.reply, "a Redis that asks for one")
    return f"{door.address} answers {door.reply}"


@topic.check("redis_tls", "Redis is reached through TLS, and its certificate is trusted", when="environment")
def redis_tls(run: Run) -> str:
    """The certificate is checked where the Secret's ca.crt is (GRISTMILL_SECRETS_FOLDER)."""
    door = _door(run)
    asked = f"a connection to {door.address}"
    if not door.has_tls:
        _missing(run, asked, "an answer without TLS", "TLS, with a certificate of the Secret's authority")
    if door.distrust:
        raise Warn(f"{door.address} speaks TLS, but {door.distrust}")
    return f"{door.address} has a certificate that is trusted"


@topic.check("tokens", "Tokens are on, so that callers are told apart", when="environment", after=("access.stranger",))
def tokens(run: Run) -> str:
    """Told by the API: with tokens on, what a stranger may not do is 401, else 403."""
    if run.facts.tokens_on:
        return "the API knows tokens"
    folder = run.options.secrets_folder
    file = folder / "tokens" / "tokens" if folder else None
    has_file = file is not None and file.is_file()
    if run.facts.tokens_on is None:
        if has_file:
            return f"{file} is there"
        came = "no sign of tokens: a stranger may do everything"
    else:
        came = "403, which is for an API without tokens"
        if has_file:
            came += f", although {file} is there: restart the API"
    _missing(run, "what only the role manage may, without a token", came, "401, which asks for a token")
    raise AssertionError("unreachable")


def _door(run: Run) -> Door:
    """What a stranger finds at the environment's Redis, looked at once. MismatchError where nobody answers."""
    if run.facts.door is None:
        url = run.options.redis_url or run.target.redis_url
        folder = run.options.secrets_folder
        authority = folder / "redis" / "ca.crt" if folder else None
        try:
            run.facts.door = look(url, authority if authority and authority.is_file() else None)
        except (OSError, ValueError) as error:
            address = url.rpartition("@")[2].rpartition("//")[2].partition("/")[0]
            raise MismatchError(
                f"a connection to Redis at {address}",
                shown(str(error)),
                f"an answer: {run.target.redis_hint(error)}",
            ) from error
    return run.facts.door


def _missing(run: Run, asked: str, came: str, right: str) -> None:
    """Say that a protection is not there: MismatchError in prod, Warn in test."""
    if run.target.environment == "prod":
        raise MismatchError(asked, came, f"{right}. To turn it on: {run.target.mending}")
    raise Warn(f"{asked}: {came}; better: {right}. To turn it on: {run.target.mending}")
