"""Checkpoints are C2SP signed notes: OpenSSL checks them, and no changed one passes."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from audit.errors import NoteFormatError, NoteSignatureError
from audit.note import Checkpoint, VerifierKey, is_origin, read_checkpoint, sign_checkpoint

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
VERIFIER = VerifierKey("example.com/log", KEY.public_key().public_bytes_raw())
CHECKPOINT = Checkpoint("example.com/log", 20852163, bytes(range(32)))
NOTE = sign_checkpoint(CHECKPOINT, KEY, VERIFIER)


def test_a_note_reads_back_as_it_was_signed() -> None:
    assert VERIFIER.verify(NOTE) == CHECKPOINT
    assert NOTE.split("\n\n")[0].split("\n") == [
        "example.com/log",
        "20852163",
        base64.b64encode(bytes(range(32))).decode(),
    ]


def test_openssl_verifies_the_signature_over_the_text(tmp_path: Path) -> None:
    text, _, signature = NOTE.rpartition("\n\n")
    raw = base64.b64decode(signature.split(" ")[2])[4:]
    (tmp_path / "text").write_text(text + "\n")
    (tmp_path / "signature").write_bytes(raw)
    spki = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(spki)
    command = "openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in text -sigfile signature"
    assert subprocess.run(command.split(), cwd=tmp_path, check=False).returncode == 0
    (tmp_path / "text").write_text(text.replace("3\n", "4\n") + "\n")
    assert subprocess.run(command.split(), cwd=tmp_path, check=False).returncode != 0


def test_a_verifier_key_of_the_go_implementation_reads() -> None:
    text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    assert str(VerifierKey.parse(text)) == text


def test_a_verifier_key_reads_back() -> None:
    assert str(VerifierKey.parse(str(VERIFIER))) == str(VERIFIER)
    assert str(VERIFIER).startswith("example.com/log+")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing",
        "a+b+c",
        str(VERIFIER)[:-4],
        str(VERIFIER).replace("example", "another"),
        "x+00000000+" + base64.b64encode(b"\x02" + bytes(32)).decode(),
    ],
)
def test_what_is_no_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(NoteFormatError, match="not a verifier key"):
        VerifierKey.parse(text)


def test_every_changed_character_is_noticed() -> None:
    for place, character in enumerate(NOTE):
        changed = NOTE[:place] + chr(ord(character) ^ 1) + NOTE[place + 1 :]
        with pytest.raises((NoteFormatError, NoteSignatureError)):
            VERIFIER.verify(changed)


def test_every_cut_is_noticed() -> None:
    for end in range(len(NOTE)):
        with pytest.raises((NoteFormatError, NoteSignatureError)):
            VERIFIER.verify(NOTE[:end])


def test_a_signature_by_another_key_does_not_count() -> None:
    other = Ed25519PrivateKey.generate()
    named = VerifierKey("example.com/log", other.public_key().public_bytes_raw())
    with pytest.raises(NoteSignatureError, match="bears no signature"):
        VERIFIER.verify(sign_checkpoint(CHECKPOINT, other, named))


def test_a_further_signature_of_an_unknown_kind_is_passed_over() -> None:
    line = (
        "\N{EM DASH} witness.example " + base64.b64encode(b"\x00\x01\x02\x03" + bytes(72)).decode()
    )
    assert VERIFIER.verify(NOTE + line + "\n") == CHECKPOINT


@pytest.mark.parametrize("text", ["a\n1\n", "a\n01\nAA==\n", "a\n1\n!\n", "a b\n1\nAA==\n"])
def test_a_malformed_text_is_no_checkpoint(text: str) -> None:
    with pytest.raises(NoteFormatError):
        read_checkpoint(f"{text}\n\N{EM DASH} a {base64.b64encode(bytes(68)).decode()}\n")


def test_origins_have_no_space_and_no_plus() -> None:
    assert is_origin("cloister-7f3a/audit")
    assert not any(is_origin(text) for text in ("", "a b", "a+b", "ü", "a\nb", "x" * 256))
