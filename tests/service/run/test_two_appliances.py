"""Two appliances witness each other: files go both ways, and neither signs what does not go on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.cloister import CLOISTER
from tests.support.records import read_records
from tests.support.stack import Stack


@dataclass
class House:
    """An appliance's log, and its command line."""

    stack: Stack
    folder: Path

    def call(self, *arguments: str | Path, status: int = 0) -> str:
        environment = {
            **os.environ,
            "CLOISTER_STATE": str(self.stack.settings.root),
            "CLOISTER_APPLIANCE_ID": self.stack.settings.appliance_id,
        }
        done = subprocess.run(
            [CLOISTER, "audit", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout if status == 0 else done.stderr

    @property
    def vkey(self) -> Path:
        return self.stack.settings.audit / "log.vkey"

    def request(self, name: str = "request.json") -> Path:
        self.call("checkpoint", "-o", self.folder / name)
        return self.folder / name


@pytest.fixture
def houses(tmp_path: Path) -> Iterator[list[House]]:
    found = []
    for name in ("ward-7", "ward-8"):
        folder = tmp_path / name
        folder.mkdir()
        found.append(House(Stack.start(folder, ("writer",), appliance_id=name), folder))
    yield found
    for house in found:
        house.stack.stop()


def test_each_is_the_others_witness(houses: list[House]) -> None:
    for one, other in (houses, houses[::-1]):
        note = one.folder / "note"
        said = other.call("cosign", one.request(), "--vkey-file", one.vkey, "-o", note)
        signed = read_records(other.stack.settings)[-1]
        assert (signed.type, signed.meta["event"]) == ("admin", "audit:witness:signed")
        assert signed.meta["origin"] == f"{one.stack.settings.appliance_id}/audit"
        (add,) = [line for line in said.splitlines() if "--add " in line]
        assert "counts from now on" in one.call("witness", "--add", add.rpartition(" ")[2])
        assert read_records(one.stack.settings)[-1].meta["event"] == "audit:witness:added"
        assert f"of {one.stack.log.status().size} records" not in one.call("witness", note)
        assert one.stack.log.status().witnessed == signed.meta["size"]
        again = other.call("cosign", one.request("later.json"), "-o", note)
        assert "signed" in again
        one.call("witness", note)


def test_a_log_that_it_does_not_know_or_that_was_rolled_back_is_not_signed(
    houses: list[House],
) -> None:
    one, other = houses
    note, first = one.folder / "note", one.request("first.json")
    assert "has not seen the log ward-7/audit before" in other.call(
        "cosign", first, "-o", note, status=1
    )
    one.stack.accounts.create("ada", ["user"], actor="tests")
    other.call("cosign", one.request(), "--vkey-file", one.vkey, "-o", note)
    note.unlink()
    size = other.stack.log.status().size
    assert "ROLLED BACK" in other.call("cosign", first, "-o", note, status=1)
    assert not note.exists()
    assert other.stack.log.status().size == size


def test_a_key_that_is_none_is_not_added(houses: list[House]) -> None:
    assert "not a witness's key" in houses[0].call("witness", "--add", "hello", status=1)
    assert "--add VKEY" in houses[0].call("witness", status=2)
