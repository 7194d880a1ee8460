"""age files: Debian's `age` and the Rust implementation read ours, and we read theirs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.age import Identity, decrypt, encrypt, parse_recipient
from audit.bech32 import bech32_decode, bech32_encode
from audit.errors import AgeFormatError, AuditError, NoMatchingIdentityError

ONE, TWO = Identity.generate(), Identity.generate()
CHUNK = 64 * 1024
EDGES = [0, 1, 100, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 7]
needs_age = pytest.mark.skipif(shutil.which("age") is None, reason="age is not installed")


@needs_age
@pytest.mark.parametrize("size", EDGES)
def test_the_age_command_opens_what_we_seal(size: int, tmp_path: Path) -> None:
    plain = bytes(number % 251 for number in range(size))
    (tmp_path / "sealed").write_bytes(encrypt(plain, [ONE.recipient, TWO.recipient]))
    for identity in (ONE, TWO):
        (tmp_path / "key").write_text(f"# public key: {identity.recipient}\n{identity}\n")
        command = ["age", "-d", "-i", "key", "sealed"]
        opened = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
        assert opened.stdout == plain


@needs_age
@pytest.mark.parametrize("size", EDGES)
def test_we_open_what_the_age_command_seals(size: int) -> None:
    plain = bytes(size)
    command = ["age", "-r", TWO.recipient, "-r", ONE.recipient]
    sealed = subprocess.run(command, input=plain, capture_output=True, check=True).stdout
    assert decrypt(sealed, [ONE]) == plain


@pytest.mark.parametrize("size", EDGES)
def test_the_rust_implementation_and_ours_read_each_other(size: int) -> None:
    plain = bytes(size)
    theirs = pyrage.x25519.Identity.from_str(str(ONE))
    assert str(theirs.to_public()) == ONE.recipient
    assert pyrage.decrypt(encrypt(plain, [TWO.recipient, ONE.recipient]), [theirs]) == plain
    assert decrypt(pyrage.encrypt(plain, [theirs.to_public()]), [TWO, ONE]) == plain


@needs_age
def test_a_recipient_of_another_kind_beside_ours_is_passed_over(tmp_path: Path) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "ssh"], cwd=tmp_path, check=True
    )
    command = ["age", "-R", "ssh.pub", "-r", ONE.recipient]
    sealed = subprocess.run(command, cwd=tmp_path, input=b"x", capture_output=True, check=True)
    assert decrypt(sealed.stdout, [ONE]) == b"x"


def test_every_flipped_bit_and_every_cut_is_noticed() -> None:
    sealed = encrypt(b"share", [ONE.recipient])
    for place in range(len(sealed)):
        for bit in range(8):
            changed = bytearray(sealed)
            changed[place] ^= 1 << bit
            with pytest.raises((AgeFormatError, NoMatchingIdentityError)):
                decrypt(bytes(changed), [ONE])
        with pytest.raises(AgeFormatError):
            decrypt(sealed[:place], [ONE])


def test_a_file_cut_between_two_pieces_is_noticed() -> None:
    sealed = encrypt(bytes(2 * CHUNK), [ONE.recipient])
    with pytest.raises(AgeFormatError, match="changed or cut"):
        decrypt(sealed[: -(CHUNK + 16)], [ONE])


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_no_input_whatever_makes_the_reader_fail_in_another_way(data: bytes) -> None:
    for candidate in (data, b"age-encryption.org/v1\n" + data):
        with pytest.raises(AuditError):
            decrypt(candidate, [ONE])


def test_another_key_does_not_open() -> None:
    with pytest.raises(NoMatchingIdentityError):
        decrypt(encrypt(b"x", [ONE.recipient]), [TWO])


def test_a_file_goes_to_one_recipient_at_least_and_twenty_at_most() -> None:
    for recipients in ([], [ONE.recipient] * 21):
        with pytest.raises(AgeFormatError, match="1 to 20"):
            encrypt(b"x", recipients)


@pytest.mark.parametrize("length", [0, 1, 5, 20, 32, 33])
def test_bech32_reads_back(length: int) -> None:
    data = bytes(range(length))
    assert bech32_decode(bech32_encode("age", data)) == ("age", data)
    assert bech32_decode(bech32_encode("age", data).upper()) == ("age", data)


def test_every_mistyped_character_of_a_key_is_noticed() -> None:
    for place in range(len(ONE.recipient)):
        wrong = "q" if ONE.recipient[place] != "q" else "p"
        with pytest.raises(AgeFormatError):
            parse_recipient(ONE.recipient[:place] + wrong + ONE.recipient[place + 1 :])


@pytest.mark.parametrize(
    "text", ["", "age1", "age1b", "AGE1qqqqqqqq", "1qqqqqqq", "nothing at all"]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(AgeFormatError):
        parse_recipient(text)


def test_a_secret_key_is_not_taken_for_a_public_one_and_does_not_show_in_repr() -> None:
    with pytest.raises(AgeFormatError):
        parse_recipient(str(ONE))
    with pytest.raises(AgeFormatError):
        Identity.parse(ONE.recipient)
    assert "SECRET" not in repr(ONE)
