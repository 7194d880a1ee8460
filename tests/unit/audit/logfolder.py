"""A small log with two officers, written by the real journal with a clock that tests can set."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from audit.age import Identity
from audit.officers import Officer, Officers, save_officers
from audit.payloads import EpochLimits
from audit.protocol import Receipt
from audit.reader import open_rows
from audit.report import Report
from audit.retention import Days
from audit.signer import signer_of
from audit.uuid7 import uuid7
from audit.verify import verify_log
from audit.writer.adopt import JournalSettings
from audit.writer.clock import Clock, Instant
from audit.writer.journal import Journal
from audit.writer.request import AppendRequest, parse_append

ORIGIN = "cloister-test/audit"


@dataclass
class SettableClock(Clock):
    """Both clocks, moved by hand."""

    wall: int = 1_795_000_000_000_000_000
    boot: int = 1_000_000_000_000
    boot_name: bytes = bytes(range(16))

    def now(self) -> Instant:
        self.advance(0.001)
        return Instant(self.wall, self.boot)

    def boot_id(self) -> bytes:
        return self.boot_name

    def advance(self, seconds: float) -> None:
        self.wall += int(seconds * 1e9)
        self.boot += int(seconds * 1e9)


@dataclass
class LogFolder:
    """A log on disk and what belongs to it."""

    root: Path
    compliance: Identity
    security: Identity
    clock: SettableClock = field(default_factory=SettableClock)

    @property
    def settings(self) -> JournalSettings:
        return JournalSettings(
            folder=self.root / "log",
            head=self.root / "head.log",
            officers=self.root / "officers.json",
            origin=ORIGIN,
        )

    @property
    def identities(self) -> list[Identity]:
        return [self.compliance, self.security]

    def journal(self, limits: EpochLimits | None = None, retention: Days | None = None) -> Journal:
        settings = dataclasses.replace(
            self.settings, limits=limits or EpochLimits(), retention=retention or {}
        )
        journal = Journal(settings, self.clock)
        journal.open()
        return journal

    def verify(self) -> Report:
        with open_rows(self.settings.folder) as rows:
            return verify_log(rows, self.settings.folder, head=self.settings.head)


def request(
    text: str = "What is the dose?",
    kind: str = "prompt",
    event: UUID | None = None,
    subject: str | None = None,
    retention: str | None = None,
    **meta: object,
) -> AppendRequest:
    """A request as a client would send it."""
    return parse_append(
        {
            "op": "append",
            "type": kind,
            "actor": "m.keller",
            "subject": subject,
            "meta": {"task": "triage", **meta},
            "content": {"text": text},
            "event": str(event or uuid7()),
            "retention": retention,
        }
    )


def append(journal: Journal, *requests: AppendRequest) -> list[Receipt]:
    """Append, let the head follow, and return the receipts."""
    done = journal.append(requests)
    journal.write_head(done.notes)
    receipts = [outcome for outcome in done.outcomes if isinstance(outcome, Receipt)]
    assert len(receipts) == len(requests)
    return receipts


def officer(name: str, identity: Identity) -> Officer:
    return Officer(name, identity.recipient, str(signer_of(identity)))


def make_folder(root: Path) -> LogFolder:
    """An empty place for a log, with one officer in each group."""
    root.mkdir()
    folder = LogFolder(root, Identity.generate(), Identity.generate())
    members = {
        "compliance": (officer("A. Officer", folder.compliance),),
        "security": (officer("B. Officer", folder.security),),
    }
    save_officers(folder.settings.officers, Officers(members))
    return folder
