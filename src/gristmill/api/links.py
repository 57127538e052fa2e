"""Every URL that the API hands out.

``settings.public_url`` begins it, else the address that the request was sent to.
"""

from urllib.parse import quote

from flask import request

BASE_URL = "gristmill.base_url"


def base_url() -> str:
    """Scheme, host and path prefix of this API, without a slash at the end."""
    base: str = request.environ[BASE_URL]
    return base


def url(*segments: str) -> str:
    """The URL of a resource by the segments of its path, each quoted: ``url("jobs", job.id)``."""
    return "/".join((request.environ[BASE_URL], *map(quoted, segments)))


def quoted(value: str) -> str:
    """A value as it stands in a URL's path segment or query."""
    return value if value.isascii() and value.isalnum() else quote(value, safe="")


def link(href: str, rel: str, *, media_type: str = "application/json", title: str = "") -> dict[str, str]:
    """A link object as the standard's ``link.yaml`` has it."""
    made = {"href": href, "rel": rel, "type": media_type}
    if title:
        made["title"] = title
    return made


def link_header(href: str, rel: str, *, media_type: str = "application/json") -> str:
    """The same as a value of the ``Link`` header (RFC 8288); a plain word stands bare, as in the standard."""
    quoted = rel if rel.isalpha() else f'"{rel}"'
    return f'<{href}>; rel={quoted}; type="{media_type}"'
