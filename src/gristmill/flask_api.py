"""The WSGI application, put together from ``api/``."""

import threading
from collections.abc import Callable
from typing import Any

from flask import Flask

from gristmill.api import (
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
    """Flask, without asking at every call of a view or hook whether it is a coroutine: none is."""

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
    return app


def serving_app(settings: Settings, draining: threading.Event) -> Flask:
    """Build the application of a serving process, and start what it does beside its requests."""
    services = build_services(settings, draining)
    Background(services).start()
    return create_app(services)
