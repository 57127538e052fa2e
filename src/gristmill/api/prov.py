"""Where a job's result comes from, as PROV-JSON (W3C member submission, 2013) with facts of our own."""

import hashlib
import json

from flask import Blueprint, Response

from gristmill.api import access, links, negotiation
from gristmill.api.dataset_documents import data_set_url
from gristmill.api.jobs import etag, visible_job
from gristmill.api.services import Services, services
from gristmill.api.status import Document, job_url, rfc3339
from gristmill.job import Job, Made, Status
from gristmill.processes.references import references_in

# Inputs up to this size stand in the document; of larger ones it has the size and the hash.
MOST_INLINE_BYTES = 64 * 1024

blueprint = Blueprint("prov", __name__)


@blueprint.get("/jobs/<job_id>/prov")
def provenance(job_id: str) -> Response:
    """What made the result: release, process, inputs, attempt, when and where."""
    access.require("read")
    negotiation.only_format()
    job = visible_job(job_id)
    return negotiation.unchanging(negotiation.json_bytes(_document(services(), job, links.base_url())), etag(job))


def _document(serving: Services, job: Job, base: str) -> Document:
    """The job as an activity, its inputs and outputs as entities, process and worker as agents."""
    data = serving.jobs.inputs(job)
    inputs, data_sets = f"gristmill:inputs/{job.id}", _data_sets(data, base)
    version = (job.made.process_version if job.made else job.run_process_version) or job.process_version
    process = f"gristmill:process/{links.quoted(job.process)}/{version}"
    owner = f"gristmill:owner/{links.quoted(job.owner)}"
    source = {f"job:{job.same_as}": _source(serving, job.same_as, job.made)} if job.made else {}
    made: Document = {
        "prefix": {"prov": "http://www.w3.org/ns/prov#", "gristmill": "urn:gristmill:prov:", "job": f"{base}/jobs/"},
        "activity": {f"job:{job.id}": _activity(serving, job)} | source,
        "entity": {inputs: _inputs(data)} | data_sets | _outputs(job, base),
        "agent": {process: _process(serving, job, version, base), owner: {"prov:label": job.owner}},
        "used": {
            f"_:used{number}": {"prov:activity": f"job:{job.id}", "prov:entity": entity}
            for number, entity in enumerate([inputs, *data_sets])
        },
        "wasAssociatedWith": {
            "_:plan": {"prov:activity": f"job:{job.id}", "prov:agent": process},
            "_:asked": {"prov:activity": f"job:{job.id}", "prov:agent": owner, "prov:role": "owner"},
        },
        "wasGeneratedBy": {
            f"_:made{number}": {"prov:entity": f"job:{job.id}/results/{output.name}", "prov:activity": f"job:{job.id}"}
            for number, output in enumerate(job.outputs)
        },
    }
    if job.same_as:
        made["wasInformedBy"] = {"_:copied": {"prov:informed": f"job:{job.id}", "prov:informant": f"job:{job.same_as}"}}
    return made


def _activity(serving: Services, job: Job) -> Document:
    facts: Document = {
        "prov:label": f"Job {job.id}",
        "gristmill:status": job.status.value,
        "gristmill:accepted": rfc3339(job.created),
        "gristmill:acceptedByRelease": job.release,
        "gristmill:runByRelease": job.run_release,
        "gristmill:attempts": job.attempts,
        "gristmill:attempt": job.token,
        "gristmill:worker": job.worker,
        "gristmill:host": serving.jobs.host_of(job.worker),
        "gristmill:sameAs": job.same_as,
    }
    if job.started is not None:
        facts["prov:startTime"] = rfc3339(job.started)
    if job.finished is not None:
        facts["prov:endTime"] = rfc3339(job.finished)
    if job.end is not None:
        facts["gristmill:end"] = job.end.problem_type
    return {name: value for name, value in facts.items() if value not in {"", None}}


def _source(serving: Services, job_id: str, made: Made) -> Document:
    """The job that has made a copied result, which may have expired since."""
    facts: Document = {
        "prov:label": f"Job {job_id}",
        "prov:startTime": rfc3339(made.started),
        "prov:endTime": rfc3339(made.finished),
        "gristmill:runByRelease": made.release,
        "gristmill:attempt": made.token,
        "gristmill:worker": made.worker,
        "gristmill:host": serving.jobs.host_of(made.worker),
    }
    return {name: value for name, value in facts.items() if value}


def _inputs(data: bytes) -> Document:
    facts: Document = {
        "prov:type": "gristmill:Inputs",
        "gristmill:bytes": len(data),
        "gristmill:sha256": hashlib.sha256(data).hexdigest(),
    }
    if len(data) <= MOST_INLINE_BYTES:
        facts["prov:value"] = data.decode()  # a PROV-JSON value is a literal, never an object
    return facts


def _data_sets(data: bytes, base: str) -> dict[str, Document]:
    """The versions of data sets that the inputs name."""
    return {
        f"gristmill:{reference.dataset}/{reference.version}": {
            "prov:type": "gristmill:DataSetVersion",
            "prov:label": reference.dataset,
            "prov:location": data_set_url(base, reference.dataset, "versions", reference.version),
            "gristmill:version": reference.version,
        }
        for reference in references_in(json.loads(data))
    }


def _outputs(job: Job, base: str) -> dict[str, Document]:
    if job.status is not Status.SUCCESSFUL:
        return {}
    return {
        f"job:{job.id}/results/{output.name}": {
            "prov:label": output.name,
            "prov:location": job_url(base, job.id, "results", output.name),
            "gristmill:mediaType": output.media_type,
            "gristmill:bytes": output.size,
        }
        for output in job.outputs
    }


def _process(serving: Services, job: Job, version: str, base: str) -> Document:
    """The process in the version that made the result, or of a job that has not run, that it was accepted for."""
    facts: Document = {
        "prov:type": "prov:SoftwareAgent",
        "prov:label": job.process,
        "gristmill:processVersion": version,
        "gristmill:interface": job.interface,
        "prov:location": f"{base}/processes/{links.quoted(job.process)}",
    }
    source, declared = serving.jobs.source_of(version)
    if source:
        facts |= {"gristmill:declaredVersion": declared, "gristmill:sourceHash": source}
    return facts
