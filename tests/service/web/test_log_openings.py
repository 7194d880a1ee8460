"""Two officers open contents: every rule that the appliance keeps, and the record of every step."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest

from audit.age import Identity, encrypt
from audit.client import RecordType
from tests.service.web.conftest import Visitor
from tests.support.records import read_records
from tests.support.stack import Credentials, Stack

REASON = "The patient says that the answer named another patient"
KEY = Identity.generate()
ANSWER = base64.b64encode(encrypt(b"halves", [KEY.recipient])).decode()


@dataclass
class Officer:
    """An officer with a sitting."""

    visitor: Visitor
    name: str
    sitting: dict[str, str]

    def post(self, what: str, **fields: str) -> httpx.Response:
        return self.visitor.post(
            f"/log/openings/{what}", {**self.sitting, **fields}, page="/log/openings"
        )

    def ask(self, asked: list[int], **changes: str) -> httpx.Response:
        fields = {
            "records": json.dumps(asked),
            "reason": REASON,
            "group": "compliance",
            "recipient": KEY.recipient,
            "sealed": json.dumps({"epoch": 0, "sealed": "c2VhbGVk"}),
        }
        return self.post("ask", **(fields | changes))


def _officer(stack: Stack, http: httpx.Client, who: Credentials) -> Officer:
    visitor = Visitor(http)
    visitor.sign_in(who)
    fields: dict[str, str | list[str]] = {"reason": REASON, "key": "age1"}
    given = visitor.post("/log/records/open", fields, page="/log/openings").json()
    return Officer(visitor, who.name, {"sitting": given["sitting"], "code": given["code"]})


@pytest.fixture(scope="module")
def one(stack: Stack, person: Callable[..., Credentials]) -> Iterator[Officer]:
    with stack.http() as http:
        yield _officer(stack, http, person("officer"))


@pytest.fixture(scope="module")
def two(stack: Stack, person: Callable[..., Credentials]) -> Iterator[Officer]:
    with stack.http() as http:
        yield _officer(stack, http, person("officer"))


@pytest.fixture
def records(stack: Stack) -> list[int]:
    done = [
        stack.log.append(RecordType.PROMPT, actor="m.keller", meta={}, content={"text": "Hello"})
        for _ in range(2)
    ]
    return [receipt.index for receipt in done]


@pytest.fixture
def opening(one: Officer, records: list[int]) -> str:
    return str(one.ask(records).json()["id"])


def _event(stack: Stack) -> tuple[str, str | None]:
    """What the newest record says was done, and by whom."""
    record = read_records(stack.settings)[-1]
    return record.meta["event"].removeprefix("audit:opening:"), record.actor


def test_a_request_is_a_record_with_its_reason_and_records(
    stack: Stack, one: Officer, records: list[int], opening: str
) -> None:
    record = read_records(stack.settings)[-1]
    assert (record.event, record.actor) == (opening, one.name)
    assert record.meta["event"] == "audit:opening:asked"
    assert (record.meta["records"], record.meta["begin"]) == (records, one.sitting["sitting"])
    assert record.content == {"reason": REASON, "key": KEY.recipient}


def test_each_step_to_the_contents_is_a_record(
    stack: Stack, one: Officer, two: Officer, records: list[int], opening: str
) -> None:
    assert len(two.post(f"{opening}/read").json()["rows"]) == 2
    assert _event(stack) == ("read", two.name)
    assert two.post(f"{opening}/decide", answer=ANSWER).status_code == 200
    assert _event(stack) == ("agreed", two.name)
    found = one.post(f"{opening}/contents").json()
    assert _event(stack) == ("opened", one.name)
    assert found["answer"] == ANSWER
    assert all(row["content"] for row in found["rows"])
    assert one.post(f"{opening}/contents").status_code == 200
    assert _event(stack) == ("opened", one.name)
    one.post(f"{opening}/withdraw")
    assert _event(stack) == ("withdrawn", one.name)
    assert one.post(f"{opening}/contents").status_code == 400
    steps = [one for one in read_records(stack.settings) if one.meta.get("opening") == opening]
    assert [step.meta["records"] for step in steps] == [records] * 5


def test_nobody_agrees_to_a_request_of_their_own(stack: Stack, one: Officer, opening: str) -> None:
    before = stack.log.status().size
    answer = one.post(f"{opening}/decide", answer=ANSWER)
    assert answer.status_code == 400
    assert "Somebody else has to agree" in answer.json()["error"]
    assert stack.log.status().size == before


def test_contents_stay_until_somebody_agreed_and_go_to_nobody_else(
    stack: Stack, one: Officer, two: Officer, opening: str
) -> None:
    assert "Nobody has agreed" in one.post(f"{opening}/contents").json()["error"]
    assert two.post(f"{opening}/decide").status_code == 200
    assert _event(stack) == ("refused", two.name)
    assert "Nobody has agreed" in one.post(f"{opening}/contents").json()["error"]
    assert "decided this request already" in two.post(f"{opening}/decide").json()["error"]
    for what in ("contents", "withdraw"):
        assert "another officer's" in two.post(f"{opening}/{what}").json()["error"]


def test_all_officers_see_all_requests_with_sealed_reasons(
    one: Officer, two: Officer, opening: str
) -> None:
    mine, other = (
        next(entry for entry in who.post("list").json()["openings"] if entry["id"] == opening)
        for who in (one, two)
    )
    assert (mine["mine"], other["mine"]) == (True, False)
    assert other["state"] == "waiting"
    assert REASON not in json.dumps(other)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reason": "please"}, "Write the reason"),
        ({"records": "[]"}, "Ask for 1 to 100 records"),
        ({"records": json.dumps(list(range(101)))}, "Ask for 1 to 100 records"),
        ({"records": "[-1]"}, "not understood"),
        ({"records": "7"}, "not understood"),
        ({"records": "no JSON"}, "not understood"),
        ({"group": "finance"}, "not understood"),
        ({"recipient": "age1nobody"}, "not understood"),
        ({"sealed": "[]"}, "not understood"),
        ({"sealed": "{}" + " " * 13_000}, "not understood"),
    ],
)
def test_a_malformed_request_is_refused_and_no_record_says_otherwise(
    stack: Stack, one: Officer, changes: dict[str, str], words: str
) -> None:
    before = stack.log.status().size
    answer = one.ask([0], **changes)
    assert answer.status_code == 400
    assert words in answer.json()["error"]
    assert stack.log.status().size == before


def test_records_that_there_are_not_can_not_be_asked_for(one: Officer) -> None:
    assert "There is no record 999999" in one.ask([999_999]).json()["error"]


@pytest.mark.parametrize("answer", ["no base64!", base64.b64encode(b"no age file").decode()])
def test_an_answer_that_is_no_age_file_is_refused(two: Officer, opening: str, answer: str) -> None:
    assert "no age file" in two.post(f"{opening}/decide", answer=answer).json()["error"]
    assert two.post(f"{opening}/decide", answer=ANSWER).status_code == 200


def test_without_a_record_nobody_agrees_and_nothing_opens(
    stack: Stack, one: Officer, two: Officer, opening: str
) -> None:
    csrf = two.visitor.csrf("/log/openings")
    stack.kill("writer")
    try:
        for what in ("read", "decide"):
            fields = {"csrf": csrf, **two.sitting, "answer": ANSWER}
            answer = two.visitor.http.post(f"/log/openings/{opening}/{what}", data=fields)
            assert answer.status_code == 503
            assert set(answer.json()) == {"error"}
    finally:
        stack.restart("writer")
    assert "Nobody has agreed" in one.post(f"{opening}/contents").json()["error"]
