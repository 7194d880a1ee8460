"""kill -9 at any moment: what was acknowledged is there, and the log goes on by itself."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

from audit.client import AuditClient, LogUnavailableError, Receipt, RecordType
from tests.service.audit.harness import Writer, opened, verify
from tests.support.wait import wait_until

KILLS = 12
MANY_KILLS = 500
CLIENTS = 6


def test_every_acknowledged_record_survives_a_kill_at_any_moment(root: Path) -> None:
    kill_often(root, KILLS)


@pytest.mark.exhaustive
@pytest.mark.timeout(3600)
def test_every_acknowledged_record_survives_five_hundred_kills(root: Path) -> None:
    kill_often(root, MANY_KILLS)


def kill_often(root: Path, kills: int) -> None:
    """Kill a writer under load at random moments, and look for every acknowledged record."""
    chance = random.Random(20261123)  # noqa: S311 - moments to kill at, nothing secret
    acknowledged: list[Receipt] = []
    lock = threading.Lock()

    def write(client: AuditClient) -> None:
        try:
            while True:
                receipt = client.append(
                    RecordType.PROMPT, actor="a", meta={}, content={"text": "x" * 2000}
                )
                with lock:
                    acknowledged.append(receipt)
        except LogUnavailableError:
            return

    writer = Writer(root)
    for _ in range(kills):
        writer.start()
        clients = [AuditClient(writer.socket) for _ in range(CLIENTS)]
        threads = [threading.Thread(target=write, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        threading.Event().wait(chance.uniform(0.05, 0.6))
        writer.kill()
        for thread in threads:
            thread.join()
        for client in clients:
            client.close()
    with writer:
        writer.stop()
    report = verify(writer)
    assert report["verdict"] == "intact"
    assert report["epochs"] == kills + 1
    unclean = [remark for remark in report["remarks"] if "ended unclean" in remark]
    assert len(unclean) == kills
    stored = {record["event"]: record["index"] for record in opened(writer)}
    assert len(acknowledged) > kills
    for receipt in acknowledged:
        assert stored[receipt.event] == receipt.index


def test_a_kill_while_the_first_epoch_opens_leaves_a_log_that_opens(root: Path) -> None:
    for delay in (0.2, 0.3, 0.4, 0.6):
        writer = Writer(root / f"at-{delay}")
        process = writer.spawn()
        threading.Event().wait(delay)
        process.kill()
        process.wait()
        with writer:
            assert writer.status().health == "ok"
            writer.stop()
        assert verify(writer)["verdict"] == "intact"


def test_an_orderly_stop_under_load_answers_everybody_and_loses_nothing(root: Path) -> None:
    acknowledged: list[str] = []
    with Writer(root) as writer:
        client = AuditClient(writer.socket, timeout=10)

        def write() -> None:
            try:
                while True:
                    acknowledged.append(client.append(RecordType.PROMPT, actor="a", meta={}).event)
            except LogUnavailableError:
                return

        threads = [threading.Thread(target=write) for _ in range(8)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(acknowledged) > 50, 20, "fifty records")
        assert writer.stop() == 0
        for thread in threads:
            thread.join()
        client.close()
        assert "Traceback" not in writer.errors
        assert "exception" not in writer.errors
        assert set(acknowledged) <= {record["event"] for record in opened(writer)}
        assert not any("unclean" in remark for remark in verify(writer)["remarks"])


def test_an_orderly_stop_closes_the_epoch(writer: Writer, client: AuditClient) -> None:
    client.append(RecordType.PROMPT, actor="a", meta={})
    assert writer.stop() == 0
    assert not writer.socket.exists()
    assert opened(writer, "--last", "1")[0]["type"] == "epoch-close"
    assert not any("unclean" in remark for remark in verify(writer)["remarks"])
    assert not writer.database.with_name("audit.db-wal").exists()
