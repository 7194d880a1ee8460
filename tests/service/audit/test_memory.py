"""The writer is small, and its memory does not open what it has sealed before."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from audit.age import decrypt
from audit.client import AuditClient, RecordType
from audit.keyfile import read_identities
from audit.officers import GROUPS
from audit.opening import epoch_secrets, epoch_spans
from audit.ratchet import CONTENTS, METADATA, Ratchet
from audit.reader import open_rows
from audit.verify import verify_log
from tests.service.audit.harness import Writer

MAX_PRIVATE = 28_000
"""KiB of the process's own. Pages of libraries are not counted: how many of them are resident is
the kernel's read-ahead, not the writer."""


def pid_of(writer: Writer) -> int:
    assert writer.process is not None
    return writer.process.pid


def private_memory(pid: int) -> int:
    """Resident memory in KiB that belongs to this process alone."""
    match = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert match is not None
    return int(match[1])


def test_the_writer_stays_small_and_does_not_grow_with_the_log(
    writer: Writer, client: AuditClient
) -> None:
    def append(count: int) -> None:
        for _ in range(count):
            client.append(RecordType.PROMPT, actor="a", meta={}, content={"text": "x" * 4096})

    append(300)
    early = private_memory(pid_of(writer))
    append(600)
    assert private_memory(pid_of(writer)) < min(MAX_PRIVATE, early + 3_000)


def test_no_core_is_written_and_no_fellow_process_reads_the_memory(writer: Writer) -> None:
    limits = Path(f"/proc/{pid_of(writer)}/limits").read_text()
    assert re.search(r"Max core file size\s+0\s+0", limits)


@pytest.mark.root
def test_a_root_who_takes_the_memory_finds_no_key_of_an_earlier_record(
    writer: Writer, client: AuditClient
) -> None:
    for number in range(20):
        client.append(RecordType.PROMPT, actor="a", meta={}, content={"n": number})
    memory = writable_memory(pid_of(writer))
    secrets = past_secrets(writer)
    assert len(secrets) > 20 * 3
    for name in ("metadata", "contents"):
        current = secrets.pop(f"current state of {name}")
        assert current in memory, "the search does not find what must be there"
    found = [name for name, secret in secrets.items() if secret in memory]
    assert found == []


def past_secrets(writer: Writer) -> dict[str, bytes]:
    """Every key of the first twenty records, and the epoch's secret."""
    identities = [
        identity for name in ("a.key", "b.key") for identity in read_identities(writer.root / name)
    ]
    with open_rows(writer.log) as rows:
        report = verify_log(rows, writer.log)
    spans = epoch_spans(report.openings, report.records)
    secrets, _ = epoch_secrets(spans, identities)
    opened = secrets[0]
    found = {"secret of metadata": bytes(opened.metadata), "of contents": bytes(opened.contents())}
    for name, ratchet in (
        ("metadata", Ratchet(bytearray(opened.metadata), METADATA)),
        ("contents", Ratchet(opened.contents(), CONTENTS)),
    ):
        for number in range(20):
            found[f"state {number} of {name}"] = bytes(ratchet._state)
            found[f"key {number} of {name}"] = bytes(ratchet.key()[:32])
            ratchet.advance()
        ratchet.advance()
        found[f"current state of {name}"] = bytes(ratchet._state)
    for group, identity in zip(GROUPS, identities, strict=True):
        grant = decrypt(spans[0].opening.grants[group], [identity])
        found[f"share of {group}"] = grant[-65:-1]
        found[f"raw share of {group}"] = bytes.fromhex(grant[-65:-1].decode())
        found[f"metadata in the grant of {group}"] = grant.splitlines()[4].split()[1]
    return found


def writable_memory(pid: int) -> bytes:
    """All that a process could have left secrets in."""
    parts = []
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb") as memory:
        for line in maps:
            span, mode, *_ = line.split()
            if not mode.startswith("rw") or "[v" in line:
                continue
            start, end = (int(number, 16) for number in span.split("-"))
            memory.seek(start)
            try:
                parts.append(memory.read(end - start))
            except OSError:
                continue
    return b"".join(parts)
