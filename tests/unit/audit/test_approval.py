"""Approvals: what two officers sign, and what counts as their word."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.age import Identity
from audit.approval import (
    EVERYTHING,
    GROUNDS,
    MATTER,
    Action,
    Request,
    Statement,
    check_approvals,
    make_request,
)
from audit.errors import ApprovalError
from audit.signer import signer_of

ORIGIN = "cloister-test/audit"
NOW = datetime(2026, 11, 23, 16, 0, 0, 5, UTC)
A, B, C = (Identity.generate() for _ in range(3))
SIGNERS = {"compliance": [str(signer_of(A))], "security": [str(signer_of(B))]}


def erasure(name: str = "case 7") -> Request:
    return make_request(ORIGIN, Action.ERASE, name, "objection", subject=True, now=NOW)


def test_the_word_of_one_officer_of_each_group_counts() -> None:
    signed = erasure().signed(A).signed(B)
    assert check_approvals(signed.note, SIGNERS) == signed.statement


@pytest.mark.parametrize(
    ("signers", "missing"),
    [((), "Nobody"), ((A,), "security"), ((B,), "compliance"), ((A, C), "security")],
)
def test_less_than_that_does_not(signers: tuple[Identity, ...], missing: str) -> None:
    request = erasure()
    for identity in signers:
        request = request.signed(identity)
    with pytest.raises(ApprovalError, match=missing):
        check_approvals(request.note, SIGNERS)


def test_copies_that_were_signed_apart_are_put_together() -> None:
    request = erasure()
    joined = request.signed(A).joined(request.signed(B))
    assert check_approvals(joined.note, SIGNERS) == request.statement
    with pytest.raises(ApprovalError, match="different requests"):
        request.signed(A).joined(erasure().signed(B))


def test_nobody_signs_twice() -> None:
    with pytest.raises(ApprovalError, match="already"):
        erasure().signed(A).signed(A)


@given(st.data())
def test_no_changed_statement_bears_the_word(data: st.DataObject) -> None:
    note = erasure().signed(A).signed(B).note
    text = note.encode()
    place = data.draw(st.integers(0, note.index("\n\n")))
    changed = bytearray(text)
    changed[place] ^= data.draw(st.integers(1, 127))
    with pytest.raises(ApprovalError):
        check_approvals(changed.decode("utf-8", "replace"), SIGNERS)


def test_the_statement_names_nobody() -> None:
    request = erasure("Anna Keller")
    assert "Keller" not in request.note
    assert erasure("Anna Keller").statement.about != request.statement.about


def test_an_officer_is_not_shown_another_name_than_he_signs() -> None:
    value = json.loads(erasure("Anna Keller").to_json())
    value["subject"] = "Bert Maier"
    with pytest.raises(ApprovalError, match="not the one which is signed"):
        Request.parse(json.dumps(value))


def test_a_request_survives_its_file() -> None:
    request = erasure().signed(A)
    assert Request.parse(request.to_json()) == request


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 2}', "[" * 10_000])
def test_what_is_no_request_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ApprovalError, match="cloister audit erase-subject"):
        Request.parse(text)


@pytest.mark.parametrize(
    ("action", "about", "ground", "subject"),
    [
        (Action.ERASE, "case 7", "because", True),
        (Action.ERASE, EVERYTHING, next(iter(GROUNDS)), False),
        (Action.ERASE, MATTER, next(iter(GROUNDS)), False),
        (Action.HOLD, MATTER, "LH-1", False),
        (Action.HOLD, "case 7", "two words", True),
        (Action.RELEASE, EVERYTHING, "LH-1", False),
    ],
)
def test_what_can_not_be_decided_can_not_be_asked(
    action: Action, about: str, ground: str, subject: bool
) -> None:
    with pytest.raises(ApprovalError):
        make_request(ORIGIN, action, about, ground, subject=subject, now=NOW)


def test_a_statement_reads_in_one_way_only() -> None:
    text = erasure().statement.text()
    assert Statement.parse(text).text() == text
    upper = erasure().statement.request
    for changed in (
        text + "\n",
        text.replace("16:00:00", "6:00:00"),
        text.replace("action: erase", "action: erase "),
        text.replace(str(upper), str(upper).upper()) + "x",
    ):
        with pytest.raises(ApprovalError):
            Statement.parse(changed)


def test_the_key_that_signs_is_not_the_one_that_opens() -> None:
    assert signer_of(A).public != A.recipient.encode()
    assert signer_of(A).public == signer_of(Identity.parse(str(A))).public
    assert signer_of(A).public != signer_of(B).public
