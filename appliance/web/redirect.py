"""Sending the browser on."""

from __future__ import annotations

from flask import Response


def see_other(target: str) -> Response:
    """303: go there with GET, whatever this request was (RFC 9110, 15.4.4)."""
    return Response(status=303, headers={"Location": target})
