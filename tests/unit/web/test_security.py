"""Headers on every answer, known host names, cookies."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from appliance.settings import Settings
from appliance.web.app import create_app
from appliance.web.client import address as client_address
from appliance.web.security import trusted_hosts

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
PATHS = ["/sign-in", "/", "/nowhere", "/static/style.css", "/static/nothing.css", "/v1/models"]


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_carries_the_security_headers(client: FlaskClient, path: str) -> None:
    with client.get(path) as answer:
        headers = answer.headers
    assert headers["Content-Security-Policy"] == POLICY
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "geolocation=()" in headers["Permissions-Policy"]
    assert headers["Cache-Control"] == "no-store"


def test_only_versioned_static_files_are_cached(app: Flask, client: FlaskClient) -> None:
    with app.test_request_context():
        address = app.url_for("static", filename="style.css")
    with client.get(address) as versioned, client.get("/static/style.css") as plain:
        assert versioned.headers["Cache-Control"].endswith("immutable")
        assert plain.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:8080", "LOCALHOST"])
def test_loopback_names_are_known(client: FlaskClient, host: str) -> None:
    assert client.get("/sign-in", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "a b", ""])
def test_another_host_name_is_refused_with_the_remedy(client: FlaskClient, host: str) -> None:
    answer = client.get("/sign-in", headers={"Host": host})
    assert answer.status_code == 400
    assert "web_names" in answer.text


def test_an_operator_can_add_names_and_a_wildcard_address_is_no_name(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path, host="::", web_names=("cloister.ward.example",))
    assert trusted_hosts(settings) == [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "cloister.ward.example",
    ]
    assert "[fd00::7]" in trusted_hosts(Settings(state=tmp_path, host="fd00::7"))


def test_cookies_over_loopback_are_out_of_reach_for_scripts_and_other_sites(
    client: FlaskClient,
) -> None:
    cookie = client.get("/sign-in").headers["Set-Cookie"]
    assert cookie.startswith("door=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie


def test_cookies_over_https_are_held_to_this_host(tmp_path: Path) -> None:
    app = create_app(Settings(state=tmp_path, https=True))
    headers = app.test_client().get("/sign-in").headers
    assert headers["Strict-Transport-Security"] == "max-age=31536000"
    cookie = headers["Set-Cookie"]
    assert cookie.startswith("__Host-door=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/", "Secure"} <= set(cookie.split("; "))
    app.extensions["cloister"].close()


@pytest.mark.parametrize(("https", "address"), [(True, "203.0.113.9"), (False, "127.0.0.1")])
def test_a_proxys_word_for_the_address_counts_only_behind_https(
    tmp_path: Path, https: bool, address: str
) -> None:
    app = create_app(Settings(state=tmp_path, https=https))
    seen: list[str] = []
    app.after_request(lambda response: seen.append(client_address()) or response)
    app.test_client().get("/sign-in", headers={"X-Forwarded-For": "203.0.113.9"})
    app.extensions["cloister"].close()
    assert seen == [address]
