"""All that a client can see of a system, to compare one with another, or with itself at another time."""

import json
from typing import Any

import httpx


def told(api: httpx.Client, path: str, **headers: str) -> Any:
    """An answer without the addresses in it."""
    answer = api.get(path, headers=headers)
    assert answer.status_code == 200, (path, answer.text)
    return json.loads(answer.text.replace(str(api.base_url).rstrip("/"), "http://here"))


def seen(api: httpx.Client) -> dict[str, Any]:
    """All that a client can get of jobs that have ended, and of data sets."""
    found: dict[str, Any] = {}
    for job in told(api, "/jobs?limit=1000")["jobs"]:
        name = job["jobID"]
        if job["status"] in {"accepted", "running"}:
            continue
        found[name] = [told(api, f"/jobs/{name}"), told(api, f"/jobs/{name}/prov")]
        if job["status"] == "successful":
            document = api.get(f"/jobs/{name}/results?f=json")
            found[name] += [document.status_code, document.text.replace(str(api.base_url).rstrip("/"), "http://here")]
    for data_set in told(api, "/datasets")["datasets"]:
        path = f"/datasets/{data_set['name']}"
        found[path] = told(api, path)
        for version in found[path]["versions"]:
            its = f"{path}/versions/{version['version']}"
            rows = api.get(f"{its}/rows?limit=1000")
            found[its] = [
                told(api, its),
                rows.json()["rows"],
                api.get(f"{its}/rows?f=csv").content,
            ]
    return found
