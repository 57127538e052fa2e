"""The settings as a table, for the command line, the documentation and error messages; and their loading."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from gristmill.errors import ConfigurationError
from gristmill.settings import Settings

# Variables of those commands that are clients of an API, and no settings.
CLIENT_VARIABLES = ("GRISTMILL_TOKEN",)

_PREFIX = str(Settings.model_config.get("env_prefix", ""))
_PASSWORD = re.compile(r"([?&](?:ssl_)?password=)[^&#]*")
_UNITS = {"_seconds": "seconds", "_bytes": "bytes", "_bytes_per_owner": "bytes", "_mb": "MB", "_percent": "%"}


@dataclass(frozen=True, slots=True)
class Row:
    """One setting. ``default`` is as it would be written in the environment; ``choices`` is empty for free values."""

    field: str
    variable: str
    default: str
    unit: str
    help: str
    choices: tuple[str, ...] = ()


def rows() -> tuple[Row, ...]:
    """All settings, in the order of the class."""
    return tuple(
        Row(
            field=name,
            variable=variable(name, field),
            default=as_text(field.get_default(call_default_factory=True)),
            unit=next((unit for suffix, unit in _UNITS.items() if name.endswith(suffix)), ""),
            help=field.description or "",
            choices=tuple(map(str, get_args(field.annotation))) if get_origin(field.annotation) is Literal else (),
        )
        for name, field in Settings.model_fields.items()
    )


def variable(name: str, field: FieldInfo | None = None) -> str:
    """The environment variable of a setting."""
    field = field or Settings.model_fields[name]
    alias = field.validation_alias
    return alias if isinstance(alias, str) else _PREFIX + name.upper()


def as_text(value: object) -> str:
    """A setting's value as the environment would have it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, str) or value is None:
        return value or ""
    if isinstance(value, Iterable):
        return ",".join(map(str, value))
    return str(value)


def without_password(value: str) -> str:
    """A URL with its passwords replaced by ``***``; any other text as it is."""
    scheme, separator, rest = value.partition("://")
    if not separator:
        return value
    account, at, address = rest.rpartition("@")
    if at and ":" in account:
        rest = f"{account.partition(':')[0]}:***@{address}"
    return scheme + separator + _PASSWORD.sub(r"\1***", rest)


def load(**overrides: Any) -> Settings:
    """Settings from the environment, with overrides from the command line; ConfigurationError names each wrong one."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        wrong = [_sentence(fault) for fault in error.errors(include_url=False)]
        raise ConfigurationError("\n".join(wrong)) from error


def unknown_variables(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Variables that look like settings and are none, such as a misspelt one."""
    known = {row.variable for row in rows()} | set(CLIENT_VARIABLES)
    return tuple(sorted(name for name in environ if name.startswith(_PREFIX) and name not in known))


def _sentence(fault: Mapping[str, Any]) -> str:
    place = str(fault["loc"][0]) if fault["loc"] else ""
    name = variable(place) if place in Settings.model_fields else place
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"{name}={fault.get('input')!r} is not usable: {message[:1].lower()}{message[1:]}." if name else message
