"""The rows of a data set, and metrics of groups of them."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast, get_args
from urllib.parse import urlencode

from flask import Blueprint, Response, request, send_file
from werkzeug.datastructures import MultiDict

from gristmill.api import access, links, negotiation
from gristmill.api.dataset_documents import data_set_url
from gristmill.api.datasets import found_data_set
from gristmill.api.services import services
from gristmill.datasets import rows
from gristmill.datasets.dataset import DataSet, Version
from gristmill.datasets.queries import Statement, Table
from gristmill.datasets.rows import FileFormat, Rows, Shape
from gristmill.errors import Fault, InvalidRequestError

DEFAULT_ROWS = 100
MOST_ROWS = 10_000
# Counts up when the same rows are written in another way.
_SERIALISER = 1
_WHOLE: Mapping[str, FileFormat] = {"csv": "csv", "parquet": "parquet"}
MEDIA_TYPES = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
}
_SELECTING = ("filter", "sortby", "properties")
_OF_ROWS = (*_SELECTING, "limit", "cursor", "shape", "f")
_OF_GROUPS = ("groupby", "metrics", "filter", "limit", "f")

blueprint = Blueprint("rows", __name__)


@blueprint.get("/datasets/<dataset_name>/rows")
def newest_rows(dataset_name: str) -> Response:
    """Rows of the newest version; pages that follow are of the same version."""
    return _rows(dataset_name, "")


@blueprint.get("/datasets/<dataset_name>/versions/<version_id>/rows")
def version_rows(dataset_name: str, version_id: str) -> Response:
    """Rows of a version."""
    return _rows(dataset_name, version_id)


@blueprint.get("/datasets/<dataset_name>/aggregate")
def newest_groups(dataset_name: str) -> Response:
    """Metrics of groups of the newest version's rows."""
    return _groups(dataset_name, "")


@blueprint.get("/datasets/<dataset_name>/versions/<version_id>/aggregate")
def version_groups(dataset_name: str, version_id: str) -> Response:
    """Metrics of groups of a version's rows."""
    return _groups(dataset_name, version_id)


def _rows(name: str, version_id: str) -> Response:
    access.require("read")
    query = _known(request.args, _OF_ROWS)
    wanted = _format(query, tuple(MEDIA_TYPES))
    data_set, version = _version(name, version_id)
    if wanted in _WHOLE:
        if paging := sorted(query.keys() & {"limit", "cursor", "shape"}):
            raise _wrong(paging[0], f"does not go with f={wanted}, which gives all rows as one file")
        return _whole(data_set, version, version_id, query, wanted)
    shape = query.get("shape", "objects")
    if shape not in get_args(Shape):
        raise _wrong("shape", "must be objects or arrays")
    limit = _limit(query)
    selecting = _selecting(query)

    def page(table: Table) -> Statement:
        return table.page(**selecting, limit=limit, cursor=query.get("cursor", ""))

    def answer(found: Rows) -> Response:
        following = ""
        if found.cursor is not None:
            here = data_set_url(links.base_url(), name, "versions", version.edition.version, "rows")
            kept = [(one, query[one]) for one in _OF_ROWS if one in query and one != "cursor"]
            following = f"{here}?{urlencode([*kept, ('cursor', found.cursor)])}"
        if wanted == "ndjson":
            body = found.ndjson().encode()
        else:
            body = _document(data_set, version, found, following, "" if selecting["filter_text"] else "all")
        headers = {"Link": links.link_header(following, "next", media_type=MEDIA_TYPES[wanted])} if following else {}
        return negotiation.Prepared(body, 200, MEDIA_TYPES[wanted], headers)

    return _answered(version, version_id, page, cast("Shape", shape), answer)


def _groups(name: str, version_id: str) -> Response:
    access.require("read")
    query = _known(request.args, _OF_GROUPS)
    _format(query, ("json",))
    data_set, version = _version(name, version_id)
    limit = _limit(query)

    def groups(table: Table) -> Statement:
        return table.aggregate(
            groupby=query.get("groupby", ""),
            metrics=query.get("metrics", "count()"),
            filter_text=query.get("filter", ""),
            limit=limit,
        )

    def answer(found: Rows) -> Response:
        return negotiation.Prepared(_document(data_set, version, found, "", ""), 200, MEDIA_TYPES["json"], {})

    return _answered(version, version_id, groups, "objects", answer)


def _answered(
    version: Version,
    version_id: str,
    statement_of: Callable[[Table], Statement],
    shape: Shape,
    answer: Callable[[Rows], Response],
) -> Response:
    etag = _etag(version)
    if request.if_none_match.contains_weak(etag):
        return _kept(Response(status=304), etag, version_id)
    seconds = services().settings.dataset_query_seconds
    with services().datasets.tables.use(version) as (connection, table):
        found = rows.read(connection, statement_of(table), seconds=seconds, shape=shape)
    return _kept(answer(found), etag, version_id)


def _whole(data_set: DataSet, version: Version, version_id: str, query: MultiDict[str, str], wanted: str) -> Response:
    """All rows as one file, with its length, and in parts where the client asks for some."""
    etag = _etag(version)
    if request.if_none_match.contains_weak(etag):
        return _kept(Response(status=304), etag, version_id)
    seconds = services().settings.dataset_reading_seconds
    with services().datasets.tables.use(version) as (connection, table), TemporaryDirectory() as folder:
        path = Path(folder, "rows")
        rows.write(connection, table.export(**_selecting(query)), path, _WHOLE[wanted], seconds=seconds)
        file = path.open("rb")  # the file goes with its last reader
        size = os.fstat(file.fileno()).st_size
    response = send_file(file, MEDIA_TYPES[wanted], download_name=f"{data_set.name}.{wanted}", etag=False)
    response.content_length = size
    _kept(response, etag, version_id)
    response.make_conditional(request, accept_ranges=True, complete_length=size)
    return response


def _document(data_set: DataSet, version: Version, found: Rows, following: str, matched: str) -> bytes:
    head: dict[str, Any] = {
        "name": data_set.name,
        "version": version.edition.version,
        "numberReturned": len(found.texts),
    }
    if matched:
        head["numberMatched"] = version.edition.rows
    here = data_set_url(links.base_url(), data_set.name, "versions", version.edition.version)
    made = [links.link(here, "collection", title="The version")]
    if following:
        made.append(links.link(following, "next", title="More rows"))
    start = negotiation.json_bytes(head)[:-1]
    return start + b',"rows":' + found.json().encode() + b',"links":' + negotiation.json_bytes(made) + b"}"


def _version(name: str, version_id: str) -> tuple[DataSet, Version]:
    data_set = found_data_set(name)
    return data_set, services().datasets.store.version(name, version_id or data_set.newest.version)


def _etag(version: Version) -> str:
    """Names what a query gives: of this version, these parameters, and this way of writing it."""
    told = json.dumps([_SERIALISER, version.edition.version, request.path, sorted(request.args.items(multi=True)),
                       links.base_url()])  # fmt: skip
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def _kept(response: Response, etag: str, version_id: str) -> Response:
    """What clients may keep: of a version for ever, of the newest until they ask again."""
    response.set_etag(etag)
    private = "private, " if services().tokens.enabled else ""
    response.headers["Cache-Control"] = f"{private}max-age=31536000, immutable" if version_id else f"{private}no-cache"
    return response


def _selecting(query: MultiDict[str, str]) -> dict[str, str]:
    return {
        "filter_text": query.get("filter", ""),
        "sortby": query.get("sortby", ""),
        "properties": query.get("properties", ""),
    }


def _known(query: MultiDict[str, str], known: tuple[str, ...]) -> MultiDict[str, str]:
    if unknown := sorted(query.keys() - set(known)):
        raise InvalidRequestError(
            f"There is no parameter {unknown[0][:50]!r} here; there are {', '.join(known)}.",
            faults=[Fault(name, f"is none of {', '.join(known)}") for name in unknown],
        )
    return query


def _format(query: MultiDict[str, str], known: tuple[str, ...]) -> str:
    wanted = query.get("f", "json")
    if wanted not in known:
        raise _wrong("f", f"must be one of {', '.join(known)}")
    return wanted


def _limit(query: MultiDict[str, str]) -> int:
    text = query.get("limit", str(DEFAULT_ROWS))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST_ROWS):
        raise _wrong("limit", f"must be a whole number from 1 to {MOST_ROWS}")
    return int(text)


def _wrong(parameter: str, detail: str) -> InvalidRequestError:
    return InvalidRequestError(f"The parameter {parameter} {detail}.", faults=[Fault(parameter, detail)])
