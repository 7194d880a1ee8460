"""Opening a running stack's audit log with the demo keys of both officers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from appliance.settings import Settings
from audit.age import Identity
from audit.leaf import LeafFlag
from audit.officers import GROUPS
from audit.opening import (
    ClosedRecord,
    OpenedRecord,
    epoch_secrets,
    epoch_spans,
    log_name,
    open_epoch,
)
from audit.reader import open_rows, subject_keys
from audit.rows import Row
from audit.verify import verify_log


@dataclass(frozen=True)
class Record:
    """One record, opened; the writer's own records have no actor."""

    index: int
    event: str
    type: str
    actor: str | None
    subject: str | None
    meta: dict[str, Any]
    content: dict[str, Any] | None


def read_records(settings: Settings) -> list[Record]:
    """All records of the log, in order."""
    with open_rows(settings.audit) as rows:
        report = verify_log(rows, settings.audit)
        spans = epoch_spans(report.openings, report.records)
        secrets, _ = epoch_secrets(spans, _officers(settings))
        log = log_name(report.openings[0][2])
        keys = subject_keys(rows, settings.audit, report.erased)
        opened = (open_epoch(rows, one, secrets[one.number], log, _all, keys) for one in spans)
        return [_record(one) for epoch in opened for one in epoch]


def find(records: Iterable[Record], record_id: str) -> tuple[Record, Record]:
    """The begin record of this id, and its end record."""
    found = list(records)
    (begin,) = (one for one in found if one.event == record_id)
    (end,) = (one for one in found if one.meta.get("begin") == record_id)
    return begin, end


def _all(_: Row) -> bool:
    return True


def _record(opened: OpenedRecord | ClosedRecord) -> Record:
    assert isinstance(opened, OpenedRecord), opened
    sealed = not opened.leaf.flags & LeafFlag.PLAIN_META
    return Record(
        index=opened.leaf.index,
        event=opened.event,
        type=opened.leaf.kind.label,
        actor=opened.actor,
        subject=opened.subject,
        meta=opened.meta.get("meta", {}) if sealed else opened.meta,
        content=opened.content,
    )


def _officers(settings: Settings) -> list[Identity]:
    folder = settings.root / "officers"
    lines = [(folder / f"{group}.key").read_text("utf-8").splitlines()[-1] for group in GROUPS]
    return [Identity.parse(line) for line in lines]
