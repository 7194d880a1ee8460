"""Disks that fill, files that vanish, databases that know less than the head: it fails closed."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from audit.client import AuditClient, LogUnavailableError, RecordType
from audit.head import read_head
from tests.service.audit.harness import Writer, opened, verify
from tests.support.wait import wait_until


def append(client: AuditClient, text: str = "x") -> str:
    return client.append(RecordType.PROMPT, actor="a", meta={}, content={"text": text}).event


@pytest.fixture
def small_disk(root: Path) -> Iterator[Callable[[str], Path]]:
    """Makes filesystems of 1 MiB."""
    mounted = []

    def make(name: str) -> Path:
        folder = root / name
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], check=True)
        mounted.append(folder)
        return folder

    yield make
    for folder in mounted:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path) -> Path:
    """Leave no room on a filesystem."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65536, 4096):
            try:
                while True:
                    file.write(os.urandom(size))
            except OSError:
                continue
    return ballast


def append_until_refused(
    client: AuditClient, acknowledged: list[str], text: str = "x"
) -> LogUnavailableError:
    # The head file writes room for some 170 entries ahead.
    for _ in range(400):
        try:
            acknowledged.append(append(client, text))
        except LogUnavailableError as refusal:
            return refusal
    raise AssertionError("400 records were taken")


@pytest.mark.root
@pytest.mark.parametrize("full", ["database", "head"])
def test_a_full_disk_acknowledges_nothing_and_the_log_resumes_when_there_is_room(
    root: Path, small_disk: Callable[[str], Path], full: str
) -> None:
    disk = small_disk("disk")
    places = {"log": disk / "log"} if full == "database" else {"head": disk / "head.log"}
    client = AuditClient(root / "s", timeout=10)
    with Writer(root, **places) as writer:
        acknowledged = [append(client)]
        ballast = fill(disk)
        text = os.urandom(20_000).hex() if full == "database" else "x"
        refusal = append_until_refused(client, acknowledged, text)
        assert refusal.code in ("not_durable", "no_room")
        status = writer.status()
        assert status.health in ("not_durable", "no_room")
        assert "resumes by itself" in status.reason
        ballast.unlink()
        writer.wait_health("ok")
        acknowledged.append(append(client))
        client.close()
        assert writer.stop() == 0
        assert verify(writer)["verdict"] == "intact"
        stored = {record["event"] for record in opened(writer)}
        assert set(acknowledged) <= stored


def test_an_unlinked_database_is_refused_until_it_is_restored(
    writer: Writer, client: AuditClient
) -> None:
    append(client)
    aside = writer.root / "aside"
    writer.database.rename(aside)
    with pytest.raises(LogUnavailableError, match="removed or replaced") as caught:
        append(client)
    assert caught.value.code == "read_only"
    with pytest.raises(LogUnavailableError, match="removed or replaced"):
        append(client)
    assert client.status().health == "read_only"
    writer.stop()
    aside.rename(writer.database)
    writer.start()
    append(client)
    assert verify(writer)["verdict"] == "intact"


def test_an_older_copy_of_the_database_is_refused_with_the_remedy(
    writer: Writer, client: AuditClient
) -> None:
    append(client)
    writer.stop()
    copy = writer.root / "copy"
    shutil.copytree(writer.log, copy)
    writer.start()
    for _ in range(3):
        append(client)
    writer.stop()
    newer = writer.root / "newer"
    writer.log.rename(newer)
    copy.rename(writer.log)
    writer.start()
    status = client.status()
    assert status.health == "read_only"
    assert "are missing" in status.reason
    assert "restore the newest audit.db" in status.reason
    with pytest.raises(LogUnavailableError, match="are missing") as caught:
        append(client)
    assert caught.value.code == "read_only"
    writer.stop()
    assert any("missing" in p["text"] for p in verify(writer, status=1)["problems"])
    shutil.rmtree(writer.log)
    newer.rename(writer.log)
    writer.start()
    append(client)


def test_a_database_that_is_cut_in_the_middle_is_refused(
    writer: Writer, client: AuditClient
) -> None:
    for _ in range(20):
        append(client, "y" * 5000)
    writer.stop()
    whole = writer.database.read_bytes()
    writer.database.write_bytes(whole[: len(whole) // 2])
    writer.start()
    status = client.status()
    assert status.health == "read_only"
    assert "restore" in status.reason.lower()
    writer.stop()
    verify(writer, status=1)


@pytest.mark.parametrize("share", [0.1, 0.4, 0.7, 0.9, 0.99])
def test_a_flipped_bit_in_the_wal_after_a_crash_is_noticed(root: Path, share: float) -> None:
    """SQLite silently drops the rest of a WAL behind a bad frame; only the head knows better."""
    client = AuditClient(root / "s", timeout=10)
    with Writer(root) as writer:
        for _ in range(12):
            append(client)
        size = client.status().size
        client.close()
        # The head holds a batch before the next one is acknowledged: the last may be on its way.
        wait_until(
            lambda: f"\n{size}\n" in [*read_head(writer.head)][-1], 10, "head of the last one"
        )
        writer.kill()
        wal = writer.database.with_name("audit.db-wal")
        data = bytearray(wal.read_bytes())
        data[int(len(data) * share)] ^= 1
        wal.write_bytes(data)
        writer.start()
        assert writer.status().health == "read_only"
        assert "are missing" in writer.status().reason or "holds" in writer.status().reason


def test_rows_that_somebody_else_wrote_stop_the_log_within_a_minute(
    writer: Writer, client: AuditClient
) -> None:
    writer.stop()
    writer.start("--compare-seconds", "1")
    append(client)
    with sqlite3.connect(writer.database, isolation_level=None) as other:
        other.execute("INSERT INTO checkpoints VALUES (99, 'forged')")
    other.close()
    status = writer.wait_health("read_only")
    assert "somebody changed it" in status.reason
    with pytest.raises(LogUnavailableError):
        append(client)


def test_the_guards_refuse_updates_and_deletes(writer: Writer, client: AuditClient) -> None:
    append(client)
    with sqlite3.connect(writer.database, isolation_level=None) as other:
        for table in ("log", "leaves", "blobs", "checkpoints"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                other.execute(f"DELETE FROM {table}")  # noqa: S608
    other.close()


def test_a_removed_head_file_stops_the_log(writer: Writer, client: AuditClient) -> None:
    append(client)
    text = writer.head.read_bytes()
    writer.head.unlink()
    assert append_until_refused(client, []).code in ("not_durable", "read_only")
    assert writer.wait_health("read_only").reason
    writer.stop()
    writer.head.write_bytes(text)
    writer.start()
    append(client)
    assert verify(writer)["verdict"] == "intact"
