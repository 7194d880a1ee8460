"""`cloister-audit report`: the file that an officer gets, and what others' programs read in it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from audit.cli import report
from tests.service.audit.harness import call_tool, tool
from tests.support.peers import PYTHON, ask_peer
from tests.unit.audit.exportfolder import Export
from tests.unit.audit.logfolder import LogFolder
from tests.unit.audit.manyrecords import make_log

ROOT = Path(__file__).parents[3]
READ = """
import sys
import pypdfium2
document = pypdfium2.PdfDocument(sys.stdin.buffer.read())
print(len(document))
for page in document:
    print(page.get_textpage().get_text_bounded())
    assert [round(side) for side in page.get_size()] == [595, 842]
    page.render()
"""


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> LogFolder:
    folder = make_log(tmp_path_factory.mktemp("report") / "one")
    (folder.root / "a.key").write_text(f"{folder.compliance}\n")
    Export.make(folder, folder.root / "export")
    return folder


def command(log: LogFolder, path: Path, *more: str) -> list[str | Path]:
    return ["report", log.root / "export", "--key", log.root / "a.key", "-o", path, *more]


def test_one_officer_writes_a_page(log: LogFolder, tmp_path: Path) -> None:
    for name in ("one.html", "two.html"):
        tool(*command(log, tmp_path / name))
    text = (tmp_path / "one.html").read_text()
    assert "<b>INTACT</b>" in text
    assert text == (tmp_path / "two.html").read_text()
    status, _, _ = call_tool(*command(log, tmp_path / "none.html", "--until", "2020-01-01"))
    assert status == 0
    assert "<b>0</b>records" in (tmp_path / "none.html").read_text()


def test_a_changed_export_has_a_report_that_says_so(log: LogFolder, tmp_path: Path) -> None:
    export = Export.make(log, tmp_path / "changed")
    export.write("log/checkpoints", export.read("log/checkpoints") + b"x")
    status, _, errors = call_tool(
        "report", export.folder, "--key", log.root / "a.key", "-o", tmp_path / "r.html"
    )
    assert status == 1
    assert "TAMPERED" in errors


def test_what_was_seen_outside_lowers_the_exposure(log: LogFolder, tmp_path: Path) -> None:
    kept = tmp_path / "kept.note"
    kept.write_text((log.root / "export/log/checkpoint").read_text())
    tool(*command(log, tmp_path / "seen.html", "--seen", str(kept)))
    text = (tmp_path / "seen.html").read_text()
    assert "<b>0</b>seen by no outsider" in text
    assert "10 records, kept outside" in text
    for wrong in (["--seen", "/nonexistent"], ["--witness", "nobody"]):
        status, _, errors = call_tool(*command(log, tmp_path / "r.html", *wrong))
        assert status == 4
        assert "cloister-audit" in errors


def test_another_ending_is_refused(log: LogFolder, tmp_path: Path) -> None:
    status, _, errors = call_tool(*command(log, tmp_path / "report.docx"))
    assert status == 4
    assert ".html or .pdf" in errors


def test_without_reportlab_the_way_to_a_pdf_is_told(
    log: LogFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "can_write_pdf", lambda: False)
    status, _, errors = call_tool(*command(log, tmp_path / "report.pdf"))
    assert status == 4
    assert "pip install reportlab" in errors
    assert "report.html" in errors


def test_with_reportlab_it_is_a_pdf_of_a4_pages_that_others_read(
    log: LogFolder, tmp_path: Path
) -> None:
    if not PYTHON.exists():
        pytest.skip("no .venv-peers here, so NO PDF was written: make peers")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    files = [tmp_path / name for name in ("one.pdf", "two.pdf")]
    for path in files:
        given = [PYTHON, "-m", "audit.cli", *command(log, path)]
        done = subprocess.run(given, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert files[0].read_bytes() == files[1].read_bytes()
    text = ask_peer(READ, files[0].read_bytes())
    for word in ("INTACT", "Answers by day", "triage", "Looks at the log", "Page 1"):
        assert word in text
