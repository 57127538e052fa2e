"""How answers are sent: problem details, request ids, caching, methods, other origins."""

from gristmill.verify.answers import PROBLEM, Answer
from gristmill.verify.check import Topic
from gristmill.verify.run import Run

topic = Topic("headers", "Headers and methods")

ORIGIN = "https://verify.invalid"
_OPEN_PAGES = ("/", "/conformance", "/version", "/healthz")


@topic.check("request_id", "A client's request id is taken over, and one that is none is replaced")
def request_id(run: Run) -> None:
    """It names the request in logs and answers."""
    run.stranger.get("/version", headers={"X-Request-Id": run.mark}).must_have("X-Request-Id", run.mark)
    answer = run.stranger.get("/version", headers={"X-Request-Id": "two words"}).must_have("X-Request-Id")
    answer.must(answer.header("X-Request-Id") != "two words", "an id of one word", answer.with_header("X-Request-Id"))


@topic.check("problems", "Errors are problem details; plain JSON for a client that takes nothing else")
def problems(run: Run) -> None:
    """By the Accept header."""
    run.stranger.get("/verify-no-such-page").problem(404)
    answer = run.stranger.get("/verify-no-such-page", headers={"Accept": "application/json"}).expect(404)
    answer.must(answer.media_type == "application/json", "application/json", answer.media_type)
    answer = run.stranger.get("/verify-no-such-page", headers={"Accept": "text/html"}).expect(404)
    answer.must(answer.media_type == PROBLEM, PROBLEM, answer.media_type)


@topic.check("conditional", "Documents have an ETag: who has them is answered with 304")
def conditional(run: Run) -> None:
    """The landing page and the conformance classes."""
    for path in ("/", "/conformance"):
        tag = run.stranger.get(path).expect(200).must_have("ETag").header("ETag")
        again = run.stranger.get(path, headers={"If-None-Match": tag}).expect(304)
        again.must(not again.body, "304 without a body")


@topic.check("head", "`HEAD` is answered like `GET`, without a body")
def head(run: Run) -> None:
    """The same status and headers."""
    for path in (*_OPEN_PAGES, "/verify-no-such-page"):
        whole, bare = run.stranger.get(path), run.stranger.ask("HEAD", path)
        bare.expect(whole.status).must(not bare.body, "no body")
        for name in ("Content-Type", "ETag"):
            value = whole.header(name)
            bare.must(bare.header(name) == value, f"{name}: {value or '(none)'}, as GET says", bare.with_header(name))


@topic.check("options", "`OPTIONS` says in `Allow` what is possible")
def options(run: Run) -> None:
    """Everybody may ask, also where only some may act."""
    for path, method in (("/", "GET"), ("/jobs", "GET"), ("/processes/echo/execution", "POST")):
        answer = run.stranger.ask("OPTIONS", path).expect(200, 204)
        answer.must({method, "OPTIONS"} <= _allowed(answer), f"Allow: {method}, OPTIONS", answer.with_header("Allow"))


@topic.check("method", "A method that is not possible is 405 with `Allow`, and problem details")
def method(run: Run) -> None:
    """Before anybody is asked for a token."""
    for verb, path, possible in (("POST", "/conformance", "GET"), ("DELETE", "/", "GET"), ("PUT", "/version", "GET")):
        answer = run.stranger.ask(verb, path).problem(405, type_="method-not-allowed")
        allowed = _allowed(answer)
        right = f"Allow with {possible} and without {verb}"
        answer.must(possible in allowed and verb not in allowed, right, answer.with_header("Allow"))


@topic.check("origins", "Pages of other origins may read only where all origins may, and never with credentials")
def origins(run: Run) -> str:
    """An origin that nobody has named is not let in, neither by a request nor by its preflight."""
    asked = {"Origin": ORIGIN}
    before = asked | {"Access-Control-Request-Method": "DELETE", "Access-Control-Request-Headers": "Authorization"}
    answers = [
        run.stranger.get("/conformance", headers=asked),
        run.stranger.get("/verify-no-such-page", headers=asked),
        run.stranger.ask("OPTIONS", "/jobs", headers=before),
    ]
    let_in = set()
    for answer in answers:
        allowed = answer.header("Access-Control-Allow-Origin")
        come = answer.with_header("Access-Control-Allow-Origin")
        answer.must(allowed in {"", "*"}, f"no Access-Control-Allow-Origin for {ORIGIN}, or * for all", come)
        credentials = answer.header("Access-Control-Allow-Credentials")
        answer.must(
            not credentials,
            "no Access-Control-Allow-Credentials",
            answer.with_header("Access-Control-Allow-Credentials"),
        )
        let_in.add(allowed)
        answer.must(len(let_in) == 1, "the same for every request", come)
    return "all origins may read (GRISTMILL_CORS_ORIGINS=*)" if "*" in let_in else "no unknown origin"


def _allowed(answer: Answer) -> set[str]:
    return {one.strip() for one in answer.header("Allow").split(",")}
