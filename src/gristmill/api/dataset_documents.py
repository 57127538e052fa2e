"""Data sets as JSON documents, with nothing read from the request."""

from typing import Any
from urllib.parse import quote

from gristmill.api.status import rfc3339
from gristmill.datasets.columns import Column
from gristmill.datasets.dataset import DataSet, Edition
from gristmill.datasets.descriptions import Description

Document = dict[str, Any]


def data_set_url(base: str, name: str, *more: str) -> str:
    """The URL of a data set, or of what is below it."""
    return "/".join((base, "datasets", *(quote(part, safe="") for part in (name, *more))))


def data_set_document(data_set: DataSet, columns: tuple[Column, ...], base: str) -> Document:
    """A data set: what is said about it, its newest version with its columns, and the list of its versions."""
    here = data_set_url(base, data_set.name)
    newest = _edition(data_set.newest, data_set.name, base)
    return {
        **_summary(data_set),
        **{member: newest[member] for member in ("version", "rows", "storedBytes", "readBytes")},
        "columns": [_column(column, data_set.description) for column in columns],
        "versions": [_edition(edition, data_set.name, base) for edition in data_set.editions],
        "links": [
            _link(here, "self", "This data set"),
            _link(newest["links"][0]["href"], "latest-version", "Its newest version"),
            _link(f"{base}/datasets", "up", "All data sets"),
        ],
    }


def list_entry(data_set: DataSet, base: str) -> Document:
    """A data set as it stands in the list."""
    newest = data_set.newest
    return {
        **_summary(data_set),
        "version": newest.version,
        "rows": newest.rows,
        "storedBytes": newest.stored_bytes,
        "links": [_link(data_set_url(base, data_set.name), "self", "This data set")],
    }


def version_document(
    data_set: DataSet, edition: Edition, columns: tuple[Column, ...], reading: Document, base: str
) -> Document:
    """One version: its columns, and how it was read."""
    return {
        "name": data_set.name,
        **_edition(edition, data_set.name, base),
        "columns": [_column(column, data_set.description) for column in columns],
        "reading": reading,
        "links": [
            _link(data_set_url(base, data_set.name, "versions", edition.version), "self", "This version"),
            _link(data_set_url(base, data_set.name), "collection", "The data set"),
        ],
    }


def _summary(data_set: DataSet) -> Document:
    said = data_set.description
    texts = {"title": said.title, "description": said.description, "licence": said.licence, "source": said.source}
    return {
        "name": data_set.name,
        **{member: text for member, text in texts.items() if text},
        "owner": data_set.owner,
        "created": rfc3339(data_set.created),
        "updated": rfc3339(data_set.revision),
    }


def _edition(edition: Edition, name: str, base: str) -> Document:
    return {
        "version": edition.version,
        "since": rfc3339(edition.since),
        "rows": edition.rows,
        "storedBytes": edition.stored_bytes,
        "readBytes": edition.read_bytes,
        "links": [_link(data_set_url(base, name, "versions", edition.version), "self", "This version")],
    }


def _column(column: Column, said: Description) -> Document:
    made: Document = {
        "name": column.name,
        "type": column.type,
        "kind": column.kind,
        "nulls": column.nulls,
        "minimum": column.minimum,
        "maximum": column.maximum,
    }
    if texts := said.columns.get(column.name):
        given = {"description": texts.description, "unit": texts.unit}
        made |= {member: text for member, text in given.items() if text}
    return made


def _link(href: str, rel: str, title: str) -> dict[str, str]:
    return {"href": href, "rel": rel, "type": "application/json", "title": title}
