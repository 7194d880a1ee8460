"""Cosignatures are C2SP's: OpenSSL checks them, and no changed one passes."""

from __future__ import annotations

import base64
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from audit.cosign import Witness, cosign, cosigners
from audit.errors import KeyFileError, NoteFormatError, NoteSignatureError
from audit.keyfile import read_witness_key, witness_key_text
from audit.known import parse_witness
from audit.note import Checkpoint, VerifierKey, sign_checkpoint
from audit.syslog import format_line, parse_line

LOG_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
LOG = VerifierKey("example.com/log", LOG_KEY.public_key().public_bytes_raw())
NOTE = sign_checkpoint(Checkpoint("example.com/log", 20852163, bytes(range(32))), LOG_KEY, LOG)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
WITNESS = Witness("a-officer-laptop", KEY.public_key().public_bytes_raw())
WHEN = 1_795_392_785
COSIGNED = cosign(NOTE, WITNESS.name, KEY, WHEN)


def test_a_cosigned_note_still_bears_the_logs_signature_and_says_when() -> None:
    assert WITNESS.seen_at(COSIGNED) == WHEN
    assert LOG.verify(COSIGNED).size == 20852163
    assert cosigners(COSIGNED) == ["a-officer-laptop"]
    assert cosigners(NOTE) == []
    assert COSIGNED.startswith(NOTE)


def test_openssl_verifies_what_c2sp_says_is_signed(tmp_path: Path) -> None:
    raw = base64.b64decode(COSIGNED.splitlines()[-1].split(" ")[2])
    assert raw[:4] == WITNESS.key_id
    assert int.from_bytes(raw[4:12], "big") == WHEN
    text = NOTE.rpartition("\n\n")[0] + "\n"
    (tmp_path / "signed").write_text(f"cosignature/v1\ntime {WHEN}\n{text}")
    (tmp_path / "signature").write_bytes(raw[12:])
    spki = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(spki)
    command = "openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in signed -sigfile signature"
    assert subprocess.run(command.split(), cwd=tmp_path, check=False).returncode == 0


def test_any_changed_character_is_refused() -> None:
    for place in range(len(COSIGNED)):
        changed = COSIGNED[:place] + chr(ord(COSIGNED[place]) ^ 1) + COSIGNED[place + 1 :]
        try:
            seen = WITNESS.seen_at(changed)
        except (NoteFormatError, NoteSignatureError):
            continue
        # Only the log's own signature line may differ: that one is the log's key to check.
        assert seen == WHEN
        with pytest.raises((NoteFormatError, NoteSignatureError)):
            LOG.verify(changed)


def test_a_vkey_reads_back_and_is_not_taken_for_a_logs() -> None:
    assert parse_witness(str(WITNESS)) == WITNESS
    for text in ("", str(LOG), str(WITNESS)[:-4], str(WITNESS).replace("laptop", "laptoq")):
        with pytest.raises(NoteFormatError, match="keygen --witness"):
            parse_witness(text)
    with pytest.raises(NoteFormatError):
        VerifierKey.parse(str(WITNESS))


def test_a_witness_key_reads_back_and_openssl_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "w.key"
    path.write_text(witness_key_text(KEY))
    assert read_witness_key(path).public_key().public_bytes_raw() == WITNESS.public
    command = ["openssl", "pkey", "-in", "w.key", "-noout"]
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0
    path.write_text("nothing")
    with pytest.raises(KeyFileError, match="keygen --witness"):
        read_witness_key(path)
    with pytest.raises(KeyFileError, match="can not be read"):
        read_witness_key(tmp_path / "absent")


def test_a_line_for_a_log_host_holds_the_whole_checkpoint() -> None:
    now = datetime(2026, 11, 23, 0, 13, 5, 123456, UTC)
    line = format_line(NOTE, now, "appl7f3a")
    assert line.startswith(
        "<109>1 2026-11-23T00:13:05.123456Z appl7f3a cloister-audit - CHECKPOINT"
    )
    assert 'origin="example.com/log" size="20852163"' in line
    assert parse_line(line) == NOTE
    assert parse_line(f"Nov 23 00:13:05 relay {line}") == NOTE
    assert parse_line("<13>1 something else") is None


def test_a_changed_line_is_refused_or_fails_the_signature() -> None:
    line = format_line(NOTE, datetime.now(UTC), "appl7f3a")
    for place in range(line.index("origin="), len(line)):
        changed = line[:place] + chr(ord(line[place]) ^ 1) + line[place + 1 :]
        try:
            note = parse_line(changed)
            assert note in (None, NOTE) or LOG.verify(note) is None
        except (NoteFormatError, NoteSignatureError):
            continue
