"""What every answer carries and every request must name: security headers and known host names."""

from __future__ import annotations

import re
from functools import partial
from typing import Final

from flask import Flask, Response, request
from werkzeug.exceptions import SecurityError

from appliance.settings import Settings

MAX_BODY_BYTES: Final = 2 * 1024 * 1024
"""Largest request body; a page's form is far smaller, an API request may carry a document."""

# Chromium: a form that posts to us is 'self'; nothing else may be loaded, framed or sent to.
CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)

_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": (
        "camera=(), microphone=(), geolocation=(), payment=(), usb=(), serial=(), hid=(), "
        "display-capture=(), clipboard-read=(), clipboard-write=(self)"
    ),
}

_HOST: Final = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^:]*)(:[0-9]{1,5})?")
_LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
_WILDCARDS: Final = frozenset({"0.0.0.0", "::", "[::]", ""})  # noqa: S104 - compared with, never bound


def trusted_hosts(settings: Settings) -> list[str]:
    """Names that a request's Host header may have, ports aside.

    A page of another site can make a browser resolve that site's name to our address (DNS
    rebinding); its requests still carry that site's name, so they are refused.
    """
    own = () if settings.host in _WILDCARDS else (_bracketed(settings.host),)
    names = (*_LOOPBACK, *own, *settings.web_names)
    return list(dict.fromkeys(name.lower() for name in names))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def secure(app: Flask, settings: Settings) -> None:
    """Add the headers to every answer and refuse requests for other hosts or of excessive size."""
    known = frozenset(trusted_hosts(settings))
    app.before_request(partial(refuse_other_hosts, known))
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.config["MAX_FORM_MEMORY_SIZE"] = MAX_BODY_BYTES
    app.config["HTTPS"] = settings.https
    if settings.https:
        app.after_request(add_transport_security)
    app.after_request(add_headers)


def refuse_other_hosts(known: frozenset[str]) -> None:
    """Refuse a request whose Host header has none of the names `known`.

    Not Flask's TRUSTED_HOSTS: that can not match an IPv6 address (Werkzeug 3.1).

    Raises:
        SecurityError: The name is another one, or there is none.
    """
    given = _HOST.fullmatch(request.headers.get("Host", ""))
    if given is None or given["name"].lower() not in known:
        raise SecurityError


def add_headers(response: Response) -> Response:
    """Set the security headers; pages and data are never cached, versioned static files are."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if request.endpoint == "static" and "v" in request.args and response.status_code == 200:
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    else:
        response.headers["Cache-Control"] = "no-store"
    return response


def add_transport_security(response: Response) -> Response:
    """Have browsers come by HTTPS only, for a year (RFC 6797)."""
    response.headers["Strict-Transport-Security"] = "max-age=31536000"
    return response
