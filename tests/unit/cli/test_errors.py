"""Every error ends as one line for a person and an exit code for a program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy.exc import OperationalError

from appliance.cli import main as main_module
from appliance.cli.errors import describe
from appliance.cli.main import cli, main
from appliance.engine.errors import EngineError
from audit.errors import LogUnavailableError
from tests.support.cloister import CLOISTER, tiny_model_tree


def _call(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CLOISTER, *arguments],
        env={**os.environ, "CLOISTER_STATE": str(state)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["user", "add", "joy"],
        ["user", "list"],
        ["user", "disable", "joy"],
        ["user", "reset", "joy"],
        ["key", "add", "system"],
        ["key", "list"],
        ["key", "revoke", "system"],
        ["task", "run", "triage", "--input", "text=hello"],
        ["audit", "status"],
    ],
    ids=lambda arguments: "-".join(arguments[:2]),
)
def test_a_command_says_that_nothing_runs_and_makes_no_tree(
    tmp_path: Path, arguments: list[str]
) -> None:
    done = _call(tmp_path / "nothing", *arguments)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("Error: ")
    assert "cloister run" in done.stderr
    assert "CLOISTER_STATE" in done.stderr
    assert not (tmp_path / "nothing").exists()


def test_verify_without_a_log_has_an_exit_code_of_its_own(tmp_path: Path) -> None:
    done = _call(tmp_path, "audit", "verify")
    assert done.returncode == 4
    assert "audit.db" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["task", "run", "nope"], "deidentify"),
        (["task", "show", "nope"], "deidentify"),
        (["task", "run", "triage"], "inputs.text is required"),
        (["task", "run", "triage", "--input", "text"], "NAME=TEXT"),
        (["task", "run", "triage", "--input", "body=x"], "it has: text"),
        (["task", "run", "triage", "no-such-file"], "no-such-file"),
        (["model", "show", "nope"], "demo"),
        (["key", "add", "x", "--days", "0"], "days"),
        (["user", "add", "x", "--role", "boss"], "officer"),
        (["nope"], "nope"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_wrong_use_names_the_thing_and_what_there_is(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    tiny_model_tree(tmp_path / "var")
    done = _call(tmp_path / "var", *arguments)
    assert done.returncode in {1, 2}
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_one_file_too_many_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("hello")
    done = _call(tmp_path, "task", "run", "triage", str(file), str(file))
    assert done.returncode == 2
    assert "one file too many" in done.stderr


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.pdf"
    file.write_bytes(b"%PDF-\xff\xfe")
    done = _call(tmp_path, "task", "run", "triage", str(file))
    assert done.returncode == 1
    assert "a.pdf is no text in UTF-8" in done.stderr


@pytest.mark.parametrize(
    "error",
    [
        LogUnavailableError("The log is away. Start it."),
        EngineError(503, "x", "The engine does not answer."),
        OSError(13, "Permission denied", "/etc/x"),
        OperationalError("select 1", {}, Exception("a secret")),
        OSError("a secret"),
    ],
)
def test_errors_of_every_package_become_one_line(error: Exception) -> None:
    line = describe(error)
    assert len(line.splitlines()) == 1
    assert "a secret" not in line


def test_an_unexpected_error_shows_its_place_and_nothing_of_its_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its message may hold what somebody typed."""

    def broken(**_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(main_module, "cli", broken)
    with pytest.raises(SystemExit) as ended:
        main()
    shown = capsys.readouterr().err
    assert ended.value.code == 1
    assert "RuntimeError at" in shown
    assert "a secret" not in shown
    assert len(shown.splitlines()) == 1


def test_a_reader_that_goes_away_is_no_error() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"{CLOISTER} task list --json | head -c 1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""


def test_no_command_opens_anything_before_it_is_asked_to() -> None:
    """Help and shell completion stay quick: the heavy imports belong to the commands."""
    code = (
        "import sys, contextlib, io, appliance.cli.main as m\n"
        "sys.argv[1:] = ['--help']\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    m.main()\n"
        "print([x for x in ('sqlalchemy', 'httpx', 'flask', 'llama_cpp') if x in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_tasks_are_listed_without_anything_running() -> None:
    done = CliRunner().invoke(cli, ["task", "list"])
    assert done.exit_code == 0
    assert {"deidentify", "extract", "triage"} <= set(done.output.split())
