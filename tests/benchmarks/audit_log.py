"""Large logs for measurements: written by the real journal, without a disk's waits between."""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from audit.age import Identity
from audit.export.make import make_export, whole
from audit.opening import OpenedRecord, epoch_secrets, epoch_spans, log_name, open_epoch
from audit.reader import open_records, open_rows
from audit.verify import verify_log
from audit.writer.request import AppendRequest, parse_append
from tests.unit.audit.logfolder import LogFolder, make_folder

BATCH = 256
_R = TypeVar("_R")


@dataclass(frozen=True)
class Reading:
    """What reading a log took.

    Attributes:
        records: of the log.
        verify: records a second of one core's time.
        both: the same, verified and opened.
        memory: resident memory at its highest, MB.
    """

    records: int
    verify: float
    both: float
    memory: float


def make_log(root: Path, count: int, content: str) -> LogFolder:
    """A log of so many records.

    Args:
        root: a folder that does not exist yet.
        count: records, without those of the log itself.
        content: text of each record.
    """
    folder = make_folder(root)
    journal = folder.journal()
    for batch in _batches(count, content):
        folder.clock.advance(0.05)
        journal.append(batch)
        if journal.epoch_is_due():
            journal.next_epoch()
    journal.close()
    return folder


def read_log(folder: LogFolder) -> Reading:
    """Verify and open every record, as the officers' tool does."""
    before = time.process_time()
    with open_rows(folder.settings.folder) as rows:
        report = verify_log(rows, folder.settings.folder)
        verified = time.process_time()
        spans = epoch_spans(report.openings, report.records)
        secrets, _ = epoch_secrets(spans, folder.identities)
        name = log_name(report.openings[0][2])
        opened = sum(
            isinstance(record, OpenedRecord)
            for span in spans
            for record in open_epoch(rows, span, secrets[span.number], name, lambda _: True)
        )
    done = time.process_time()
    assert not report.problems, report.problems[:3]
    assert opened == report.records
    return Reading(
        report.records,
        report.records / (verified - before),
        report.records / (done - before),
        highest_memory(),
    )


def export_log(folder: LogFolder, out: Path) -> tuple[float, float, int]:
    """Export all and verify the export: seconds for each, and bytes."""
    started = time.perf_counter()
    with open_rows(folder.settings.folder) as rows:
        make_export(rows, out, whole(rows))
    exported = time.perf_counter()
    with open_records(out) as records:
        assert not verify_log(records, out).problems
    done = time.perf_counter()
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return exported - started, done - exported, size


def highest_memory() -> float:
    """Resident memory of this process at its highest, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def make_and_read(root: Path, count: int) -> Iterator[str]:
    """Make a log, read and export it, each in a process of its own, and say what it took.

    Args:
        root: a folder that does not exist yet.
        count: records.
    """
    keys = _apart(_make, root, count)
    reading = _apart(_read, root, keys)
    yield (
        f"log of {reading.records:>9} records: verify {reading.verify:8.0f} records/s of one core, "
        f"verify and open {reading.both:8.0f}, memory {reading.memory:6.1f} MB"
    )
    exporting, verifying, size, memory = _apart(_export, root, keys)
    yield (
        f"  export {count / exporting:8.0f} records/s, {size / 1e6:.1f} MB, verified at "
        f"{count / verifying:8.0f} records/s, memory {memory:6.1f} MB"
    )


def _make(root: Path, count: int) -> tuple[str, str]:
    folder = make_log(root, count, "Is this letter urgent? Please say why in one sentence.")
    return str(folder.compliance), str(folder.security)


def _read(root: Path, keys: tuple[str, str]) -> Reading:
    return read_log(_reopened(root, keys))


def _export(root: Path, keys: tuple[str, str]) -> tuple[float, float, int, float]:
    return *export_log(_reopened(root, keys), root / "export"), highest_memory()


def _reopened(root: Path, keys: tuple[str, str]) -> LogFolder:
    """The log in a folder that another process has made."""
    return LogFolder(root, *(Identity.parse(key) for key in keys))


def _apart(work: Callable[..., _R], *arguments: object) -> _R:
    """Run in a fresh process, whose memory then is only this work's."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def _batches(count: int, content: str) -> Iterator[list[AppendRequest]]:
    for start in range(0, count, BATCH):
        yield [_request(content) for _ in range(min(BATCH, count - start))]


def _request(content: str) -> AppendRequest:
    return parse_append(
        {
            "op": "append",
            "type": "auth",
            "actor": "m.keller",
            "subject": None,
            "meta": {"task": "triage", "model": "demo", "seed": 7},
            "content": {"text": content},
        }
    )
