from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.host import process_log
from appliance.host.process_log import ProcessLog


def test_lines_are_whole_however_the_bytes_come(tmp_path: Path) -> None:
    log = ProcessLog(tmp_path / "x.log")
    for piece in (b"one\ntw", b"o\n", b"thr", b"ee"):
        log.feed(piece)
    log.close()
    assert (tmp_path / "x.log").read_text() == "one\ntwo\nthree\n"
    assert log.tail() == ["one", "two", "three"]


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    ProcessLog(tmp_path / "x.log").close()
    assert stat.S_IMODE((tmp_path / "x.log").stat().st_mode) == 0o600


def test_the_tail_forgets_an_earlier_life(tmp_path: Path) -> None:
    log = ProcessLog(tmp_path / "x.log")
    log.feed(b"old\n")
    log.forget()
    log.feed(b"new\n")
    assert log.tail() == ["new"]
    log.close()


def test_a_full_file_is_put_aside_and_few_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_log, "_FILE_BYTES", 1000)
    log = ProcessLog(tmp_path / "x.log")
    for number in range(500):
        log.feed(b"line %d\n" % number)
    log.close()
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["x.log", "x.log.1", "x.log.2", "x.log.3"]
    assert max(path.stat().st_size for path in tmp_path.iterdir()) <= 1000
    assert (tmp_path / "x.log").read_text().splitlines()[-1] == "line 499"


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    log = ProcessLog(tmp_path / "x.log")
    for _ in range(20):
        log.feed(b"x" * 10_000)
    log.close()
    assert len((tmp_path / "x.log").read_text().replace("\n", "")) == 200_000


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_no_bytes_break_it(pieces: list[bytes]) -> None:
    log = ProcessLog(Path("/dev/null"))
    for piece in pieces:
        log.feed(piece)
    log.close()
