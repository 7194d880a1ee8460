"""`cloister-audit keygen` and `recover`: keys under passphrases, and keys brought back."""

from __future__ import annotations

import io
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from audit.keyfile import read_identities, read_witness_key
from tests.service.audit.harness import call_tool, run_tool, tool
from tests.unit.audit.logfolder import append, make_folder, request

WORDS = "correct horse battery staple"
TYPE = """
import os, pty, sys
replies = sys.stdin.read().splitlines()
process, terminal = pty.fork()
if process == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
seen = b""
while True:
    try:
        data = os.read(terminal, 1024)
    except OSError:
        break
    seen += data
    sys.stdout.buffer.write(data)
    if not data:
        break
    if replies and seen.endswith(b": "):
        os.write(terminal, replies.pop(0).encode() + b"\\n")
        seen = b""
sys.exit(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
"""


def words(text: str) -> int:
    """A file descriptor that gives this text once."""
    reader, writer = os.pipe()
    os.write(writer, text.encode())
    os.close(writer)
    return reader


def on_terminal(typed: str, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program on a terminal of its own, and answer each prompt there with the next line."""
    return subprocess.run(
        [sys.executable, "-c", TYPE, *map(str, command)],
        input=typed, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def officer(path: Path, *arguments: str | Path) -> list[str | Path]:
    return ["keygen", "--name", "A. Officer", "--group", "compliance", "-o", path, *arguments]


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A locked key file and its public key."""
    path = tmp_path_factory.mktemp("keys") / "a.key"
    status, output, errors = call_tool(*officer(path, "--passphrase-fd", str(words(WORDS + "\n"))))
    assert status == 0, errors
    assert "not locked" not in errors
    return path, output.strip()


def test_a_locked_key_file_is_an_age_file_for_its_owner_alone(locked: tuple[Path, str]) -> None:
    path, public = locked
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes().startswith(b"age-encryption.org/v1\n-> scrypt ")
    (identity,) = read_identities(path, lambda name: WORDS)
    assert identity.recipient == public


def test_age_opens_a_locked_key_file(locked: tuple[Path, str]) -> None:
    done = on_terminal(WORDS + "\n", "age", "-d", locked[0])
    assert "AGE-SECRET-KEY-1" in done.stdout, done.stdout


def test_a_passphrase_is_typed_twice_and_asked_for_when_the_key_is_used(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    command = [sys.executable, "-m", "audit.cli", *officer(path, "--passphrase")]
    made = on_terminal(f"{WORDS}\n{WORDS}\n", *command)
    assert made.returncode == 0, made.stdout
    assert WORDS not in made.stdout
    assert read_identities(path, lambda name: WORDS)
    other = [sys.executable, "-m", "audit.cli", *officer(tmp_path / "b.key", "--passphrase")]
    differ = on_terminal(f"{WORDS}\n{WORDS}!\n", *other)
    assert differ.returncode == 4
    assert "differ" in differ.stdout
    assert not (tmp_path / "b.key").exists()


@pytest.mark.parametrize("text", ["short\n", ""])
def test_a_short_or_missing_passphrase_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    status, _, errors = call_tool(*officer(path, "--passphrase-fd", str(words(text))))
    assert status == 4
    assert "passphrase" in errors
    assert not path.exists()


def test_a_closed_file_descriptor_is_said(tmp_path: Path) -> None:
    status, _, errors = call_tool(*officer(tmp_path / "a.key", "--passphrase-fd", "987"))
    assert status == 4
    assert "--passphrase-fd 987" in errors


def test_without_a_terminal_the_other_way_is_named(locked: tuple[Path, str]) -> None:
    command = [sys.executable, "-m", "audit.cli", "search", locked[0].parent, "--key", locked[0]]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, start_new_session=True
    )
    assert done.returncode == 4
    assert "Traceback" not in done.stderr


def test_locked_keys_open_records(locked: tuple[Path, str], tmp_path: Path) -> None:
    log = make_folder(tmp_path / "one")
    log.settings.officers.unlink()
    for name, group in (("a", "compliance"), ("b", "security")):
        tool(
            "keygen", "--name", name, "--group", group, "-o", tmp_path / f"{name}.key",
            "--officers", log.settings.officers,
        )  # fmt: skip
        path = tmp_path / f"{name}.key"
        sealed = subprocess.run(
            [sys.executable, "-c", LOCK, path, WORDS + name], capture_output=True, check=True
        )
        path.write_bytes(sealed.stdout)
    journal = log.journal()
    append(journal, request("What is the dose?"))
    journal.close()
    keys = ["--key", tmp_path / "a.key", "--key", tmp_path / "b.key"]
    given = ["--passphrase-fd", str(words(f"{WORDS}a\n{WORDS}b\n"))]
    status, output, errors = call_tool("open", log.settings.folder, *keys, *given)
    assert status == 0, errors
    assert "What is the dose?" in output
    given = ["--passphrase-fd", str(words(f"{WORDS}a\n"))]
    status, _, errors = call_tool("open", log.settings.folder, *keys, *given)
    assert status == 4
    assert "ended before" in errors


LOCK = """
import sys
from audit.keyfile import lock
sys.stdout.buffer.write(lock(open(sys.argv[1]).read(), sys.argv[2], 10))
"""


# --- recovery ------------------------------------------------------------------------------------


def lines_of(page: Path) -> list[str]:
    return re.findall(r"<li[^>]*>([^<]+)</li>", page.read_text())


@pytest.mark.parametrize("kind", [[], ["--post-quantum"]])
def test_a_page_brings_an_officer_s_key_back(
    kind: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, page, again = (tmp_path / name for name in ("a.key", "a.html", "again.key"))
    public = tool(*officer(key, "--recovery", page, *kind))
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines_of(page)) + "\n"))
    status, output, errors = call_tool("recover", "-o", again)
    assert (status, output) == (0, public), errors
    assert [str(one) for one in read_identities(again)] == [
        str(one) for one in read_identities(key)
    ]


def test_a_page_brings_a_witness_s_key_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, page, again = (tmp_path / name for name in ("w.key", "w.html", "again.key"))
    made = ["keygen", "--name", "laptop", "--witness", "-o", key, "--recovery", page]
    public = tool(*made)
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines_of(page)) + "\n"))
    status, output, _ = call_tool("recover", "-o", again, "--name", "laptop")
    assert (status, output) == (0, public)
    assert read_witness_key(again).private_bytes_raw() == read_witness_key(key).private_bytes_raw()


def test_on_a_terminal_a_mistyped_line_is_asked_for_again(tmp_path: Path) -> None:
    key, page, again = (tmp_path / name for name in ("a.key", "a.html", "again.key"))
    public = tool(*officer(key, "--recovery", page))
    lines = lines_of(page)
    typed = "\n".join([lines[0], "nonsense!", lines[0], *lines[1:]]) + "\n"
    done = on_terminal(typed, sys.executable, "-m", "audit.cli", "recover", "-o", again)
    assert done.returncode == 0, done.stdout
    assert "Line 2 has eight letters" in done.stdout
    assert "Line 2 is mistyped" in done.stdout
    assert public.strip() in done.stdout


def test_lines_that_do_not_fit_write_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("0000-0000\n" * 9))
    status, _, errors = call_tool("recover", "-o", tmp_path / "again.key")
    assert status == 4
    assert "Line 1" in errors
    assert not (tmp_path / "again.key").exists()


def test_no_file_is_written_over(tmp_path: Path) -> None:
    page = tmp_path / "a.html"
    page.write_text("precious")
    done = run_tool(*officer(tmp_path / "a.key", "--recovery", page))
    assert done.returncode == 4
    assert not (tmp_path / "a.key").exists()
    done = run_tool("recover", "-o", page)
    assert (done.returncode, page.read_text()) == (4, "precious")


# --- officers of both kinds ----------------------------------------------------------------------


def test_a_group_with_keys_of_both_kinds_is_remarked(tmp_path: Path) -> None:
    officers = tmp_path / "officers.json"
    first = run_tool(*officer(tmp_path / "a.key", "--officers", officers, "--post-quantum"))
    assert "both kinds" not in first.stderr
    second = run_tool(*officer(tmp_path / "b.key", "--officers", officers))
    assert "The group compliance has keys of both kinds" in second.stderr
    assert run_tool(
        "keygen", "--name", "w", "--witness", "-o", tmp_path / "w.key", "--post-quantum"
    ).returncode == 4  # fmt: skip
