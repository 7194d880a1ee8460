"""The officers' page of records, on the appliance's side: nothing leaves before the log has it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from audit.age import Identity
from audit.client import RecordType
from audit.grants import open_grants
from audit.leaf import Leaf
from audit.search import make_query
from tests.service.web.conftest import Visitor
from tests.support.records import Record, read_records
from tests.support.stack import Credentials, Stack

REASON = "Complaint 2026-114 of the patients' board"


@pytest.fixture(scope="module")
def officer(stack: Stack, person: Callable[..., Credentials]) -> Iterator[Visitor]:
    with stack.http() as http:
        officer = Visitor(http)
        officer.sign_in(person("officer"))
        yield officer


def _post(visitor: Visitor, what: str, **fields: str) -> httpx.Response:
    return visitor.post(f"/log/records/{what}", dict(fields), page="/log/records")


def _open(visitor: Visitor) -> dict[str, Any]:
    given: dict[str, Any] = _post(visitor, "open", reason=REASON, key="age1test").json()
    return given


def _sitting(given: dict[str, Any]) -> dict[str, str]:
    return {"sitting": given["sitting"], "code": given["code"]}


def _query(stack: Stack, given: dict[str, Any], **terms: str) -> str:
    """What the page makes of the terms with the key of one officer."""
    line = (stack.settings.root / "officers/security.key").read_text().splitlines()[-1]
    secrets = {}
    for one in given["epochs"]:
        grants = {group: base64.b64decode(text) for group, text in one["grants"].items()}
        secrets[one["number"]] = open_grants(
            grants, [Identity.parse(line)], given["origin"], one["number"]
        )
    return make_query(given["origin"], secrets, terms).to_json()


def _last(stack: Stack) -> Record:
    return read_records(stack.settings)[-1]


def test_the_reason_is_in_the_log_before_a_grant_leaves(stack: Stack, officer: Visitor) -> None:
    given = _open(officer)
    record = _last(stack)
    assert record.event == given["sitting"]
    assert (record.type, record.meta["event"]) == ("access", "audit:desk:opened")
    assert record.content == {"reason": REASON, "key": "age1test"}
    assert set(given["epochs"][0]["grants"]) == {"compliance", "security"}


@pytest.mark.parametrize("reason", ["", "   ", "because", "x" * 2001])
def test_without_a_proper_reason_nothing_opens(stack: Stack, officer: Visitor, reason: str) -> None:
    before = stack.log.status().size
    answer = _post(officer, "open", reason=reason)
    assert answer.status_code == 400
    assert "Write the reason in 10 to 2,000 characters" in answer.json()["error"]
    assert stack.log.status().size == before


def test_a_search_finds_by_tokens_and_is_a_record_that_names_no_value(
    stack: Stack, officer: Visitor
) -> None:
    receipt = stack.log.append(
        RecordType.PROMPT, actor="m.keller", subject="case-77", meta={"task": "triage"}
    )
    given = _open(officer)
    query = _query(stack, given, subject="case-77", task="triage")
    window = {"since": str(1_700_000_000 * 10**9), "type": "prompt"}
    found = _post(officer, "find", **_sitting(given), query=query, **window).json()
    (row,) = found["rows"]
    assert Leaf.unpack(base64.b64decode(row["leaf"])).index == receipt.index
    record = _last(stack)
    assert record.meta["event"] == "audit:desk:searched"
    assert record.meta["begin"] == given["sitting"]
    assert record.meta["fields"] == ["subject", "task"]
    assert (record.meta["since"][:19], record.meta["of"]) == ("2023-11-14 22:13:20", "prompt")
    assert (record.meta["found"], record.meta["first"]) == (1, receipt.index)
    assert "case-77" not in json.dumps(record.meta)


def test_a_look_at_a_record_is_a_record(stack: Stack, officer: Visitor) -> None:
    given = _open(officer)
    found = _post(officer, "look", **_sitting(given), index="0").json()
    assert found["proof"].startswith("c2sp.org/tlog-proof@v1\nindex 0\n")
    assert found["witness"] is None
    record = _last(stack)
    assert (record.meta["event"], record.meta["record"]) == ("audit:desk:looked", 0)


@pytest.mark.parametrize("what", ["find", "look"])
def test_a_sitting_of_another_session_shows_nothing(
    stack: Stack, officer: Visitor, person: Callable[..., Credentials], what: str
) -> None:
    given = _open(officer)
    with stack.http() as http:
        other = Visitor(http)
        other.sign_in(person("officer"))
        before = stack.log.status().size
        answer = _post(other, what, **_sitting(given), index="0", query="{}")
        assert answer.status_code == 400
        assert "This sitting has ended" in answer.json()["error"]
        assert stack.log.status().size == before


@pytest.mark.parametrize(
    "fields",
    [
        {"query": "no JSON"},
        {"query": '{"version": 1, "origin": "another/audit", "epochs": {}}'},
        {"since": "-1"},
        {"until": "soon"},
        {"type": "no such"},
        {"below": str(1 << 63)},
        {"terms": "[]"},
        {"terms": "x" * 13_000},
    ],
)
def test_a_malformed_search_is_refused_in_a_sentence(
    stack: Stack, officer: Visitor, fields: dict[str, str]
) -> None:
    given = _open(officer)
    asked = {"query": _query(stack, given), **fields}
    answer = _post(officer, "find", **_sitting(given), **asked)
    assert answer.status_code == 400
    assert "Reload the page" in answer.json()["error"]


@pytest.mark.parametrize("what", ["open", "find", "look"])
def test_others_than_officers_get_nothing_and_the_refusal_is_a_record(
    stack: Stack, person: Callable[..., Credentials], what: str
) -> None:
    with stack.http() as http:
        admin = Visitor(http)
        admin.sign_in(person("admin"))
        before = stack.log.status().size
        assert admin.post(f"/log/records/{what}", {"reason": REASON}).status_code == 403
        assert stack.log.status().size == before + 1


def test_while_the_log_takes_no_records_nothing_is_shown(stack: Stack, officer: Visitor) -> None:
    given = _open(officer)
    query = _query(stack, given)
    csrf = officer.csrf("/log/records")
    stack.kill("writer")
    try:
        for what, fields in {
            "open": {"reason": REASON},
            "find": {**_sitting(given), "query": query},
            "look": {**_sitting(given), "index": "0"},
        }.items():
            answer = officer.http.post(f"/log/records/{what}", data={"csrf": csrf, **fields})
            assert answer.status_code == 503
            assert set(answer.json()) == {"error"}
    finally:
        stack.restart("writer")
