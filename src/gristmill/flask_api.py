"""The WSGI application, put together from ``api/``."""

import threading
from collections.abc import Callable
from typing import Any

from flask import Flask

from gristmill.api import (
    confirmed,
    datasets,
    envelope,
    events,
    execution,
    health,
    jobs,
    landing,
    metrics,
    openapi,
    problems,
    processes,
    prov,
    results,
    rows,
    webhooks,
)
from gristmill.api.confirmed import Confirmed
from gristmill.api.services import EXTENSION, Services, build_services
from gristmill.background import Background
from gristmill.settings import Settings

_RESOURCES = (
    landing,
    openapi,
    processes,
    execution,
    jobs,
    results,
    events,
    prov,
    datasets,
    rows,
    webhooks,
    health,
    metrics,
)


# Whether the view of a request reads its body while it comes in, by its WSGI environment.
is_streamed = datasets.is_upload


class Application(Flask):
    """Flask, without asking at every call of a view or hook whether it is a coroutine: none is.

    confirmed: answers for it where what the client has is known to be right.
    """

    confirmed: Confirmed | None = None

    def wsgi_app(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer a request."""
        headers = self.confirmed.headers(environ) if self.confirmed else None
        if headers is None:
            return super().wsgi_app(environ, start_response)
        start_response("304 NOT MODIFIED", headers)
        return []

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function itself."""
        return func


def create_app(services: Services) -> Flask:
    """Build the application over its services. It opens no connection and starts no thread."""
    app = Application("gristmill", static_folder=None)
    app.url_map.merge_slashes = False  # an empty id is nothing, and no reason to redirect to a page of HTML
    app.config["MAX_CONTENT_LENGTH"] = services.settings.body_bytes
    app.extensions[EXTENSION] = services
    problems.install(app)
    envelope.install(app, services)
    for resource in _RESOURCES:
        app.register_blueprint(resource.blueprint)
    app.confirmed = confirmed.install(app, services)
    return app


def serving_app(settings: Settings, draining: threading.Event) -> Flask:
    """Build the application of a serving process, and start what it does beside its requests."""
    services = build_services(settings, draining)
    Background(services).start()
    return create_app(services)
