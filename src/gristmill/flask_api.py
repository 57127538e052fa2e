"""The WSGI application, put together from ``api/``."""

import contextlib
import importlib
import threading

from flask import Flask

from gristmill.api import envelope, problems
from gristmill.api.services import EXTENSION, Services, build_services
from gristmill.background import Background
from gristmill.settings import Settings

_MODULES = (
    "landing",
    "processes",
    "execution",
    "openapi",
    "jobs",
    "results",
    "events",
    "prov",
    "webhooks",
    "health",
    "metrics",
)


def create_app(services: Services) -> Flask:
    """Build the application over its services. It opens no connection and starts no thread."""
    app = Flask("gristmill", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = services.settings.body_bytes
    app.extensions[EXTENSION] = services
    problems.install(app)
    envelope.install(app, services)
    for name in _MODULES:
        with contextlib.suppress(ImportError):
            app.register_blueprint(importlib.import_module(f"gristmill.api.{name}").blueprint)
    return app


def serving_app(settings: Settings, draining: threading.Event) -> Flask:
    """Build the application of a serving process, and start what it does beside its requests."""
    services = build_services(settings, draining)
    Background(services).start()
    return create_app(services)
