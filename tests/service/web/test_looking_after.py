"""People, keys, models, log and system: what each role may do there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from tests.service.web.conftest import Visitor
from tests.support.stack import Credentials, Stack

Person = Callable[..., Credentials]
PAGES = {
    "/": {"user", "operator", "officer", "admin"},
    "/receipts": {"user", "operator", "officer", "admin"},
    "/account": {"user", "operator", "officer", "admin"},
    "/models": {"operator", "admin"},
    "/keys": {"operator", "admin"},
    "/system": {"operator", "admin"},
    "/people": {"admin"},
    "/log": {"officer"},
    "/log/records": {"officer"},
    "/log/openings": {"officer"},
    "/log/export": {"officer"},
    "/log/witness": {"officer"},
    "/log/witness/sheet": {"officer"},
}


@pytest.mark.parametrize("role", ["user", "operator", "officer", "admin"])
def test_each_role_opens_its_pages_and_no_others(
    stack: Stack, visitor: Visitor, person: Person, role: str
) -> None:
    visitor.sign_in(person(role))
    for path, roles in PAGES.items():
        page = visitor.get(path)
        assert page.status_code == (200 if role in roles else 403), path
        menu = "/log" if path.startswith("/log/") else path
        assert (f'href="{menu}"' in visitor.get("/account").text) == (role in roles), path
        if role not in roles:
            assert "does not have the role" in page.text


def test_a_refused_page_is_a_record_in_the_log(
    stack: Stack, visitor: Visitor, person: Person
) -> None:
    visitor.sign_in(person("user"))
    before = stack.log.status().size
    visitor.get("/people")
    assert stack.log.status().size == before + 1


@pytest.fixture(scope="module")
def admin(stack: Stack, person: Person) -> Iterator[Visitor]:
    with stack.http() as http:
        admin = Visitor(http)
        admin.sign_in(person("admin", "operator"))
        yield admin


def _secret(page: str) -> str:
    found = re.search(r'class="secret"[^>]*>([^<]+)<', page)
    assert found is not None
    return found[1]


def test_an_admin_adds_a_person_whose_password_is_shown_once(stack: Stack, admin: Visitor) -> None:
    page = admin.post("/people", {"name": "H.Okafor", "roles": ["user", "operator"]}).text
    first = _secret(page)
    assert first not in admin.get("/people").text
    with stack.http() as http:
        newcomer = Visitor(http)
        assert newcomer.sign_in(Credentials("h.okafor", first)).url.path == "/password"


def test_admin_and_officer_in_one_account_is_refused_in_a_clear_sentence(
    stack: Stack, admin: Visitor, person: Person
) -> None:
    sentence = "No account may be both admin and officer"
    page = admin.post("/people", {"name": "both", "roles": ["admin", "officer"]})
    assert page.status_code == 400
    assert sentence in page.text
    assert 'value="both"' in page.text
    who = person("officer")
    changed = admin.post(f"/people/{who.name}/roles", {"roles": ["admin", "officer"]})
    assert changed.status_code == 400
    assert sentence in changed.text
    assert stack.accounts.get(who.name).roles == {"officer"}


def test_new_roles_are_saved_and_sign_the_person_out(
    stack: Stack, admin: Visitor, person: Person
) -> None:
    who = person("user")
    with stack.http() as http:
        other = Visitor(http)
        other.sign_in(who)
        page = admin.post(f"/people/{who.name}/roles", {"roles": ["user", "operator"]})
        assert "The roles were changed" in page.text
        assert other.get("/").url.path == "/sign-in"
    assert stack.accounts.get(who.name).roles == {"user", "operator"}


def test_a_reset_shows_a_one_time_password_that_works(
    stack: Stack, admin: Visitor, person: Person
) -> None:
    who = person("user")
    first = _secret(admin.post(f"/people/{who.name}/reset").text)
    with stack.http() as http:
        page = Visitor(http).sign_in(Credentials(who.name, first))
    assert page.url.path == "/password"


def test_a_disabled_person_is_out_until_enabled(
    stack: Stack, admin: Visitor, person: Person
) -> None:
    who = person("user")
    assert "The account is disabled" in admin.post(f"/people/{who.name}/disable").text
    with stack.http() as http:
        answer = Visitor(http).sign_in(who)
        assert answer.status_code == 401
        assert "disabled" in answer.text
        assert "can sign in again" in admin.post(f"/people/{who.name}/enable").text
        assert Visitor(http).sign_in(who).url.path == "/"


def test_an_unknown_person_is_404(admin: Visitor) -> None:
    assert admin.get("/people/nobody").status_code == 404
    for action in ("roles", "reset", "disable", "enable"):
        assert admin.post(f"/people/nobody/{action}", {"roles": "user"}).status_code == 404


def test_a_key_is_shown_once_works_for_its_task_and_stops_when_revoked(
    stack: Stack, admin: Visitor
) -> None:
    page = admin.post("/keys", {"name": "intake", "tasks": "triage", "lifetime": "90"}).text
    key = _secret(page)
    listed = admin.get("/keys").text
    assert key not in listed
    prefix = key.split("_")[1]
    assert f"clst_{prefix}" in listed
    body = {"inputs": {"text": "I lost my card."}}
    with stack.http(key) as http:
        assert http.post("/v1/tasks/triage", json=body).status_code == 200
        assert http.post("/v1/tasks/extract", json=body).status_code == 403
        assert "works no longer" in admin.post("/keys/revoke", {"prefix": prefix}).text
        assert http.post("/v1/tasks/triage", json=body).status_code == 401
    assert admin.post("/keys/revoke", {"prefix": prefix}).status_code == 200


def test_a_key_with_a_taken_name_is_refused_with_the_remedy(admin: Visitor) -> None:
    admin.post("/keys", {"name": "twice"})
    again = admin.post("/keys", {"name": "twice"})
    assert again.status_code == 400
    assert "choose another name" in again.text


def test_the_models_page_shows_state_and_digest(stack: Stack, admin: Visitor) -> None:
    model = stack.engine.models()[0]
    page = admin.get("/models").text
    assert model.sha256 in page
    assert "Ready" in page


def test_the_log_page_shows_what_the_writer_says(
    stack: Stack, visitor: Visitor, person: Person
) -> None:
    visitor.sign_in(person("officer"))
    status = stack.log.status()
    page = visitor.get("/log").text
    for value in (status.origin, status.vkey.replace("+", "&#43;"), "cloister-audit verify"):
        assert value in page or value.replace("&#43;", "+") in page
    assert f"{status.size:,}" in page


def test_the_system_page_lists_every_part(admin: Visitor) -> None:
    page = admin.get("/system").text
    for part in ("Audit log", "App database", "Engine", "Model demo"):
        assert part in page
