"""The landing page and the list of conformance classes."""

from flask import Blueprint, Response

from gristmill.api import links, negotiation
from gristmill.api.services import services

OGC_REL = "http://www.opengis.net/def/rel/ogc/1.0/"
OPENAPI_MEDIA_TYPE = "application/vnd.oai.openapi+json;version=3.0"

_CLASSES = "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/"
CONFORMANCE = tuple(
    _CLASSES + name for name in ("core", "ogc-process-description", "json", "oas30", "job-list", "callback", "dismiss")
)

blueprint = Blueprint("landing", __name__)


@blueprint.get("/")
def landing() -> Response:
    """The landing page: what there is, by links."""
    negotiation.wanted_format()
    base = links.base_url()
    page = services().rendered.get(("landing", base), _landing)
    return negotiation.unchanging(page.body, page.etag)


@blueprint.get("/conformance")
def conformance() -> Response:
    """The conformance classes of OGC API - Processes that this API keeps."""
    negotiation.wanted_format()
    page = services().rendered.get(("conformance",), lambda: {"conformsTo": CONFORMANCE})
    return negotiation.unchanging(page.body, page.etag)


def _landing() -> dict[str, object]:
    settings = services().settings
    return {
        "title": settings.title,
        "description": settings.description,
        "links": [
            links.link(links.base_url() + "/", "self", title="This document"),
            links.link(links.url("api"), "service-desc", media_type=OPENAPI_MEDIA_TYPE, title="The API's definition"),
            links.link(links.url("conformance"), OGC_REL + "conformance", title="Conformance classes"),
            links.link(links.url("conformance"), "conformance", title="Conformance classes"),
            links.link(links.url("processes"), OGC_REL + "processes", title="Processes"),
            links.link(links.url("jobs"), OGC_REL + "job-list", title="Jobs"),
            links.link(links.url("datasets"), "data", title="Data sets"),
        ],
    }
