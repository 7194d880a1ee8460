"""From a client's record to what two officers read, through a real writer."""

from __future__ import annotations

import base64
import sqlite3
import threading
from pathlib import Path
from uuid import UUID

import pytest

from audit.client import AuditClient, Receipt, RecordRefusedError, RecordType
from audit.leaf import leaf_hash
from audit.merkle import check_inclusion
from audit.note import VerifierKey
from audit.proof import parse_proof
from audit.uuid7 import uuid7
from tests.service.audit.harness import ORIGIN, Writer, opened, verify
from tests.support.wait import wait_until


@pytest.fixture
def writer(shared: Writer) -> Writer:
    return shared


def test_begin_and_end_of_an_answer_are_read_by_two_officers(
    writer: Writer, client: AuditClient
) -> None:
    begin = uuid7()
    client.append(
        RecordType.PROMPT,
        actor="m.keller",
        subject="case-12",
        meta={"task": "triage", "model": "demo"},
        content={"prompt": "Wie hoch ist die Dosis?"},
        event=begin,
    )
    end = client.append(
        RecordType.ANSWER,
        actor="m.keller",
        meta={"begin": str(begin), "finish_reason": "stop"},
        content={"answer": "Zwei Tabletten."},
    )
    (prompt,) = opened(writer, "--record", str(begin))
    (answer,) = opened(writer, "--record", end.event)
    assert prompt["type"] == "prompt"
    assert prompt["actor"] == "m.keller"
    assert prompt["subject"] == "case-12"
    assert prompt["content"] == {"prompt": "Wie hoch ist die Dosis?"}
    assert answer["content"] == {"answer": "Zwei Tabletten."}
    assert answer["meta"]["meta"]["begin"] == str(begin)
    assert verify(writer)["verdict"] == "intact"


@pytest.mark.parametrize("kind", list(RecordType))
def test_every_type_of_record_is_taken(client: AuditClient, kind: RecordType) -> None:
    receipt = client.append(kind, actor="a", meta={})
    assert UUID(receipt.event).version == 7


def test_the_receipt_is_proof_of_the_record(writer: Writer, client: AuditClient) -> None:
    receipt = client.append(RecordType.ADMIN, actor="root", meta={"what": "x"})
    status = client.status()
    key = VerifierKey.parse(status.vkey)
    checkpoint = key.verify(receipt.checkpoint)
    assert checkpoint.origin == status.origin == ORIGIN
    assert checkpoint.size == receipt.size
    assert base64.b64encode(checkpoint.root).decode() == receipt.root
    proof = parse_proof(client.proof(receipt.index))
    newest = key.verify(proof.checkpoint)
    leaf = base64.b64decode(receipt.leaf)
    check_inclusion(leaf, receipt.index, newest.size, proof.path, newest.root)
    with sqlite3.connect(f"file:{writer.database}?mode=ro", uri=True) as connection:
        query = "SELECT leaf FROM leaves WHERE idx = ?"
        (stored,) = connection.execute(query, (receipt.index,)).fetchone()
    connection.close()
    assert leaf_hash(stored) == leaf


def test_the_status_says_how_the_log_stands(client: AuditClient) -> None:
    receipt = client.append(RecordType.PROMPT, actor="a", meta={})
    status = client.status()
    assert (status.health, status.reason) == ("ok", "")
    assert (status.size, status.root) == (receipt.size, receipt.root)
    assert status.checkpoint == receipt.checkpoint
    assert status.epoch == 0
    assert status.last_commit is not None
    assert status.started <= status.last_commit


def test_thirty_two_threads_get_thirty_two_orderly_receipts_each(
    writer: Writer, client: AuditClient
) -> None:
    before, checkpoints = client.status().size, verify(writer)["checkpoints"]
    receipts: list[Receipt] = []
    lock = threading.Lock()

    def work(number: int) -> None:
        for turn in range(16):
            receipt = client.append(
                RecordType.PROMPT, actor=f"user{number}", meta={"turn": turn}, content={"t": "x"}
            )
            with lock:
                receipts.append(receipt)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    places = sorted(receipt.index for receipt in receipts)
    assert places == list(range(before, before + 32 * 16))
    report = verify(writer)
    assert report["verdict"] == "intact"
    assert report["checkpoints"] - checkpoints < 32 * 16, "commits were not shared"


def test_a_content_of_many_megabytes_is_taken_and_read_back(
    writer: Writer, client: AuditClient
) -> None:
    text = "0123456789abcdef" * (15 * 65536)
    receipt = client.append(RecordType.PROMPT, actor="a", meta={}, content={"text": text})
    (record,) = opened(writer, "--record", receipt.event)
    assert record["content"]["text"] == text


@pytest.mark.parametrize(
    ("meta", "content", "says"),
    [
        ({"x": "y" * 70_000}, None, "'meta' has"),
        ({"n": float("inf")}, None, "not JSON"),
        ({}, {"text": "x" * (16 * 1024 * 1024)}, "the limit is 16777216"),
        ({"x": {1, 2}}, None, "not JSON"),
        ({"n": 2**60}, None, "'meta' has no canonical"),
    ],
)
def test_a_record_that_breaks_a_limit_is_refused_by_name(
    client: AuditClient, meta: dict[str, object], content: dict[str, object] | None, says: str
) -> None:
    with pytest.raises(RecordRefusedError, match=says) as caught:
        client.append(RecordType.PROMPT, actor="a", meta=meta, content=content)
    assert caught.value.code == "bad_request"
    client.append(RecordType.PROMPT, actor="a", meta={})


def test_the_same_event_twice_is_one_record(client: AuditClient) -> None:
    event = uuid7()
    first = client.append(RecordType.PROMPT, actor="a", meta={}, event=event)
    assert client.append(RecordType.PROMPT, actor="a", meta={}, event=event) == first
    with pytest.raises(RecordRefusedError, match="recorded already"):
        client.append(RecordType.PROMPT, actor="b", meta={}, event=event)
    assert client.status().size == first.size


def test_an_idle_writer_adds_heartbeats(root: Path) -> None:
    with Writer(root).start("--heartbeat-seconds", "1") as writer:
        wait_until(lambda: writer.status().size > 2, 10, "second heartbeat")
        kinds = [record["type"] for record in opened(writer)]
    assert kinds[:3] == ["epoch-open", "heartbeat", "heartbeat"]


def test_a_full_epoch_is_followed_by_the_next_while_clients_write(root: Path) -> None:
    with Writer(root).start("--epoch-records", "20") as writer:
        client = AuditClient(writer.socket, timeout=10)
        for number in range(60):
            client.append(RecordType.PROMPT, actor="a", meta={"n": number})
            if number % 20 == 19:
                wait_for_epoch(writer, number // 20 + 1)
        client.close()
        report = verify(writer)
        assert report["verdict"] == "intact"
        assert report["epochs"] == 4
        numbers = [r["meta"]["meta"]["n"] for r in opened(writer) if r["type"] == "prompt"]
        assert numbers == list(range(60))


def wait_for_epoch(writer: Writer, number: int) -> None:
    wait_until(lambda: (writer.status().epoch or 0) >= number, 10, f"epoch {number}")


def test_a_running_log_verifies_while_it_grows(writer: Writer, client: AuditClient) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            client.append(RecordType.PROMPT, actor="a", meta={})

    thread = threading.Thread(target=write)
    thread.start()
    try:
        sizes = [verify(writer)["records"] for _ in range(4)]
    finally:
        stop.set()
        thread.join()
    assert sizes == sorted(set(sizes))


def test_who_comes_alone_after_a_crowd_is_answered(writer: Writer, client: AuditClient) -> None:
    """A commit waits for as many as the last one had, but not for ever."""

    def several() -> None:
        for _ in range(5):
            client.append(RecordType.PROMPT, actor="a", meta={})

    before = writer.status().size
    crowd = [threading.Thread(target=several) for _ in range(16)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    several()
    assert writer.status().size - before >= 17 * 5
