"""A data set from its upload to its deletion: a small table under a name of the run's own."""

import re
from statistics import fmean
from typing import Any

from gristmill.verify.answers import brief
from gristmill.verify.check import Topic
from gristmill.verify.checks.following import follow, submit_async
from gristmill.verify.run import Run

topic = Topic("data", "A data set from end to end")

GROUPS = ("alder", "birch", "cedar")
_CSV = {"Content-Type": "text/csv"}
_HASH = re.compile(r"[0-9a-f]{64}")
_PNG = b"\x89PNG\r\n\x1a\n"


def table(mark: str) -> list[dict[str, Any]]:
    """The rows that are uploaded; the mark makes them new to every deployment."""
    return [
        {"id": number, "kind": GROUPS[number % 3], "weight": number * 1.25, "note": f"{mark} {number}"}
        for number in range(1, 31)
    ]


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    """The rows as CSV; no value needs quotes."""
    lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    return ("\n".join(lines) + "\n").encode()


@topic.check("uploaded", "An upload is a new version, with its columns and rows as they were sent", needs="run")
def uploaded(run: Run) -> str:
    """201 with Location, ETag, the version's hash, and the type of each column."""
    rows = table(run.mark)
    run.made.data_sets[run.mark] = None
    answer = run.me.ask("PUT", f"/datasets/{run.mark}", content=as_csv(rows), headers=_CSV).expect(201)
    location = run.path(answer, answer.must_have("Location").header("Location"))
    answer.must(location == f"/datasets/{run.mark}", f"Location ending in /datasets/{run.mark}", location)
    answer.must_have("ETag")
    version = answer.at("version", kind=str)
    answer.must(bool(_HASH.fullmatch(version)), "a version named by a SHA-256", f"version {version}")
    run.facts.version = version
    count = answer.at("rows", kind=int)
    answer.must(count == len(rows), f"{len(rows)} rows", f"{count} rows")
    kinds = {one.get("name"): one.get("kind") for one in answer.at("columns", kind=list) if isinstance(one, dict)}
    right = {"id": "integer", "kind": "text", "weight": "number", "note": "text"}
    answer.must(kinds == right, brief(right), brief(kinds))
    return f"{len(rows)} rows, version {version[:12]}"


@topic.check("same", "The same upload again is the same version, not a new one", needs="run", after=("uploaded",))
def same(run: Run) -> None:
    """200 instead of 201."""
    content = as_csv(table(run.mark))
    answer = run.me.ask("PUT", f"/datasets/{run.mark}", content=content, headers=_CSV).expect(200)
    version = answer.at("version", kind=str)
    answer.must(version == run.facts.version, f"version {run.facts.version}", f"version {version}")
    versions = answer.at("versions", kind=list)
    answer.must(len(versions) == 1, "one version", f"{len(versions)} versions")


@topic.check(
    "rows", "Its rows come back as they were sent; filtered, sorted and in part where that is asked for",
    needs="run", after=("uploaded",),
)  # fmt: skip
def rows(run: Run) -> None:
    """As JSON and, all of them, as CSV."""
    here, sent = f"/datasets/{run.mark}/rows", table(run.mark)
    answer = run.me.get(here).expect(200)
    found = answer.at("rows", kind=list)
    answer.must(found == sent, f"the {len(sent)} rows that were sent", f"{len(found)} rows: {brief(found)}")
    query = {"filter": "weight > 20 AND kind = 'birch'", "sortby": "-id", "properties": "id,kind", "limit": "3"}
    answer = run.me.get(here, params=query).expect(200)
    right = [
        {"id": row["id"], "kind": "birch"} for row in reversed(sent) if row["weight"] > 20 and row["kind"] == "birch"
    ]
    found = answer.at("rows", kind=list)
    answer.must(found == right[:3], brief(right[:3]), brief(found))
    answer = run.me.get(here, params={"f": "csv"}).expect(200)
    answer.must(answer.media_type == "text/csv", "text/csv", answer.media_type)
    lines = answer.body.decode("utf-8", "replace").split()
    answer.must(lines == as_csv(sent).decode().split(), "the CSV that was sent", f"{len(lines)} words of CSV")
    run.me.get(here, params={"filter": "weight >"}).problem(400, type_="invalid-filter")


@topic.check("etag", "Rows have a strong ETag: who has them is answered with 304", needs="run", after=("uploaded",))
def etag(run: Run) -> None:
    """And caches are told what the answer depends on."""
    here = f"/datasets/{run.mark}/versions/{run.facts.version}/rows?limit=5"
    answer = run.me.get(here).expect(200).must_have("ETag")
    tag = answer.header("ETag")
    answer.must(tag.startswith('"'), "a strong ETag, in double quotes and without W/", answer.with_header("ETag"))
    varies = {one.strip().lower() for one in ",".join(answer.headers.get_list("Vary")).split(",")}
    answer.must({"accept", "accept-encoding"} <= varies, "Vary: Accept, Accept-Encoding", answer.with_header("Vary"))
    again = run.me.get(here, headers={"If-None-Match": tag}).expect(304).must_have("ETag", tag)
    again.must(not again.body, "304 without a body")
    run.me.get(here, headers={"If-None-Match": '"another"'}).expect(200)


@topic.check("aggregate", "Metrics of groups are right", needs="run", after=("uploaded",))
def aggregate(run: Run) -> None:
    """Count, sum and mean of each group."""
    query = {"groupby": "kind", "metrics": "count(),sum(weight),mean(weight)"}
    answer = run.me.get(f"/datasets/{run.mark}/aggregate", params=query).expect(200)
    right = []
    for kind in GROUPS:
        weights = [row["weight"] for row in table(run.mark) if row["kind"] == kind]
        right.append(
            {"kind": kind, "count()": len(weights), "sum(weight)": sum(weights), "mean(weight)": fmean(weights)}
        )
    found = answer.at("rows", kind=list)
    answer.must(found == right, brief(right), brief(found))


@topic.check(
    "analysed", "A job over it gives numbers and pictures, and its provenance names the version",
    needs="run", after=("uploaded",),
)  # fmt: skip
def analysed(run: Run) -> str:
    """The process summary; the picture is a PNG and says so."""
    job = submit_async(run, "summary", {"table": {"dataset": run.mark}})
    run.facts.summary = job
    follow(run, job, "successful")
    answer = run.me.get(f"/jobs/{job}/results/rows").expect(200)
    answer.must(answer.json() == len(table(run.mark)), f"{len(table(run.mark))} rows", brief(answer.json()))
    picture = run.me.get(f"/jobs/{job}/results/plot").expect(200)
    picture.must(picture.media_type == "image/png", "image/png", picture.media_type)
    picture.must(picture.body.startswith(_PNG), "the bytes of a PNG", f"{len(picture.body)} bytes that are none")
    drawing = run.me.get(f"/jobs/{job}/results/plot_svg").expect(200)
    drawing.must(drawing.media_type == "image/svg+xml", "image/svg+xml", drawing.media_type)
    used = run.me.get(f"/jobs/{job}/prov").expect(200)
    version = used.at("entity", f"gristmill:{run.mark}/{run.facts.version}", "gristmill:version", kind=str)
    used.must(version == run.facts.version, f"version {run.facts.version}", f"version {version}")
    return f"a picture of {len(picture.body) / 1000:.0f} kB"


@topic.check("guarded", "A result is sent so that no browser runs what is in it", needs="run", after=("analysed",))
def guarded(run: Run) -> None:
    """X-Content-Type-Options and Content-Security-Policy."""
    for output in ("plot", "plot_svg", "table"):
        answer = run.me.get(f"/jobs/{run.facts.summary}/results/{output}").expect(200)
        answer.must_have("X-Content-Type-Options", "nosniff").must_have("Content-Security-Policy", "sandbox")


@topic.check("malformed", "An upload that is no table is refused with its line, and leaves nothing", needs="run")
def malformed(run: Run) -> None:
    """The third line has one value too few."""
    name = f"{run.mark}-malformed"
    run.made.data_sets[name] = None
    answer = run.me.ask("PUT", f"/datasets/{name}", content=b"a,b\n1,2\n3\n", headers=_CSV)
    answer.problem(422, type_="malformed-data")
    answer.must("ine 3" in answer.at("detail", kind=str), "a detail that names line 3", answer.told)
    run.me.get(f"/datasets/{name}").problem(404, type_="no-such-data-set")
    run.made.data_sets.pop(name, None)
