"""Key files under a passphrase, and age files to one: the Rust implementation reads ours."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.age import Identity, decrypt, seal
from audit.errors import AgeFormatError, KeyFileError, NoMatchingIdentityError
from audit.hybrid import HybridIdentity
from audit.keyfile import (
    OfficerKey,
    identity_text,
    lock,
    read_identities,
    read_witness_key,
    witness_key_text,
)
from audit.passphrase import Passphrase

WORK = 10  # enough to show that it works
WORDS = "correct horse battery staple"


@pytest.mark.parametrize(
    "identity", [Identity.generate(), HybridIdentity.generate()], ids=["x25519", "hybrid"]
)
def test_a_locked_key_opens_with_its_passphrase(identity: OfficerKey, tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    path.write_bytes(lock(identity_text(identity, "2026-11-23"), WORDS, WORK))
    assert b"SECRET" not in path.read_bytes()
    (found,) = read_identities(path, lambda name: WORDS)
    assert str(found) == str(identity)


def test_another_passphrase_opens_nothing_and_the_way_out_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    path.write_bytes(lock("AGE-SECRET-KEY-1", WORDS, WORK))
    with pytest.raises(KeyFileError, match="cloister-audit recover"):
        read_identities(path, lambda name: "another")
    with pytest.raises(KeyFileError, match="age -d"):
        read_identities(path)


def test_a_locked_file_without_a_key_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    path.write_bytes(lock("nothing", WORDS, WORK))
    with pytest.raises(KeyFileError, match="holds no secret key"):
        read_identities(path, lambda name: WORDS)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(KeyFileError, match="changed or cut"):
        read_identities(path, lambda name: WORDS)
    path.write_text("-----BEGIN AGE ENCRYPTED FILE-----\n")
    with pytest.raises(KeyFileError, match="armored"):
        read_identities(path)


def test_a_locked_witness_key_opens_with_its_passphrase(tmp_path: Path) -> None:
    key, path = Ed25519PrivateKey.generate(), tmp_path / "witness.key"
    path.write_text(witness_key_text(key, WORDS))
    found = read_witness_key(path, lambda name: WORDS)
    assert found.private_bytes_raw() == key.private_bytes_raw()
    with pytest.raises(KeyFileError, match="stays locked"):
        read_witness_key(path, lambda name: "another")
    with pytest.raises(KeyFileError, match="locked with a passphrase"):
        read_witness_key(path)


def test_openssl_opens_a_locked_witness_key(tmp_path: Path) -> None:
    key, path = Ed25519PrivateKey.generate(), tmp_path / "witness.key"
    path.write_text(witness_key_text(key, WORDS))
    command = ["openssl", "pkey", "-in", path, "-passin", "stdin", "-pubout", "-outform", "DER"]
    done = subprocess.run(command, input=WORDS.encode(), capture_output=True, check=True)
    assert done.stdout.endswith(key.public_key().public_bytes_raw())


def test_the_rust_implementation_and_ours_read_each_other() -> None:
    assert pyrage.passphrase.decrypt(seal(b"share", [Passphrase(WORDS, WORK)]), WORDS) == b"share"
    assert decrypt(pyrage.passphrase.encrypt(b"share", WORDS), [Passphrase(WORDS)]) == b"share"


def test_a_passphrase_opens_its_own_files_only() -> None:
    with pytest.raises(NoMatchingIdentityError):
        decrypt(seal(b"x", [Passphrase("one", WORK)]), [Passphrase("two")])
    with pytest.raises(NoMatchingIdentityError):
        decrypt(seal(b"x", [Passphrase("one", WORK)]), [Identity.generate()])


def test_more_work_than_a_gibibyte_is_refused_before_it_is_done() -> None:
    sealed = seal(b"x", [Passphrase("one", WORK)]).replace(b" 10\n", b" 21\n")
    with pytest.raises(AgeFormatError, match="work factor"):
        decrypt(sealed, [Passphrase("one")])


def test_a_passphrase_does_not_show_in_repr() -> None:
    assert WORDS not in repr(Passphrase(WORDS))
