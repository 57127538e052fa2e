"""The API's own description: OpenAPI 3.0.3, made from the routes, the settings, the models and the processes."""

import re
from typing import Any

from flask import Blueprint, Flask, Response, current_app

from gristmill.api import access, links, negotiation
from gristmill.api.landing import OPENAPI_MEDIA_TYPE
from gristmill.api.offerings import Offering
from gristmill.api.openapi_components import HEADERS, PARAMETERS, RESPONSES, SCHEMAS, Part
from gristmill.api.openapi_datasets import OPERATIONS as DATA_SET_OPERATIONS
from gristmill.api.openapi_datasets import SCHEMAS as DATA_SET_SCHEMAS
from gristmill.api.openapi_execute import execute_schema
from gristmill.api.openapi_jobs import OPERATIONS as JOB_OPERATIONS
from gristmill.api.openapi_operations import OPERATIONS, execution
from gristmill.api.services import Services, services

_NAMES = {
    "process_id": "processID",
    "job_id": "jobID",
    "output": "outputID",
    "name": "outputID",
    "dataset_name": "datasetName",
    "version_id": "versionID",
}
EXECUTION = "/processes/{processID}/execution"
OPEN_PATHS = frozenset({"/", "/conformance", "/healthz", "/readyz", "/version"})
_VARIABLE = re.compile(r"<(?:[a-z]+(?:\([^)]*\))?:)?([a-z_]+)>")

blueprint = Blueprint("openapi", __name__)


@blueprint.get("/api")
def api() -> Response:
    """The OpenAPI document."""
    access.require("read")
    negotiation.wanted_format()
    serving, base = services(), links.base_url()
    page = serving.rendered.get(
        ("api", base, str(serving.tokens.enabled)), lambda: document(current_app, serving, base)
    )
    return negotiation.unchanging(page.body, page.etag, media_type=OPENAPI_MEDIA_TYPE)


def document(app: Flask, serving: Services, base: str) -> Part:
    """The document of an application. KeyError for a route that OPERATIONS does not describe.

    Execution stands in it once for each process, with the schema of that process's inputs and outputs.
    """
    paths: dict[str, Part] = {}
    operations = OPERATIONS | JOB_OPERATIONS | DATA_SET_OPERATIONS
    for path, method in routes(app):
        if path == EXECUTION:
            paths |= {path.format(processID=id_): {method: _execution(one)} for id_, one in serving.offerings.items()}
        else:
            paths.setdefault(path, {})[method] = operations[path, method]
    components: dict[str, Any] = {
        "schemas": SCHEMAS | DATA_SET_SCHEMAS,
        "headers": HEADERS,
        "parameters": PARAMETERS,
        "responses": RESPONSES,
    }
    made: Part = {
        "openapi": "3.0.3",
        "info": {
            "title": serving.settings.title,
            "description": serving.settings.description,
            "version": serving.release,
        },
        "servers": [{"url": base}],
        "tags": [{"name": name} for name in ("Capabilities", "Processes", "Jobs", "Data sets", "Operation")],
        "paths": paths,
        "components": components,
    }
    if serving.tokens.enabled:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"token": []}, *([] if serving.settings.anonymous == "none" else [{}])]
        for path in OPEN_PATHS & paths.keys():
            paths[path]["get"] = paths[path]["get"] | {"security": []}
    return made


def routes(app: Flask) -> list[tuple[str, str]]:
    """Path and method of every route, as OpenAPI writes them."""
    return sorted(
        (_VARIABLE.sub(lambda match: f"{{{_NAMES[match[1]]}}}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or ())
        if method not in {"HEAD", "OPTIONS"}
    )


def _execution(offering: Offering) -> Part:
    process = offering.process
    return execution(f"execute_{process.id}", f"Run {process.title}", execute_schema(process))
