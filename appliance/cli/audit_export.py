"""An export of the log, with the records that say who made it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appliance.cli.common import actor
from audit.cli.progress import show_progress
from audit.client import AuditClient, RecordType
from audit.export.make import Exported, begun, between, make_export, whole
from audit.onefile import build_tool
from audit.reader import open_rows
from audit.socketkeys import SocketKeys


def exported(
    log: AuditClient,
    folder: Path,
    out: Path,
    since: datetime | None,
    until: datetime | None,
    reason: str | None,
) -> Exported:
    """Write an export, or go on with one; the log has a record before a byte leaves it.

    Args:
        log: the writer's client.
        folder: the log's folder.
        out: the export's.
        since: first moment whose blobs are wanted, UTC, or None.
        until: moment before which they end, UTC, or None.
        reason: why, for the officers.

    Raises:
        LogUnavailableError: the log takes no record, so nothing is exported.
        ExportError: the folder holds something else, or its disk refuses.
    """
    asked = {"since": _text(since), "until": _text(until), "resumed": begun(out) is not None}
    _record(log, "begun", asked, reason)
    with open_rows(folder) as rows:
        facts = begun(out) or between(rows, whole(rows), _ns(since), _ns(until))
        progress, keys = show_progress("exported"), SocketKeys(log)
        done = make_export(rows, out, facts, progress, keys=keys, tool=build_tool())
    found = {"records": facts.size, "first": facts.first, "end": facts.end, "sha256": done.digest}
    _record(log, "finished", found, reason)
    return done


def _record(log: AuditClient, what: str, facts: dict[str, Any], reason: str | None) -> None:
    meta = {"event": f"audit:export:{what}", **facts}
    content = None if reason is None else {"reason": reason}
    log.append(RecordType.ACCESS, actor=actor(), meta=meta, content=content)


def _text(when: datetime | None) -> str | None:
    return None if when is None else when.replace(tzinfo=UTC).isoformat()


def _ns(when: datetime | None) -> int | None:
    return None if when is None else int(when.replace(tzinfo=UTC).timestamp()) * 1_000_000_000
