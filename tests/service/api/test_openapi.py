"""The API's description is a valid one and says what there is."""

from __future__ import annotations

import re

import httpx
from flask import Flask
from jsonschema import Draft202012Validator

from appliance.web.api.views import blueprint
from tests.support.stack import Stack


def described(document: dict[str, dict[str, dict[str, object]]]) -> set[tuple[str, str]]:
    return {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }


def served() -> set[tuple[str, str]]:
    app = Flask("routes")
    app.register_blueprint(blueprint)
    return {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        if rule.endpoint not in {"static", "api.nothing"}
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def test_every_route_is_described_and_nothing_else(stack: Stack) -> None:
    document = httpx.get(f"{stack.url}/v1/openapi.json", timeout=30).json()
    assert described(document) == served()
    assert document["openapi"].startswith("3.1")


def test_answers_keep_the_described_schemas(stack: Stack, http: httpx.Client) -> None:
    document = http.get("/v1/openapi.json").json()

    def check(value: object, name: str) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        Draft202012Validator(schema).validate(value)

    check(http.get("/v1/models").json(), "ModelList")
    for task in http.get("/v1/tasks").json()["data"]:
        check(task, "Task")
    body = {"inputs": {"text": "Please send me the form."}}
    check(http.post("/v1/tasks/triage", json=body).json(), "TaskAnswer")
    check(http.post("/v1/tasks/triage", json={}).json(), "Error")


def test_every_reference_leads_somewhere(stack: Stack) -> None:
    text = httpx.get(f"{stack.url}/v1/openapi.json", timeout=30)
    document = text.json()
    for reference in re.findall(r'"\$ref":"#/([^"]+)"', text.text):
        place = document
        for step in reference.split("/"):
            place = place[step]
