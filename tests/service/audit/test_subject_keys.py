"""Subjects over the writer's socket: keys of single records, and their end."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from audit.approval import Action, Request, make_request
from audit.client import AuditClient, RecordRefusedError, RecordType
from audit.decisions import Ledger
from audit.export.make import make_export, whole
from audit.keyfile import read_identities
from audit.reader import open_rows
from audit.socketkeys import SocketKeys
from audit.vault import Vault
from tests.service.audit.harness import ORIGIN, Writer, call_tool, opened, verify


def erasure(writer: Writer, name: str) -> Request:
    request = make_request(
        ORIGIN, Action.ERASE, name, "objection", subject=True, now=datetime.now(UTC)
    )
    for key in ("a.key", "b.key"):
        (identity,) = read_identities(writer.root / key)
        request = request.signed(identity)
    return request


def append(client: AuditClient, text: str, subject: str | None) -> int:
    meta, content = {"task": "triage"}, {"text": text}
    receipt = client.append(
        RecordType.PROMPT, actor="a", meta=meta, content=content, subject=subject
    )
    return receipt.index


def test_the_writer_gives_keys_of_records_and_after_an_erasure_says_so(
    writer: Writer, client: AuditClient
) -> None:
    one, none = append(client, "one", "case 1"), append(client, "none", None)
    two = append(client, "two", "case 2")
    keys = client.subject_keys([one, none, two, 999])
    assert [len(key) for key in keys] == [64, 0, 64, 0]
    with open_rows(writer.log) as rows:
        (row,) = rows.rows(one, one + 1)
    assert Vault(writer.log, {}).record_key(one, row.content or b"").hex() == keys[0]
    request = erasure(writer, "case 1")
    record = client.decide(request.note, request.subject, request.salt)
    assert client.subject_keys([one, none, two]) == [f"erased {record}", "", keys[2]]
    writer.stop()
    found = {entry["index"]: entry for entry in opened(writer)}
    assert found[one]["content"] is None
    assert f"record {record}" in found[one]["gone"]
    assert found[two]["content"] == {"text": "two"}
    assert verify(writer)["erased_subjects"] == 1


@pytest.mark.parametrize("indexes", [None, "1", [-1], [True], ["1"], [1 << 70], list(range(1001))])
def test_what_are_no_numbers_of_records_is_refused(client: AuditClient, indexes: object) -> None:
    with pytest.raises(RecordRefusedError, match="'indexes' must be"):
        client._call({"op": "subject_keys", "indexes": indexes})


@pytest.mark.parametrize(
    "message",
    [{}, {"note": 1}, {"note": "x", "subject": 1}, {"note": "x", "subject": None, "salt": "x"}],
)
def test_what_is_no_statement_is_refused(client: AuditClient, message: dict[str, object]) -> None:
    with pytest.raises(RecordRefusedError):
        client._call({"op": "decide", **message})
    assert client.status().health == "ok"


def test_an_export_by_the_writers_keys_is_the_one_by_the_file(
    writer: Writer, client: AuditClient, tmp_path: Path
) -> None:
    for number in range(300):
        append(client, f"text {number}", f"case {number % 3}" if number % 2 else None)
    request = erasure(writer, "case 1")
    client.decide(request.note, request.subject, request.salt)
    with open_rows(writer.log) as rows:
        facts = whole(rows)
        by_writer = make_export(rows, tmp_path / "one", facts, keys=SocketKeys(client))
        vault = Vault(writer.log, Ledger.read(rows).erased)
        by_file = make_export(rows, tmp_path / "two", facts, keys=vault)
    assert by_writer.digest == by_file.digest
    keys = ["--key", writer.root / "a.key", "--key", writer.root / "b.key"]
    status, output, errors = call_tool("open", tmp_path / "one", *keys, "--json")
    assert status == 0, errors
    assert output.count("was erased on two officers") == 50
