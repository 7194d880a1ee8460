"""Opened records, written in one of the forms: streamed, the same bytes for the same records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from audit.formats import fhir
from audit.formats.event import Event
from audit.formats.jsonl import json_line
from audit.formats.lines import cef_line, syslog_line
from audit.formats.ocsf import ocsf_line
from audit.formats.table import HEADINGS, csv_line
from audit.opening import OpenedRecord


@dataclass(frozen=True, slots=True)
class Form:
    """A form that records are written in.

    Attributes:
        title: what it is, for people.
        line: writes one record.
        contents: whether it may hold names, prompts and answers.
        suffix: usual end of a file's name.
        media: its media type.
        head: in front of the first record.
        separator: between two records.
        tail: behind the last one; empty where there is none and `separator` ends each line.
    """

    title: str
    line: Callable[[Event], str]
    contents: bool
    suffix: str
    media: str
    head: str = ""
    separator: str = "\n"
    tail: str = ""

    def pieces(self, origin: str, records: Iterable[OpenedRecord]) -> Iterator[bytes]:
        """The file, piece by piece: at most one record is held.

        Args:
            origin: name of the log.
            records: in order, opened as far as they shall be told; without contents where the
                form takes none.
        """
        yield self.head.encode()
        for count, record in enumerate(records):
            line = self.line(Event(origin, record))
            between = self.separator if self.tail and count else ""
            end = "" if self.tail else self.separator
            # What a program sent may hold half a surrogate pair, which no encoding can write.
            yield (between + line + end).encode("utf-8", "backslashreplace")
        yield self.tail.encode()


FORMS: Final = {
    "jsonl": Form("JSON Lines", json_line, True, ".jsonl", "application/x-ndjson"),
    "ocsf": Form("OCSF API Activity", ocsf_line, True, ".ocsf.jsonl", "application/x-ndjson"),
    "cef": Form("CEF", cef_line, False, ".cef", "text/plain"),
    "syslog": Form("RFC 5424", syslog_line, False, ".log", "text/plain"),
    "fhir-r4": Form(
        "FHIR R4 AuditEvent", fhir.r4_entry, True, ".fhir-r4.json", "application/fhir+json",
        fhir.HEAD, fhir.SEPARATOR, fhir.TAIL,
    ),
    "fhir-r5": Form(
        "FHIR R5 AuditEvent", fhir.r5_entry, True, ".fhir-r5.json", "application/fhir+json",
        fhir.HEAD, fhir.SEPARATOR, fhir.TAIL,
    ),
    "csv": Form("CSV", csv_line, True, ".csv", "text/csv", HEADINGS, "\r\n"),
}  # fmt: skip
"""By the name that people type."""
