"""Keys, ratchet and blobs: a record opens under its own key, header and log, and nothing else."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from audit.blob import (
    CONTENT,
    MAX_SEALED,
    META,
    log_id,
    pack_content,
    seal,
    unpack_content,
    unseal,
)
from audit.errors import SealBrokenError
from audit.index import MARKS_SIZE, Index
from audit.ratchet import CONTENTS, METADATA, Ratchet
from audit.secret import hexlify, random_secret, wipe

LOG, HEADER, MARKS = bytes(32), bytes(136), bytes(range(MARKS_SIZE))


SHARES = bytes(range(64))


def ratchet() -> Ratchet:
    return Ratchet(bytearray(SHARES), CONTENTS)


def metadata() -> Ratchet:
    return Ratchet(bytearray(range(32)), METADATA)


def test_the_derivation_is_hkdf_with_these_names() -> None:
    secret = bytes(range(32))
    halves = b"".join(expand(share, b"cloister-audit/v2 half") for share in parts(SHARES))
    expected = HKDF(hashes.SHA256(), 64, bytes(32), b"cloister-audit/v2 content").derive(halves)
    assert bytes(ratchet().key()) == expected
    expected = HKDF(hashes.SHA256(), 64, bytes(32), b"cloister-audit/v2 meta").derive(secret)
    assert bytes(metadata().key()) == expected


def parts(shares: bytes) -> list[bytes]:
    return [shares[:32], shares[32:]]


def expand(secret: bytes, info: bytes) -> bytes:
    return hmac.digest(secret, info + b"\x01", "sha256")


def test_the_ratchet_step_is_hkdf_expand_of_each_share_by_itself() -> None:
    stepped = ratchet()
    stepped.advance()
    following = [expand(share, b"cloister-audit/v2 ratchet") for share in parts(SHARES)]
    assert stepped.key() == Ratchet(bytearray().join(following), CONTENTS).key()
    assert stepped.position == 1


@pytest.mark.parametrize("change", [0, 63])
def test_neither_share_alone_decides_a_key(change: int) -> None:
    shares = bytearray(SHARES)
    shares[change] ^= 1
    assert Ratchet(shares, CONTENTS).key() != ratchet().key()


def test_the_ratchet_overwrites_the_secret_that_it_was_given() -> None:
    secret = bytearray(SHARES)
    before = Ratchet(secret, CONTENTS)
    before.key()
    assert before._halves == bytes(64)
    before.advance()
    assert not set(parts(bytes(secret))) & set(parts(SHARES))
    before.erase()
    assert secret == bytes(64)


def test_a_subject_key_gives_another_key() -> None:
    assert ratchet().key(b"s" * 32) != ratchet().key()


def test_a_blob_opens_to_what_was_sealed_and_its_key_is_wiped() -> None:
    key = metadata().key()
    blob = seal(key, b"plain", LOG, HEADER, META, MARKS)
    assert key == bytes(64)
    assert len(blob) == MARKS_SIZE + 32 + len(b"plain") + 16
    assert unseal(metadata().key(), blob, LOG, HEADER, META) == b"plain"


def test_a_blob_is_bound_to_log_header_part_and_key() -> None:
    blob = seal(metadata().key(), b"plain", LOG, HEADER, META, MARKS)
    key = metadata().key()
    other = ratchet().key()
    for arguments in (
        (key, blob, b"x" * 32, HEADER, META),
        (key, blob, LOG, b"x" * 136, META),
        (key, blob, LOG, HEADER, CONTENT),
        (other, blob, LOG, HEADER, META),
        (key, b"", LOG, HEADER, META),
        (key, blob[:32], LOG, HEADER, META),
    ):
        with pytest.raises(SealBrokenError):
            unseal(*arguments)


def test_every_flipped_bit_of_a_blob_is_noticed() -> None:
    blob = seal(metadata().key(), b"plain", LOG, HEADER, META, MARKS)
    for place in range(len(blob) * 8):
        changed = bytearray(blob)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(SealBrokenError):
            unseal(metadata().key(), bytes(changed), LOG, HEADER, META)


def test_contents_are_compressed_and_bounded() -> None:
    assert unpack_content(pack_content(b"{}" * 1000)) == b"{}" * 1000
    for wrong in (
        b"",
        b"nothing",
        pack_content(b"x" * 100)[:-1],
        pack_content(bytes(MAX_SEALED + 1)),
    ):
        with pytest.raises(SealBrokenError):
            unpack_content(wrong)


def test_tokens_tell_fields_names_and_epochs_apart() -> None:
    tokens, others = Index(bytearray(32)), Index(bytearray(b"x" * 32))
    assert tokens.token("actor", "keller") == tokens.token("actor", "keller")
    assert len(tokens.token("actor", "keller")) == 16
    assert tokens.token("actor", "keller") != tokens.token("subject", "keller")
    assert tokens.token("actor", "keller") != tokens.token("actor", "kellers")
    assert tokens.token("actor", "keller") != others.token("actor", "keller")
    assert tokens.token("actor", None) == bytes(16)


def test_a_log_is_named_by_origin_and_first_key() -> None:
    name = log_id("a/audit", b"k" * 32)
    expected = b"cloister-audit/v2 log\0a/audit\0" + b"k" * 32
    assert name == hashlib.sha256(expected).digest()


def test_secrets_live_in_buffers_that_can_be_wiped() -> None:
    secret = random_secret(32)
    assert len(secret) == 32
    assert hexlify(secret).decode() == secret.hex()
    wipe(secret)
    assert secret == bytes(32)
