"""Run jobs with cuiman's client against the API at the URL given; prints what it saw as JSON.

A program of its own: cuiman needs a newer Python and other packages than Gristmill.
"""

import json
import sys
import time
from typing import Any

from cuiman import Client, ClientError
from gavicore.models import JobInfo, ProcessRequest

FINAL = {"successful", "failed", "dismissed"}


def main(url: str) -> dict[str, Any]:
    client = Client(api_url=url)
    client.get_capabilities()
    client.get_conformance()
    assert "echo" in {process.id for process in client.get_processes().processes}
    assert "string" in client.get_process("echo").inputs

    # cuiman takes a 201 only; echo would be run while it waits.
    later = {"Prefer": "respond-async"}
    inputs = {"string": "hello", "array": [1, 2], "object": {"value": {"a": 1}}}
    request = ProcessRequest(inputs=inputs, response="document")
    job = client.execute_process("echo", request, headers=later)
    statuses = [_status(job)]
    deadline = time.monotonic() + 60
    while statuses[-1] not in FINAL and time.monotonic() < deadline:
        time.sleep(0.05)
        statuses.append(_status(client.get_job(job.jobID)))
    results = client.get_job_results(job.jobID).model_dump(mode="json", exclude_none=True)

    slow = client.execute_process("echo", ProcessRequest(inputs={"string": "x", "pause": 60}), headers=later)
    assert slow.jobID in {listed.jobID for listed in client.get_jobs().jobs}
    dismissed = _status(client.dismiss_job(slow.jobID))
    try:
        client.get_job("no-such-job")
        unknown = None
    except ClientError as error:
        unknown = error.api_error.status
    client.close()
    return {"job": job.jobID, "statuses": statuses, "results": results, "dismissed": dismissed, "unknown": unknown}


def _status(job: JobInfo) -> str:
    return str(getattr(job.status, "value", job.status))


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
