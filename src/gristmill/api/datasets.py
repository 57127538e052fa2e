"""Data sets: upload, list, describe, delete."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from gristmill.api import access, bodies, links, negotiation
from gristmill.api.conditions import tags_of
from gristmill.api.dataset_documents import Document, data_set_document, data_set_url, list_entry, version_document
from gristmill.api.job_query import read_limit
from gristmill.api.parameters import refuse_repeated, refuse_unknown
from gristmill.api.reading_query import ReadingQuery, read_reading_options, told_by_parameter
from gristmill.api.services import services
from gristmill.datasets.dataset import Conditions, DataSet, check_name, no_such_data_set
from gristmill.datasets.intake import facts_of
from gristmill.errors import Fault, ForbiddenError, InvalidRequestError, NoSuchDataSetError

_OF_LIST = ("prefix", "cursor", "limit", "f")
_PIECE_BYTES = 256 * 1024
# What the server lets pass; an upload has limits of its own.
_ANY_BYTES = 2**62

blueprint = Blueprint("datasets", __name__)


def is_upload(environ: Mapping[str, Any]) -> bool:
    """Whether the view of a request reads its body while it comes in."""
    return environ["REQUEST_METHOD"] == "PUT" and str(environ["PATH_INFO"]).startswith("/datasets/")


@blueprint.get("/datasets")
def data_set_list() -> Response:
    """Data sets in the order of their names."""
    access.require("read")
    negotiation.wanted_format()
    query = request.args
    refuse_unknown(query, _OF_LIST)
    refuse_repeated(query, _OF_LIST)
    prefix, cursor, limit = query.get("prefix", ""), query.get("cursor", ""), read_limit(query)
    page = services().datasets.store.list(prefix=prefix, limit=limit, cursor=cursor)
    here = links.url("datasets")
    made = [links.link(here, "self", title="This page")]
    headers = {"Cache-Control": "no-cache"}
    if page.cursor:
        following = f"{here}?{urlencode({'prefix': prefix, 'limit': limit, 'cursor': page.cursor})}"
        made.append(links.link(following, "next", title="More data sets"))
        headers["Link"] = links.link_header(following, "next")
    found = [list_entry(one, links.base_url()) for one in page.data_sets]
    return negotiation.json_response({"datasets": found, "links": made}, headers=headers)


@blueprint.put("/datasets/<dataset_name>")
def upload(dataset_name: str) -> Response:
    """Make the body the newest version: 201, or 200 where the data set had it already."""
    caller = access.require("run")
    check_name(dataset_name)
    _require_own(dataset_name)
    _refuse_part()
    asked = ReadingQuery.of(request.args, request.mimetype, request.mimetype_params)
    request.max_content_length = _ANY_BYTES
    serving = services()
    with told_by_parameter():
        stored = serving.datasets.intake.put(
            dataset_name,
            _pieces(),
            read_reading_options(asked),
            owner=caller.owner,
            coding=request.headers.get("Content-Encoding", ""),
            media_type=request.mimetype,
            length=request.content_length,
            conditions=_conditions(),
        )
    serving.datasets.versions.forget(dataset_name)
    told = data_set_document(stored.data_set, facts_of(stored.facts).columns, links.base_url())
    headers = _headers(stored.data_set) | {"Location": data_set_url(links.base_url(), dataset_name)}
    return negotiation.json_response(told, 201 if stored.how == "new" else 200, headers)


@blueprint.get("/datasets/<dataset_name>")
def data_set(dataset_name: str) -> Response:
    """A data set: what is said about it, its columns, its versions."""
    access.require("read")
    negotiation.only_format(version_hint(dataset_name))
    found = found_data_set(dataset_name)
    return negotiation.unchanging(negotiation.json_bytes(_told(found)), _tag(found))


@blueprint.get("/datasets/<dataset_name>/versions/<version_id>")
def version(dataset_name: str, version_id: str) -> Response:
    """One version of a data set."""
    access.require("read")
    negotiation.only_format(version_hint(dataset_name))
    found = found_data_set(dataset_name)
    one = services().datasets.store.version(dataset_name, version_id)
    facts = facts_of(one.facts)
    told = version_document(found, one.edition, facts.columns, json.loads(one.reading), links.base_url())
    return negotiation.unchanging(negotiation.json_bytes(told), f"{version_id}-{_tag(found)}")


@blueprint.patch("/datasets/<dataset_name>")
def describe(dataset_name: str) -> Response:
    """Change what is said about a data set, by a merge patch (RFC 7396)."""
    access.require("run")
    negotiation.only_format(version_hint(dataset_name))
    check_name(dataset_name)
    _require_own(dataset_name)
    store = services().datasets.store
    columns = [column.name for column in facts_of(store.version(dataset_name).facts).columns]
    changed = store.describe(dataset_name, bodies.read_json(services().settings), columns, _conditions())
    return negotiation.json_response(_told(changed), headers=_headers(changed))


@blueprint.delete("/datasets/<dataset_name>")
def delete(dataset_name: str) -> Response:
    """Delete a data set with all its versions."""
    access.require("run")
    negotiation.only_format(version_hint(dataset_name))
    found = found_data_set(dataset_name)
    _require_own(dataset_name)
    datasets = services().datasets
    datasets.store.delete(dataset_name, _conditions())
    datasets.versions.forget(dataset_name)
    told = {"name": found.name, "message": "The data set and all its versions have been deleted."}
    return negotiation.json_response(told | {"links": [links.link(links.url("datasets"), "up", title="All data sets")]})


def found_data_set(name: str) -> DataSet:
    """The data set of this name. NoSuchDataSetError."""
    return services().datasets.store.get(existing_name(name))


def version_hint(name: str) -> dict[str, str]:
    """What whoever sends ``version`` as a parameter is told."""
    return {"version": f"a version is at {data_set_url(links.base_url(), name)}/versions/VERSION"}


def existing_name(name: str) -> str:
    """A name in a URL that a data set can have. NoSuchDataSetError for any other."""
    try:
        return check_name(name)
    except InvalidRequestError as error:
        raise no_such_data_set(name) from error


def _require_own(name: str) -> None:
    """Let everybody make a data set, and its owner and the role manage change one that is there. ForbiddenError."""
    who = access.caller()
    if who.role == "manage":
        return
    try:
        owner = services().datasets.store.get(name).owner
    except NoSuchDataSetError:
        return
    if owner != who.owner:
        raise ForbiddenError(
            f"Data set {name} belongs to another owner; only the role manage may change or delete it. Choose another "
            "name for yours."
        )


def _refuse_part() -> None:
    """What goes on with an upload that broke off must not become the whole (RFC 9110, 14.5). InvalidRequestError."""
    if "Content-Range" in request.headers:
        raise InvalidRequestError(
            "Content-Range says that this is a part of a file, and an upload is all of it: send the whole file.",
            faults=[Fault("Content-Range", "must not be sent")],
        )


def _told(found: DataSet) -> Document:
    newest = services().datasets.store.version(found.name, found.newest.version)
    return data_set_document(found, facts_of(newest.facts).columns, links.base_url())


def _tag(found: DataSet) -> str:
    return str(found.revision)


def _headers(found: DataSet) -> dict[str, str]:
    return {"ETag": f'"{_tag(found)}"'}


def _conditions() -> Conditions:
    return Conditions(tags_of("If-Match"), tags_of("If-None-Match"))


def _pieces() -> Iterator[bytes]:
    while piece := request.stream.read(_PIECE_BYTES):
        yield piece
