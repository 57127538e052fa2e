"""The API's own description."""

import re

import pytest
from openapi_schema_validator import OAS30Validator
from openapi_spec_validator import OpenAPIV30SpecValidator

from gristmill.api.openapi import OPEN_PATHS, routes
from gristmill.tokens import new_token

GET_PAGES = ["/", "/conformance", "/processes", "/processes/echo", "/jobs", "/healthz", "/version"]


@pytest.fixture
def document(api):
    return api.get("/api").json


def resolved(document, part):
    """A part with its reference followed."""
    if "$ref" not in part:
        return part
    _, _, kind, name = part["$ref"].split("/")
    return document["components"][kind][name]


def operations(document):
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def assert_fits(document, schema, instance):
    whole = {"components": document["components"]} | schema
    faults = [error.message for error in OAS30Validator(whole).iter_errors(instance)]
    assert not faults


def closed(document, part):
    """A schema that takes no member without a name in it, however far down; what says it takes any, does."""
    if isinstance(part, list):
        return [closed(document, one) for one in part]
    if not isinstance(part, dict):
        return part
    whole = dict(part)
    for one in whole.pop("allOf", []):
        inner = resolved(document, one)
        whole = inner | whole | {"properties": inner.get("properties", {}) | whole.get("properties", {})}
    made = {name: closed(document, one) for name, one in whole.items()}
    if isinstance(made.get("properties"), dict) and "properties" not in made["properties"]:
        made.setdefault("additionalProperties", False)
    return made


def assert_says_no_more(document, schema, instance):
    """Hold an answer to its schema, and to the names in it."""
    schemas = {name: closed(document, one) for name, one in document["components"]["schemas"].items()}
    # A JSON Schema may have any keyword, and an input or output any schema.
    schemas["schema"] = {}
    whole = {"components": {"schemas": schemas}} | closed(document, schema)
    faults = [
        f"{'/'.join(map(str, error.absolute_path))}: {error.message}"
        for error in OAS30Validator(whole).iter_errors(instance)
    ]
    assert not faults


def test_the_document_is_valid_openapi(document):
    OpenAPIV30SpecValidator(document).validate()
    assert document["openapi"] == "3.0.3"


def test_it_describes_every_route_and_no_other(api, document):
    described = {(path, method) for path, method, _ in operations(document)}
    there = set(routes(api.app))
    executions = {(f"/processes/{process}/execution", "post") for process in api.services.registry}
    assert described == there - {("/processes/{processID}/execution", "post")} | executions


def test_every_parameter_in_a_path_is_described(document):
    for path, _, operation in operations(document):
        named = {
            one["name"] for one in (resolved(document, part) for part in operation["parameters"]) if one["in"] == "path"
        }
        assert named == set(re.findall(r"{(\w+)}", path))


def test_every_operation_has_an_id_of_its_own(document):
    identifiers = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(identifiers)) == len(identifiers)


def test_every_error_response_is_problem_details(document):
    for path, _, operation in operations(document):
        for status, part in operation["responses"].items():
            if status >= "400":
                content = resolved(document, part)["content"]
                assert "application/problem+json" in content, (path, status)


def test_the_document_says_where_the_api_is(make_api):
    document = make_api(public_url="https://data.example.org/mill").get("/api").json
    assert document["servers"] == [{"url": "https://data.example.org/mill"}]


@pytest.mark.parametrize("path", GET_PAGES)
def test_what_a_page_answers_fits_its_schema(api, document, path):
    api.execute(headers={"Prefer": "respond-async"})
    template = "/processes/{processID}" if path == "/processes/echo" else path
    part = document["paths"][template]["get"]["responses"]["200"]
    assert_says_no_more(document, part["content"]["application/json"]["schema"], api.get(path).json)


@pytest.mark.parametrize("path", [*GET_PAGES, "/jobs/nothing", "/readyz", "/api"])
def test_every_header_of_ours_is_described(api, document, path):
    template = {"/processes/echo": "/processes/{processID}", "/jobs/nothing": "/jobs/{jobID}"}.get(path, path)
    response = api.get(path)
    part = resolved(document, document["paths"][template]["get"]["responses"][str(response.status_code)])
    usual = {"Content-Type", "Content-Length", "Cache-Control"}
    assert set(response.headers.keys()) - usual <= set(part["headers"])


def test_an_accepted_job_and_a_refused_one_fit_their_schemas(api, document):
    responses = document["paths"]["/processes/echo/execution"]["post"]["responses"]
    accepted = api.execute(headers={"Prefer": "respond-async"})
    assert_fits(document, responses["201"]["content"]["application/json"]["schema"], accepted.json)
    assert set(accepted.headers.keys()) - {"Content-Type", "Content-Length"} <= set(responses["201"]["headers"])
    refused = resolved(document, responses["400"])
    assert_fits(document, refused["content"]["application/problem+json"]["schema"], api.execute(inputs={}).json)


@pytest.mark.parametrize(
    "inputs",
    [
        {"string": "x"},
        {"string": {"value": "x"}},
        {"string": {"value": "x", "mediaType": "text/plain"}},
        {"string": {"href": "https://example.org/x.txt", "type": "text/plain"}},
        {"string": "x", "object": {"value": {"a": 1}}},
        {"string": "x", "object": {"anything": [1]}},
        {"string": "x", "box": {"bbox": [1, 2, 3, 4]}},
        {"string": "x", "mixed": [1, 2.5]},
        {"string": "x", "number": None},
        {},
        {"string": 1},
        {"string": "x", "nothing": 1},
        {"string": "x", "integer": "1"},
        {"string": "x", "box": {"bbox": [1]}},
        {"string": "x", "mixed": {"a": 1}},
        {"string": "x", "pause": -1},
    ],
)
def test_the_schema_of_a_process_takes_what_the_process_takes(api, document, inputs):
    schema = document["paths"]["/processes/echo/execution"]["post"]["requestBody"]["content"]["application/json"][
        "schema"
    ]
    accepted = api.execute(inputs=inputs, headers={"Prefer": "respond-async"}).status_code == 201
    fits = OAS30Validator({"components": document["components"]} | schema).is_valid({"inputs": inputs})
    assert fits == accepted


def test_a_process_without_required_inputs_needs_no_inputs(api, document):
    schema = document["paths"]["/processes/pair/execution"]["post"]["requestBody"]["content"]["application/json"][
        "schema"
    ]
    assert "required" not in schema
    assert api.client.post("/processes/long_running/execution", json={}).status_code == 201


def test_without_tokens_there_is_no_security_scheme(document):
    assert "securitySchemes" not in document["components"]
    assert "security" not in document


@pytest.mark.parametrize(("anonymous", "security"), [("none", [{"token": []}]), ("read", [{"token": []}, {}])])
def test_with_tokens_the_document_says_how_they_are_sent(make_api, make_settings, tmp_path, anonymous, security):
    file = tmp_path / "tokens"
    token = new_token(make_settings("", token_file=file), "ann", "run")
    api = make_api(token_file=file, anonymous=anonymous)
    document = api.get("/api", Authorization=f"Bearer {token}").json
    assert document["components"]["securitySchemes"]["token"] == {"type": "http", "scheme": "bearer"}
    assert document["security"] == security
    OpenAPIV30SpecValidator(document).validate()


def test_the_paths_that_are_said_to_be_open_are(make_api):
    api = make_api(anonymous="none")
    for path, method in routes(api.app):
        if method == "get":
            status = api.get(path.replace("{", "").replace("}", "")).status_code
            assert (status not in {401, 403}) == (path in OPEN_PATHS), path


def test_no_answer_about_a_job_says_more_than_the_document(api, document, work):
    done = api.execute(headers={"Prefer": "respond-async"}, response="document").json["jobID"]
    broken = api.execute("broken", inputs={"message": "x"}, headers={"Prefer": "respond-async"}).json["jobID"]
    dismissed = api.execute(headers={"Prefer": "respond-async"}).json["jobID"]
    api.client.delete(f"/jobs/{dismissed}")
    waiting = api.execute("long_running", inputs={}, headers={"Prefer": "respond-async"}).json["jobID"]
    pages = {f"/jobs/{job}": "/jobs/{jobID}" for job in (done, broken, dismissed, waiting)}
    pages |= {f"/jobs/{job}/prov": "/jobs/{jobID}/prov" for job in (done, broken, dismissed, waiting)}
    pages |= {f"/jobs/{job}/results": "/jobs/{jobID}/results" for job in (broken, dismissed, waiting)}
    pages |= {"/jobs": "/jobs", "/jobs/nothing": "/jobs/{jobID}", "/jobs?limit=x": "/jobs"}

    def hold_all() -> None:
        for path, template in pages.items():
            response = api.get(path)
            part = resolved(document, document["paths"][template]["get"]["responses"][str(response.status_code)])
            schema = part["content"][response.content_type]["schema"]
            assert_says_no_more(document, schema, response.json)

    hold_all()
    work(api)
    for job in (done, broken):
        api.get(f"/jobs/{job}", Prefer="wait=10")
    hold_all()


def test_an_unknown_f_is_refused_wherever_there_is_one(api, document):
    having = [
        (method, path)
        for path, method, operation in operations(document)
        if "f" in {resolved(document, one)["name"] for one in operation["parameters"]}
    ]
    assert len(having) > 15
    for method, path in having:
        refused = api.client.open(re.sub(r"\{\w+\}", "x", path) + "?f=nonsense", method=method.upper())
        assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (400, "f"), (method, path)
