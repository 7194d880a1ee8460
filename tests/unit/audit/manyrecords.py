"""A log with one record of each kind that people make, and values that formats have to escape."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from audit.formats.choose import Choice, chosen_records
from audit.formats.convert import FORMS
from audit.opening import OpenedRecord, epoch_secrets, epoch_spans
from audit.reader import open_records, subject_keys
from audit.verify import verify_log
from audit.writer.request import AppendRequest, parse_append
from tests.unit.audit.logfolder import ORIGIN, LogFolder, append, make_folder

PROMPT = UUID("019a2f30-7c1e-7d3a-9f00-5b1c2d3e4f50")
DIGEST = "ab" * 32
SECRET = "the patient's secret"
NASTY = '=cmd|"x"\\ a=b ] \n\r\u2028 <b>'


def make_log(root: Path) -> LogFolder:
    """Prompt, answer, failure, sign-in, refusal, change, look, fault; then the epoch is closed."""
    folder = make_folder(root)
    journal = folder.journal()
    asked = {"source": "api", "address": "10.1.2.3", "task": "triage", "model": "assistant"}
    answered = {
        **asked, "begin": str(PROMPT), "answered_by": "tiny", "model_digest": DIGEST,
        "prompt_tokens": 12, "completion_tokens": 30, "outcome": "answered", "duration_ms": 250,
        "finish_reason": "stop", "checks": {"complete": True},
    }  # fmt: skip
    failed = {**answered, "outcome": "error:engine_lost", "address": "2001:db8::1"}
    records: list[tuple[str, dict[str, object], str | None, UUID | None]] = [
        ("prompt", asked, "case-7", PROMPT),
        ("answer", answered, "case-7", None),
        ("answer", failed, None, None),
        ("auth", {"event": "identity:session:opened"}, None, None),
        ("auth", {"event": "identity:session:refused", "address": "nonsense"}, None, None),
        ("admin", {"event": "engine:model:imported", "model": NASTY}, None, None),
        ("access", {"event": "audit:export:begun"}, None, None),
        ("fault", {"event": "tasks:request:refused", "status": 404}, None, None),
    ]
    append(journal, *(_request(*each) for each in records))
    journal.close()
    return folder


def _request(
    kind: str, meta: dict[str, object], subject: str | None, event: UUID | None
) -> AppendRequest:
    found: dict[str, object] = {
        "op": "append", "type": kind, "actor": "=m.keller", "subject": subject, "meta": meta,
        "content": {"text": f"{SECRET} {NASTY}"},
    }  # fmt: skip
    if event is not None:
        found["event"] = str(event)
    return parse_append(found)


def opened(folder: LogFolder, choice: Choice | None = None) -> list[OpenedRecord]:
    """Its records, by both officers' keys."""
    choice = choice or Choice()
    with open_records(folder.settings.folder) as rows:
        report = verify_log(rows, folder.settings.folder)
        spans = epoch_spans(report.openings, report.records)
        secrets, _ = epoch_secrets(spans, folder.identities)
        keys = subject_keys(rows, folder.settings.folder, report.erased)
        found = list(chosen_records(rows, spans, secrets, choice, subjects=keys))
    records = [record for record in found if isinstance(record, OpenedRecord)]
    assert len(records) == len(found)
    return records


def written(form: str, records: list[OpenedRecord]) -> bytes:
    return b"".join(FORMS[form].pieces(ORIGIN, records))
