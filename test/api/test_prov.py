"""Provenance over HTTP."""

import hashlib
import json
from typing import Any

import pytest
from prov.model import ProvAgent, ProvDocument, ProvEntity
from support.by_hand import WorkerByHand

from gristmill.api import prov
from gristmill.job import End

ASYNC = {"Prefer": "respond-async"}


@pytest.fixture
def worker(api) -> WorkerByHand:
    return WorkerByHand(api.services.jobs, api.services.registry.offers(api.services.release), host="node-7")


def entity_of_inputs(told: dict[str, Any], job_id: str) -> dict[str, Any]:
    return told["entity"][f"gristmill:inputs/{job_id}"]


def agents(told: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The process and the owner."""
    found = {link: told["agent"][of["prov:agent"]] for link, of in told["wasAssociatedWith"].items()}
    return found["_:plan"], found["_:asked"]


def loaded(told: dict[str, Any]) -> ProvDocument:
    return ProvDocument.deserialize(content=json.dumps(told), format="json")


def test_a_result_names_all_that_made_it(api, worker):
    job_id = api.execute(headers=ASYNC).json["jobID"]
    worker.succeed(("string", "text/plain", b"hello"))
    told = api.get(f"/jobs/{job_id}/prov").json
    status = api.get(f"/jobs/{job_id}").json
    release, process = api.services.release, api.services.registry["echo"]

    activity = told["activity"][f"job:{job_id}"]
    assert activity["prov:startTime"] == status["started"]
    assert activity["prov:endTime"] == status["finished"]
    assert activity["gristmill:acceptedByRelease"] == activity["gristmill:runByRelease"] == release
    assert activity["gristmill:attempts"] == 1
    assert activity["gristmill:worker"] == worker.id
    assert activity["gristmill:host"] == "node-7"

    agent, owner = agents(told)
    assert agent["prov:label"] == "echo"
    assert agent["gristmill:processVersion"] == process.version_hash(release)
    assert agent["gristmill:sourceHash"] == process.source_hash
    assert agent["gristmill:declaredVersion"] == process.version
    assert agent["gristmill:interface"] == process.interface
    assert owner["prov:label"] == "127.0.0.1"

    inputs = entity_of_inputs(told, job_id)
    assert json.loads(inputs["prov:value"]) == {"string": "hello"}
    assert inputs["gristmill:sha256"] == hashlib.sha256(inputs["prov:value"].encode()).hexdigest()
    output = told["entity"][f"job:{job_id}/results/string"]
    assert (output["gristmill:mediaType"], output["gristmill:bytes"]) == ("text/plain", 5)
    assert told["prefix"]["job"] == "http://localhost/jobs/"


def test_the_source_of_a_result_stays_known_when_its_process_is_no_longer_offered(api, make_api, worker, tmp_path):
    process = api.services.registry["doubled"]
    job_id = api.execute("doubled", inputs={"number": 2}, headers=ASYNC).json["jobID"]
    worker.succeed(("result", "application/json", b"4"))
    later = make_api(processes=tmp_path)
    assert later.get("/processes/doubled").status_code == 404

    agent, _ = agents(later.get(f"/jobs/{job_id}/prov").json)
    assert (agent["gristmill:sourceHash"], agent["gristmill:declaredVersion"]) == (process.source_hash, process.version)


def test_long_inputs_are_named_by_their_hash(api, worker):
    text = "x" * (prov.MOST_INLINE_BYTES + 1)
    job_id = api.execute(inputs={"string": text}, headers=ASYNC).json["jobID"]
    inputs = entity_of_inputs(api.get(f"/jobs/{job_id}/prov").json, job_id)
    stored = api.services.jobs.inputs(api.services.jobs.get(job_id))
    assert json.loads(stored) == {"string": text}
    assert inputs["gristmill:sha256"] == hashlib.sha256(stored).hexdigest()
    assert "prov:value" not in inputs


def test_a_copied_result_names_the_job_that_it_comes_from(api, worker):
    first = api.execute("doubled", inputs={"number": 2}, headers=ASYNC).json["jobID"]
    worker.succeed(("result", "application/json", b"4"))
    copy = api.execute("doubled", inputs={"number": 2}, headers=ASYNC).json["jobID"]
    [informed] = api.get(f"/jobs/{copy}/prov").json["wasInformedBy"].values()
    assert informed == {"prov:informed": f"job:{copy}", "prov:informant": f"job:{first}"}


def test_who_made_a_copied_result_stays_known_when_the_job_that_it_comes_from_is_gone(api, worker):
    first = api.execute("doubled", inputs={"number": 2}, headers=ASYNC).json["jobID"]
    worker.succeed(("result", "application/json", b"4"))
    original = api.get(f"/jobs/{first}/prov").json["activity"][f"job:{first}"]
    copy = api.execute("doubled", inputs={"number": 2}, headers=ASYNC).json["jobID"]
    assert api.client.delete(f"/jobs/{first}").status_code == 200

    told = api.get(f"/jobs/{copy}/prov").json
    made = told["activity"][f"job:{first}"]
    assert made == {name: value for name, value in original.items() if name in made}
    assert {"prov:startTime", "prov:endTime", "gristmill:attempt", "gristmill:worker", "gristmill:host"} <= set(made)
    assert agents(told)[0]["gristmill:sourceHash"] == api.services.registry["doubled"].source_hash


def test_a_failed_job_names_its_end_and_no_outputs(api, worker):
    job_id = api.execute(headers=ASYNC).json["jobID"]
    worker.fail(End.OUT_OF_MEMORY)
    told = api.get(f"/jobs/{job_id}/prov").json
    assert told["activity"][f"job:{job_id}"]["gristmill:end"] == "urn:gristmill:problem:out-of-memory"
    assert list(told["entity"]) == [f"gristmill:inputs/{job_id}"]


@pytest.mark.parametrize("inputs", [{"string": 'say "é"'}, {"string": "", "array": [1, 2], "object": {"$": 1}}])
def test_the_document_is_prov_json_with_the_inputs_as_text(api, worker, inputs):
    job_id = api.execute(inputs=inputs, headers=ASYNC).json["jobID"]
    worker.succeed(("string", "text/plain", b"hello"))

    read = loaded(api.get(f"/jobs/{job_id}/prov").json)

    (entity,) = read.get_record(f"gristmill:inputs/{job_id}")
    assert json.loads(entity.value.pop()) == inputs
    assert read.get_record(f"job:{job_id}/results/string")


def test_documents_of_jobs_can_be_merged(api, worker):
    told = []
    for process, inputs in (("echo", {"string": "a"}), ("echo", {"string": "b"}), ("doubled", {"number": 2})):
        job_id = api.execute(process, inputs=inputs, headers=ASYNC).json["jobID"]
        worker.succeed()
        told.append(api.get(f"/jobs/{job_id}/prov").json)

    merged = ProvDocument()
    for one in told:
        merged.update(loaded(one))

    records = list(merged.unified().get_records((ProvEntity, ProvAgent)))
    assert len(records) == 3 + 3  # inputs, and two processes and an owner
    for record in records:
        names = [str(name) for name, _ in record.attributes]
        assert sorted(names) == sorted(set(names)), record


def test_unchanged_provenance_is_304(api, worker):
    job_id = api.execute(headers=ASYNC).json["jobID"]
    worker.succeed()
    etag = api.get(f"/jobs/{job_id}/prov").headers["ETag"]
    assert api.get(f"/jobs/{job_id}/prov", If_None_Match=etag).status_code == 304
