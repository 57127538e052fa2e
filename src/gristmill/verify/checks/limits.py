"""What is too large, too deep, unknown or wrong is refused with the right status, and told why."""

from collections.abc import Iterator

from gristmill.verify.answers import brief
from gristmill.verify.check import Topic, Warn
from gristmill.verify.checks.access import NO_JOB
from gristmill.verify.run import Run

topic = Topic("limits", "Limits and errors")

_EXECUTE = "/processes/echo/execution"
_JSON = {"Content-Type": "application/json"}
# The default limit, and eight times as much for a deployment that has raised it.
_MEGABYTES = (8, 64)
_TOO_DEEP = 100_000
_PIECE = b" " * 2**16


def _spaces(size: int) -> Iterator[bytes]:
    for _ in range(size // len(_PIECE)):
        yield _PIECE
    yield b" " * (size % len(_PIECE) + 1)


@topic.check("body", "A body above the limit is 413, with problem details", needs="run")
def body(run: Run) -> str:
    """8 MB and a byte, and where that is let pass, 64 MB."""
    for megabytes in _MEGABYTES:
        size = megabytes * 2**20
        headers = _JSON | {"Content-Length": str(size + 1)}
        about = f"a body of {size + 1:,} bytes"
        answer = run.me.ask("POST", _EXECUTE, content=_spaces(size), headers=headers, about=about, seconds=60)
        if answer.status != 400:
            answer.problem(413, type_="too-large")
            return f"{size + 1:,} bytes are refused"
    raise Warn(f"bodies of {_MEGABYTES[-1]} MB are let pass (GRISTMILL_BODY_BYTES)")


@topic.check("depth", "JSON that is nested too deep is 400", needs="run")
def depth(run: Run) -> None:
    """A hundred thousand brackets: nobody's limit, and more than a careless parser stands."""
    content = b"[" * _TOO_DEEP + b"]" * _TOO_DEEP
    answer = run.me.post(_EXECUTE, content=content, headers=_JSON, about="100,000 brackets in each other")
    answer.problem(400, type_="invalid-request")


@topic.check("not_json", "A body that is not JSON is 400, and one that does not say so 415", needs="run")
def not_json(run: Run) -> None:
    """With the line and column of the first fault."""
    run.me.post(_EXECUTE, content=b'{"inputs":', headers=_JSON, about="half an object").problem(400)
    plain = {"Content-Type": "text/plain"}
    run.me.post(_EXECUTE, content=b"{}", headers=plain, about="text/plain").problem(415)


@topic.check("inputs", "Wrong inputs are 400, and every fault is named by its pointer", needs="run")
def inputs(run: Run) -> None:
    """One input is missing, one is of the wrong type, one there is none of."""
    wrong = {"inputs": {"number": "many", "verify": 1}}
    answer = run.me.post(_EXECUTE, body=wrong).problem(400, type_="invalid-inputs")
    pointers = {one.get("pointer") for one in answer.at("errors", kind=list) if isinstance(one, dict)}
    right = {"/inputs/string", "/inputs/number", "/inputs/verify"}
    answer.must(
        pointers == right, f"errors at {brief(sorted(right))}", f"errors at {brief(sorted(map(str, pointers)))}"
    )


@topic.check("process", "An unknown process is 404, of the standard's type", needs="run")
def process(run: Run) -> None:
    """Described or run."""
    run.me.get("/processes/verify-no-such-process").problem(404, type_="/no-such-process")
    run.me.post("/processes/verify-no-such-process/execution", body={}).problem(404, type_="/no-such-process")


@topic.check("unknown", "An unknown job, data set or page is 404, each of its own type", needs="read")
def unknown(run: Run) -> None:
    """What there is not."""
    run.me.get(f"/jobs/{NO_JOB}").problem(404, type_="/no-such-job")
    run.me.get(f"/jobs/{NO_JOB}/results").problem(404, type_="/no-such-job")
    run.me.get("/datasets/verify-no-such-data-set").problem(404, type_="no-such-data-set")
    run.me.get("/verify-no-such-page").problem(404, type_="not-found")


@topic.check("parameter", "A parameter that cannot be is 400, and named")
def parameter(run: Run) -> None:
    """The format of the conformance classes, which everybody may ask for."""
    answer = run.stranger.get("/conformance?f=verify").problem(400, type_="invalid-request")
    pointer = answer.at("errors", 0, "pointer")
    answer.must(pointer == "f", "errors that name f", f"errors that name {pointer}")
