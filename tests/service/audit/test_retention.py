"""Terms of contents, as the writer's options and its clients name them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from audit.client import AuditClient, RecordRefusedError, RecordType
from audit.leaf import Leaf
from audit.reader import open_rows
from audit.retention import Retention
from tests.service.audit.harness import Writer, verify


def test_each_record_has_its_class_in_its_leaf(writer: Writer, client: AuditClient) -> None:
    classes: list[str | None] = ["short", None, "long", "permanent"]
    receipts = [
        client.append(RecordType.PROMPT, actor="a", meta={}, retention=label) for label in classes
    ]
    with open_rows(writer.log) as rows:
        leaves = [Leaf.unpack(rows.leaf(receipt.index)) for receipt in receipts]
    assert [Retention.of(leaf).label for leaf in leaves] == [c or "standard" for c in classes]
    assert verify(writer)["verdict"] == "intact"


def test_an_unknown_class_is_refused(client: AuditClient) -> None:
    with pytest.raises(RecordRefusedError, match="'retention' must be one of"):
        client.append(RecordType.PROMPT, actor="a", meta={}, retention="week")


def test_the_same_event_with_another_class_is_another_record(client: AuditClient) -> None:
    first = client.append(RecordType.PROMPT, actor="a", meta={}, retention="short")
    with pytest.raises(RecordRefusedError, match="recorded already"):
        client.append(RecordType.PROMPT, actor="a", meta={}, event=first.event, retention="long")


def test_nothing_is_pruned_before_its_time(writer: Writer) -> None:
    writer.stop()
    writer.start("--retain", "short=1", "--retain", "standard=2190")
    client = AuditClient(writer.socket, timeout=10)
    client.append(RecordType.PROMPT, actor="a", meta={}, retention="short")
    client.close()
    assert verify(writer)["pruned"] == 0


@pytest.mark.parametrize("wrong", ["week=1", "short=0", "short", "permanent=1", "short=x"])
def test_a_wrong_term_is_wrong_usage(wrong: str) -> None:
    command = [sys.executable, "-m", "audit.writer", "--retain", wrong]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "--retain" in done.stderr
    assert "Traceback" not in done.stderr
