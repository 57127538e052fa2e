"""Is it there: health, release, links, conformance classes, encryption."""

from gristmill.verify.check import Topic, Warn
from gristmill.verify.run import Run

topic = Topic("service", "The service")

CLASSES = "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/"
KEPT = ("core", "ogc-process-description", "json", "oas30", "job-list", "callback", "dismiss")
RELS = (
    "service-desc",
    "http://www.opengis.net/def/rel/ogc/1.0/conformance",
    "http://www.opengis.net/def/rel/ogc/1.0/processes",
    "http://www.opengis.net/def/rel/ogc/1.0/job-list",
    "data",
)


@topic.check("alive", "`/healthz` says that it is alive")
def alive(run: Run) -> None:
    """The first question: is this Gristmill at all."""
    answer = run.stranger.get("/healthz").expect(200)
    status = answer.at("status", kind=str)
    answer.must(status == "alive", "status alive", f"status {status}").must_have("Cache-Control", "no-store")


@topic.check("ready", "`/readyz` says that it is ready, and finds nothing wrong with Redis")
def ready(run: Run) -> str:
    """What it finds wrong with Redis and can live with is a warning."""
    answer = run.stranger.get("/readyz").expect(200)
    status, redis = answer.at("status", kind=str), answer.at("redis", kind=str)
    answer.must(status == "ready" and redis == "reached", "ready, Redis reached", f"{status}, Redis {redis}")
    findings = [one for one in answer.at("findings", kind=list) if isinstance(one, dict)]
    told = "; ".join(f"{one.get('subject')}: {one.get('detail')}" for one in findings)
    answer.must(not any(one.get("level") == "error" for one in findings), "no error among the findings", told)
    if told:
        raise Warn(told)
    return f"Redis {redis}"


@topic.check("version", "`/version` names the release and the environment, and the headers name the same")
def version(run: Run) -> str:
    """With --expect-version, the release that it must be."""
    answer = run.stranger.get("/version").expect(200)
    release, environment = answer.at("release", kind=str), answer.at("environment", kind=str)
    run.facts.release, run.facts.environment = release, environment
    answer.must_have("Gristmill-Version", release)
    expected = run.options.expect_version or release
    answer.must(release == expected, f"release {expected} (--expect-version)", f"release {release}")
    return f"release {release}, environment {environment}"


@topic.check("links", "The landing page links to everything, where the caller can follow")
def links(run: Run) -> str:
    """Links that begin elsewhere are right behind a public address, and wrong behind a proxy that is not told of."""
    answer = run.stranger.get("/").expect(200)
    found = {
        one["rel"]: str(one.get("href"))
        for one in answer.at("links", kind=list)
        if isinstance(one, dict) and "rel" in one
    }
    missing = [rel for rel in ("self", *RELS) if rel not in found]
    answer.must(not missing, f"links with rel {', '.join(missing)}", f"links with rel {', '.join(found)}")
    run.facts.base = base = found["self"].rstrip("/")
    for rel in RELS:
        run.path(answer, found[rel])
    if base == run.target.url or run.target.environment:
        return f"links begin with {base}"
    raise Warn(
        f"the links begin with {base}, not with {run.target.url}: right if that is the public address "
        "(GRISTMILL_PUBLIC_URL); behind a proxy, GRISTMILL_TRUSTED_PROXIES must name it"
    )


@topic.check("conformance", "`/conformance` lists the classes of OGC API - Processes that Gristmill keeps")
def conformance(run: Run) -> str:
    """All of them, by their URIs."""
    answer = run.stranger.get("/conformance").expect(200)
    listed = answer.at("conformsTo", kind=list)
    missing = [name for name in KEPT if CLASSES + name not in listed]
    answer.must(not missing, f"the classes {', '.join(KEPT)}", f"without {', '.join(missing)}")
    return f"{len(KEPT)} classes"


@topic.check("https", "A production that others reach is reached by https", when="url")
def https(run: Run) -> str:
    """Tokens and data go over the line as they are without it."""
    if run.facts.environment != "prod":
        return f"this is {run.facts.environment or 'of an unknown environment'}"
    if run.target.is_https:
        return "https, and the certificate is trusted"
    if run.target.is_inside:
        return f"{run.target.host} is this computer or inside the cluster"
    raise Warn(
        f"{run.target.url} is plain http: tokens and data can be read on the way. "
        "Give the Ingress a `tls:` block, and use https"
    )
