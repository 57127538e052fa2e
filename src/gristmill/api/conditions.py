"""What a request says that must be so first: the entity tags of If-Match and If-None-Match (RFC 9110, section 13)."""

from flask import request

from gristmill.errors import Fault, InvalidRequestError, PreconditionFailedError


def tags_of(header: str) -> tuple[str, ...] | None:
    """The entity tags of a header, without quotes; None when it is not there. InvalidRequestError.

    Weak ones in If-Match are left out: they match nothing (13.1.1).
    """
    text = request.headers.get(header)
    if text is None:
        return None
    tags = request.if_match if header == "If-Match" else request.if_none_match
    if tags.star_tag:
        return ("*",)
    if not tags.as_set(include_weak=True):
        wanted = 'must be * or entity tags in double quotes, such as "123"'
        raise InvalidRequestError(f"{header} {wanted}; got {text[:100]}.", faults=[Fault(header, wanted)])
    return tuple(tags.as_set(include_weak=header != "If-Match"))


def require_match(etag: str, *, is_weak: bool = False) -> None:
    """Let a request pass that takes what there is. ``etag``: of what is asked for, without quotes.

    Raises PreconditionFailedError, and InvalidRequestError for an If-Match that has no tags.
    """
    if "HTTP_IF_MATCH" not in request.environ:
        return
    tags = tags_of("If-Match") or ()
    if is_weak and "*" not in tags:
        raise PreconditionFailedError(
            "What is asked for here has a weak ETag, which If-Match never matches; ask with If-None-Match."
        )
    if not {"*", etag} & set(tags):
        raise PreconditionFailedError(
            f'What is asked for here is now "{etag}", and If-Match names something else. Get it anew, without If-Match.'
        )
