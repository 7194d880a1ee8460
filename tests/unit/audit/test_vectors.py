"""The test vectors are what the code makes, and what the specification says in other words."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from scripts.audit_vectors import vectors

FILE = Path(__file__).parents[3] / "docs" / "spec" / "audit-vectors.json"
FIELDS = ("task", "model", "model_digest", "outcome", "source", "event", "begin")


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return loaded


def expand(secret: bytes, info: bytes) -> bytes:
    return HKDFExpand(hashes.SHA256(), 32, info).derive(secret)


def test_the_file_is_what_the_script_makes(known: dict[str, Any]) -> None:
    assert known == vectors(), "make it anew: python -m scripts.audit_vectors"


@pytest.mark.parametrize(
    ("secret", "info", "blob", "letter", "skip", "text"),
    [
        ("M0", b"cloister-audit/v2 meta", "metadata_blob", b"m", 56, "metadata"),
        ("C0", b"cloister-audit/v2 content", "content_blob", b"c", 0, "content"),
    ],
)
def test_blobs_open_by_the_words_of_the_specification(
    known: dict[str, Any], secret: str, info: bytes, blob: str, letter: bytes, skip: int, text: str
) -> None:
    state, log = bytes.fromhex(known[secret]), bytes.fromhex(known["log_id"])
    for record in known["records"]:
        leaf, data = bytes.fromhex(record["leaf"]), bytes.fromhex(record[blob])
        salt, front = bytes(32), skip
        if text == "content" and leaf[5] & 2:
            index = leaf[8:16]
            word = b"cloister-audit/v2 subject record\0" + index
            salt, front = hmac.digest(bytes.fromhex(known["subject_key"]), word, "sha256"), 16
            word = b"cloister-audit/v2 subject bond\0" + index
            mask = hmac.digest(bytes.fromhex(known["subject_link"]), word, "sha256")[:16]
            hidden = int.from_bytes(data[:16], "big") ^ int.from_bytes(mask, "big")
            assert hidden.to_bytes(16, "big").hex() == known["subject_id"]
        shares = [state[start : start + 32] for start in range(0, len(state), 32)]
        halves = b"".join(expand(share, b"cloister-audit/v2 half") for share in shares)
        opens = halves if len(shares) == 2 else state
        key = HKDF(hashes.SHA256(), 64, salt, info).derive(opens)
        marks, sealed = data[:front], data[front:]
        assert sealed[:32] == key[32:]
        bound = log + leaf[:136] + letter + marks
        plain = AESGCM(key[:32]).decrypt(bytes(12), sealed[32:], bound)
        assert (zlib.decompress(plain) if text == "content" else plain).decode() == known[text]
        state = b"".join(expand(share, b"cloister-audit/v2 ratchet") for share in shares)


def test_marks_and_tokens_are_those_of_the_specification(known: dict[str, Any]) -> None:
    key = expand(bytes.fromhex(known["M0"]), b"cloister-audit/v2 index")
    values = {"task": "triage", "outcome": "answered"}
    for index, record in enumerate(known["records"]):
        marks = b""
        for field in FIELDS:
            word = f"{field}\0{values.get(field, '')}".encode()
            trapdoor = hmac.digest(key, word, "sha256")
            marks += hmac.digest(trapdoor, index.to_bytes(8, "big"), "sha256")[:8]
        assert record["marks"] == marks.hex()
        assert record["metadata_blob"].startswith(record["marks"])
        token = hmac.digest(key, b"actor\0m.keller", "sha256")[:16]
        assert bytes.fromhex(record["leaf"])[72:88] == token


def test_leaves_chain_and_hash_as_the_specification_says(known: dict[str, Any]) -> None:
    before = bytes(32)
    for record in known["records"]:
        leaf = bytes.fromhex(record["leaf"])
        assert leaf[104:136] == before
        blob = bytes.fromhex(record["metadata_blob"])
        assert leaf[136:168] == hashlib.sha256(blob).digest()
        before = hashlib.sha256(b"\0" + leaf).digest()
        assert record["leaf_hash"] == before.hex()


def test_an_officer_signs_by_the_words_of_the_specification(known: dict[str, Any]) -> None:
    info = b"cloister-audit/v2 officer signature"
    seed = HKDF(hashes.SHA256(), 32, None, info).derive(known["officer_key"].encode())
    key = Ed25519PrivateKey.from_private_bytes(seed)
    text, _, line = known["decision"].partition("\n\n")
    name, encoded = line.split()[1:]
    raw, public = base64.b64decode(encoded), key.public_key().public_bytes_raw()
    key.public_key().verify(raw[4:], f"{text}\n".encode())
    assert name == "officer"
    assert raw[:4] == hashlib.sha256(b"officer\n\x01" + public).digest()[:4]
    assert known["officer_signer"].split("+", 2)[2] == base64.b64encode(b"\x01" + public).decode()
    word = b"cloister-audit/v2 subject commitment\0case 12"
    about = hmac.digest(bytes.fromhex(known["decision_salt"]), word, "sha256")
    assert f"about: {base64.b64encode(about).decode()}" in text


def test_a_handle_is_that_of_the_specification(known: dict[str, Any]) -> None:
    word = b"cloister-audit/v2 subject handle\0case 12"
    found = hmac.digest(bytes.fromhex(known["subject_link"]), word, "sha256")[:16]
    assert known["subject_handle"] == found.hex()


def test_recovery_lines_are_those_of_the_specification(known: dict[str, Any]) -> None:
    """Spelt by the specification's words alone."""
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    keys = known["officers_keys"]
    secret, label = bytes.fromhex(keys["secret"]), b"cloister-audit recovery"
    for kind, lines in keys["recovery_lines"].items():
        raw = []
        for number in range(1, 9):
            piece = secret[4 * number - 4 : 4 * number]
            raw.append(piece + hashlib.sha256(label + bytes([number]) + piece).digest()[:1])
        whole = hashlib.sha256(label + bytes([9, int(kind)]) + secret).digest()
        raw.append(bytes([int(kind)]) + whole[:4])
        bits = [f"{int.from_bytes(line, 'big'):040b}" for line in raw]
        spelt = [
            "".join(alphabet[int(line[place : place + 5], 2)] for place in range(0, 40, 5))
            for line in bits
        ]
        assert lines == [f"{line[:4]}-{line[4:]}" for line in spelt]
