"""What several commands need: options with checks, the settings, the server, and the engine behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from gristmill.errors import ConfigurationError

if TYPE_CHECKING:
    from gristmill.jobs import Jobs
    from gristmill.settings import Settings


def checked_text(context: typer.Context, parameter: typer.CallbackParam, value: Any) -> Any:
    """Refuse what is given and empty, since to most commands it would mean all, and what is not UTF-8."""
    source = context.get_parameter_source(str(parameter.name))
    if source is None or source.name == "DEFAULT":
        return value
    for text in value if isinstance(value, list) else [value]:
        if not text:
            or_leave_out = "" if parameter.required else " Leave it out if that is what is meant."
            raise typer.BadParameter(f"it is empty. Is a variable of the shell not set?{or_leave_out}")
        if not text.isprintable():
            raise typer.BadParameter(f"{text!r} has characters that are not text in UTF-8, or cannot be printed.")
    return value


def load_settings(**options: Any) -> Settings:
    """The settings, with options that were given in the place of some."""
    from gristmill import settings_table

    return settings_table.load(**{name: value for name, value in options.items() if value is not None})


def with_redis(settings: Settings, *, required: bool = True) -> Settings:
    """The same with the URL of a server: the one that is named, else that of a running ``gristmill up``.

    Raises ConfigurationError where there is none and one is required.
    """
    from gristmill.running import running_on
    from gristmill.store import check_credentials

    if settings.redis_url:
        if required:
            check_credentials(settings)
        return settings
    if found := running_on(settings.data_folder):
        return settings.model_copy(update={"redis_url": found.redis_url})
    if not required:
        return settings
    raise ConfigurationError(
        f"No server: REDIS_URL is not set, and no `gristmill up` runs on {settings.data_folder.absolute()}. "
        "Start one with `gristmill up`, or name a server, such as REDIS_URL=redis://localhost:6379/0."
    )


def jobs_engine() -> Jobs:
    """The jobs on the server of the settings."""
    from gristmill.jobs import Jobs
    from gristmill.store import connect

    settings = with_redis(load_settings())
    return Jobs(connect(settings), settings)
