"""The rows of a data set, and metrics of groups of them."""

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast, get_args
from urllib.parse import urlencode

from flask import Blueprint, Response, request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestedRangeNotSatisfiable
from werkzeug.http import parse_range_header
from werkzeug.wsgi import FileWrapper

from gristmill.api import access, conditions, confirmed, links, negotiation
from gristmill.api.dataset_documents import data_set_url
from gristmill.api.datasets import existing_name, version_hint
from gristmill.api.parameters import read_limit, refuse_repeated, refuse_unknown, wrong_parameter
from gristmill.api.representations import Representation
from gristmill.api.services import services
from gristmill.datasets import rows
from gristmill.datasets.cql import refuse_empty
from gristmill.datasets.dataset import Version
from gristmill.datasets.exports import Export, open_export
from gristmill.datasets.json_rows import Form, Rows, Shape
from gristmill.datasets.pages import read_page
from gristmill.datasets.row_formats import FILE_FORMS

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

DEFAULT_ROWS = 100
MOST_ROWS = 10_000
_METRICS = "count()"
_PIECE_BYTES = 2**15  # read at a time: the bridge sends as many together as it finds right
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
    query = _known(_OF_ROWS, name)
    asked = Representation.wanted(name, version_id, "rows", query, {"limit": str(DEFAULT_ROWS), "shape": "objects"})
    return _answered(
        asked, lambda version, sent: (_whole if sent.format in FILE_FORMS else _page)(version, sent, query)
    )


def _groups(name: str, version_id: str) -> Response:
    access.require("read")
    query = _known(_OF_GROUPS, name)
    asked = Representation.wanted(
        name, version_id, "aggregate", query, {"limit": str(DEFAULT_ROWS), "metrics": _METRICS}
    )
    return _answered(asked, lambda version, sent: _metrics(version, sent, query))


def _answered(asked: Representation, answer: Callable[[Version, Representation], Response]) -> Response:
    """304 where the client has it, else what ``answer`` makes. PreconditionFailedError where it wants another one."""
    # Of a version that the URL names, what has been sent once stays right, even if there is no such data set any more.
    if asked.is_known_to_be_held:
        response = asked.not_modified()
    else:
        version = services().datasets.versions.get(existing_name(asked.name), asked.version)
        sent = asked.of(version.edition.version)
        conditions.require_match(sent.etag, is_weak=sent.is_weak)
        response = sent.not_modified() if sent.is_held else answer(version, sent)
    if asked.is_fixed:
        confirmed.remember(response)
    return response


def _page(version: Version, sent: Representation, query: MultiDict[str, str]) -> Response:
    shape = query.get("shape", "objects")
    if shape not in get_args(Shape):
        raise wrong_parameter("shape", "must be objects or arrays")
    limit, selecting = read_limit(query, default=DEFAULT_ROWS, most=MOST_ROWS), _selecting(query)
    tables = services().datasets.tables
    with tables.use(version) as (connection, table):
        page = table.page(**selecting, limit=limit, cursor=query.get("cursor", ""))
        found = read_page(
            connection,
            page,
            seconds=_seconds(),
            form=Form(cast("Shape", shape), is_ndjson=sent.format == "ndjson"),
            lines=tables.lines(version),
        )
    following = _following(sent, found.cursor) if found.cursor is not None else ""
    headers = {"Link": links.link_header(following, "next", media_type=sent.media_type)} if following else {}
    if sent.format == "ndjson":
        return sent.sent(found.text, headers)
    counts = {} if selecting["filter_text"] else {"numberMatched": version.edition.rows}
    return sent.sent(_document(sent, found, counts, following), headers)


def _following(sent: Representation, cursor: str) -> str:
    """The URL of the next page, which is of the same version, in the same format."""
    here = data_set_url(links.base_url(), sent.name, "versions", sent.version, "rows")
    kept = [(name, text) for name, text in sent.query if name != "cursor"]  # what makes no difference is not there
    return f"{here}?{urlencode([*kept, ('f', sent.format), ('cursor', cursor)])}"


def _metrics(version: Version, sent: Representation, query: MultiDict[str, str]) -> Response:
    limit = read_limit(query, default=DEFAULT_ROWS, most=MOST_ROWS)
    with services().datasets.tables.use(version) as (connection, table):
        statement = table.aggregate(
            groupby=query.get("groupby", ""),
            metrics=query.get("metrics", _METRICS),
            filter_text=query.get("filter", ""),
            limit=limit,
        )
        found = rows.read(connection, statement, seconds=_seconds())
    return sent.sent(_document(sent, found, {"cut": found.more}), {})


def _whole(version: Version, sent: Representation, query: MultiDict[str, str]) -> Response:
    """All rows as one file, with its length, and in parts where the client asks for some."""
    if of_pages := sorted(query.keys() & {"limit", "cursor", "shape"}):
        raise wrong_parameter(of_pages[0], f"does not go with f={sent.format}, which gives all rows as one file")
    datasets, seconds = services().datasets, services().settings.dataset_reading_seconds
    with datasets.tables.use(version) as (connection, table):
        statement = table.export(**_selecting(query))
        export = Export(sent.version, statement, sent.format, sent.coding)
        file = open_export(datasets.cache, export, connection, seconds=seconds)
    size = os.fstat(file.fileno()).st_size
    response = Response(FileWrapper(file, _PIECE_BYTES), mimetype=sent.media_type, direct_passthrough=True)
    response.content_length = size
    response.headers["Content-Disposition"] = f"inline; filename={sent.name}.{sent.format}"
    if sent.coding:
        response.headers["Content-Encoding"] = sent.coding
    sent.kept(response)
    try:
        response.make_conditional(_asking_for_one_part(size), accept_ranges=True, complete_length=size)
    except RequestedRangeNotSatisfiable:
        file.close()
        raise
    return response


def _asking_for_one_part(size: int) -> "WSGIEnvironment":
    """The request with its Range only where that is one of bytes: any other is ignored (RFC 9110, 14.2).

    The last bytes of a file that has fewer are all of it (14.1.2): so readers of Parquet ask for its end. If-Match has
    been dealt with: Werkzeug would send the file with 412, and does not know ``*``.
    """
    asked = parse_range_header(request.headers.get("Range"))
    environ = dict(request.environ)
    environ.pop("HTTP_IF_MATCH", None)
    is_weak = request.headers.get("If-Range", "").startswith("W/")  # never right: bytes are to be the same (13.1.5)
    if asked is None or asked.units != "bytes" or len(asked.ranges) != 1 or is_weak:
        environ.pop("HTTP_RANGE", None)
    elif asked.ranges[0][0] < -size:
        environ["HTTP_RANGE"] = "bytes=0-"
    return environ


def _document(sent: Representation, found: Rows, more: Mapping[str, int], following: str = "") -> bytes:
    """Rows with what is said of them; a change of it raises ``mapping.WRITTEN_FORM``."""
    head = {"name": sent.name, "version": sent.version, "numberReturned": found.count, **more}
    here = data_set_url(links.base_url(), sent.name, "versions", sent.version)
    made = [links.link(here, "collection", title="The version")]
    if following:
        made.append(links.link(following, "next", title="More rows"))
    start = negotiation.json_bytes(head)[:-1]
    return start + b',"rows":' + found.text + b',"links":' + negotiation.json_bytes(made) + b"}"


def _seconds() -> float:
    return services().settings.dataset_query_seconds


def _selecting(query: MultiDict[str, str]) -> dict[str, str]:
    return {
        "filter_text": query.get("filter", ""),
        "sortby": query.get("sortby", ""),
        "properties": query.get("properties", ""),
    }


def _known(known: tuple[str, ...], name: str) -> MultiDict[str, str]:
    query = request.args
    refuse_unknown(query, known, version_hint(name))
    refuse_repeated(query, known)
    if "filter" in query:
        refuse_empty(query["filter"])
    return query
