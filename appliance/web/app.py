"""The app factory: settings in, a Flask app out."""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from flask import Flask, request
from werkzeug.middleware.proxy_fix import ProxyFix

from appliance.settings import Settings
from appliance.web import access, api, errors, health, security
from appliance.web.guard import guard
from appliance.web.log import outside, records, taking, together
from appliance.web.navigation import log_tabs, navigation
from appliance.web.notes import note_of_request
from appliance.web.pages import (
    account,
    home,
    keys,
    log,
    models,
    people,
    receipts,
    signin,
    system,
    task,
)
from appliance.web.services import install, open_services
from appliance.web.session import csrf_token, load_session
from appliance.web.words import bytes_in_words, clock, in_order, instant, moment, role_title

_PAGES: Final = (
    signin,
    home,
    task,
    receipts,
    account,
    keys,
    people,
    models,
    log,
    records,
    together,
    taking,
    outside,
    system,
)


def create_app(settings: Settings) -> Flask:
    """Make the web app with its own database connection and clients.

    Args:
        settings: The appliance's settings.

    Raises:
        SchemaTooNewError: The app database was written by a newer release.
        TaskFileError: A task's file is wrong; the message names file and field.
    """
    app = Flask(__name__)
    # TLS ends in a proxy that we install in front; only then may its headers be believed.
    if settings.https:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1)  # type: ignore[method-assign] # Flask's own way
    security.secure(app, settings)
    install(app, open_services(settings))
    for page in _PAGES:
        app.register_blueprint(page.blueprint)
    app.register_blueprint(api.blueprint)
    app.register_blueprint(health.blueprint)
    app.before_request(guard)
    errors.register(app)
    _prepare_templates(app, settings)
    access.check_all(app)
    return app


def _prepare_templates(app: Flask, settings: Settings) -> None:
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(
        moment=moment,
        instant=instant,
        bytes=bytes_in_words,
        clock=clock,
        role_title=role_title,
        in_order=in_order,
    )
    app.jinja_env.globals.update(
        appliance=settings.appliance_id,
        version=_version(),
        navigation=navigation,
        log_tabs=log_tabs,
        csrf_token=csrf_token,
        note_of_request=note_of_request,
    )
    app.context_processor(_signed_in)
    static = _Static(Path(app.static_folder or ""))
    app.url_defaults(static.add_version)


def _signed_in() -> dict[str, Any]:
    # An error page may be shown before the session could be looked up; it must not fail itself.
    session = load_session() if request.endpoint else None
    return {"account": None if session is None else session.account}


def _version() -> str:
    try:
        return version("cloister")
    except PackageNotFoundError:
        return "from source"


class _Static:
    """Puts a digest into the addresses of static files, so that they may be cached for ever."""

    def __init__(self, folder: Path) -> None:
        self._digests = {
            file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:12]
            for file in folder.iterdir()
            if file.is_file()
        }

    def add_version(self, endpoint: str, values: dict[str, Any]) -> None:
        """Add `v` to the address of a file that there is."""
        digest = self._digests.get(values.get("filename", ""))
        if endpoint == "static" and digest is not None:
            values.setdefault("v", digest)
