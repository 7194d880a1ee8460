"""The comparison as a whole, with the engine as its own peer."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.benchmarks.weights import REPOSITORY


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.benchmarks.serving", "--threads", "1", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("servers", [(), ("--together",)])
def test_triage_is_measured_on_both_sides_and_all_answers_are_valid(
    servers: tuple[str, ...],
) -> None:
    done = _run(
        *("--workload=triage", "--clients=2", "--requests=3", "--rounds=1", "--json"),
        *("--variant=small steps=--step-tokens 64", *servers),
    )
    assert (done.returncode, done.stderr) == (0, "")
    ((title, sides),) = json.loads(done.stdout)["workloads"].items()
    assert title == "triage, 600 + 30 in, form of 8 fields, 2 clients"
    assert list(sides) == ["cloister", "small steps"]
    for (figures,) in sides.values():
        assert figures["valid"] == 1
        assert figures["prompt"] > 630
        assert figures["valid_per_cpu"] == pytest.approx(1 / figures["cpu"])
        assert 0 < figures["first"] < figures["wall"] * 3 * 1e3


def test_what_can_not_be_measured_is_said_in_one_line() -> None:
    assert _run("--model=nowhere.gguf").stderr == (
        "serving: --model nowhere.gguf: no such file; or one of demo, 1b, 7b\n"
    )
    assert "docs/benchmarks.md builds it" in _run("--llama-server=nowhere").stderr
