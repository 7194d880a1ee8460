"""age files to X25519 recipients (age-encryption.org/v1), with `cryptography` alone.

Debian's `age` opens what this writes, and this opens what `age` wrote to such recipients. Files are
held in memory: the log seals shares of some hundred bytes.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from audit.bech32 import bech32_decode, bech32_encode
from audit.errors import AgeFormatError, NoMatchingIdentityError
from audit.secret import random_secret, wipe

MAX_RECIPIENTS: Final = 20
MAX_HEADER: Final = 64 * 1024  # bytes

_VERSION: Final = b"age-encryption.org/v1\n"
_WRAP_INFO: Final = b"age-encryption.org/v1/X25519"
_CHUNK: Final = 64 * 1024  # bytes of plain text
_TAG: Final = 16  # bytes
_NONCE: Final = 16  # bytes in front of the payload
_COLUMNS: Final = 64


class Identity:
    """A private key that opens age files; `str()` gives its `AGE-SECRET-KEY-1…` line."""

    __slots__ = ("_key", "_secret")

    def __init__(self, secret: bytes) -> None:
        """Wrap a raw key.

        Args:
            secret: the raw X25519 private key, 32 bytes.
        """
        self._secret = secret
        self._key = X25519PrivateKey.from_private_bytes(secret)

    def __str__(self) -> str:
        """The `AGE-SECRET-KEY-1…` line."""
        return bech32_encode("age-secret-key-", self._secret).upper()

    def __repr__(self) -> str:
        """The public half only, so that no traceback shows the key."""
        return f"Identity({self.recipient})"

    @classmethod
    def generate(cls) -> Identity:
        """Make a new key."""
        return cls(X25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, line: str) -> Identity:
        """Read an `AGE-SECRET-KEY-1…` line.

        Raises:
            AgeFormatError: if it is not one.
        """
        prefix, raw = bech32_decode(line)
        if prefix != "age-secret-key-" or len(raw) != 32:
            raise AgeFormatError("This is not an age secret key of type X25519.")
        return cls(raw)

    @property
    def recipient(self) -> str:
        """The public half, `age1…`."""
        return bech32_encode("age", self._key.public_key().public_bytes_raw())

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """Return the file key if this stanza was made for this identity.

        Raises:
            AgeFormatError: if it is a malformed X25519 stanza.
        """
        if stanza.arguments[0] != "X25519":
            return None
        if len(stanza.arguments) != 2 or len(stanza.body) != 32:
            raise AgeFormatError("A recipient of this age file is malformed.")
        share = _unbase64(stanza.arguments[1])
        if len(share) != 32:
            raise AgeFormatError("A recipient of this age file is malformed.")
        try:
            shared = self._key.exchange(X25519PublicKey.from_public_bytes(share))
        except ValueError as error:
            raise AgeFormatError("A recipient of this age file has a key of low order.") from error
        key = _wrap_key(shared, share, self._key.public_key().public_bytes_raw())
        try:
            return ChaCha20Poly1305(key).decrypt(bytes(12), stanza.body, None)
        except InvalidTag:
            return None


@dataclass(frozen=True, slots=True)
class Stanza:
    """The file key wrapped for one recipient."""

    arguments: tuple[str, ...]
    body: bytes


def parse_recipient(text: str) -> bytes:
    """Read an `age1…` line into the raw X25519 public key.

    Raises:
        AgeFormatError: if it is not one.
    """
    prefix, raw = bech32_decode(text)
    if prefix != "age" or len(raw) != 32:
        raise AgeFormatError(f"{text[:20]}… is not an age recipient of type X25519 (age1…).")
    return raw


def encrypt(plain: bytes | bytearray, recipients: Sequence[str]) -> bytes:
    """Seal to each of the recipients (`age1…`).

    Raises:
        AgeFormatError: if there is none, too many, or one is malformed.
    """
    if not 1 <= len(recipients) <= MAX_RECIPIENTS:
        raise AgeFormatError(f"An age file goes to 1 to {MAX_RECIPIENTS} recipients.")
    file_key = random_secret(16)
    try:
        stanzas = b"".join(_stanza(file_key, parse_recipient(text)) for text in recipients)
        header = _VERSION + stanzas + b"---"
        mac = _base64(_header_mac(file_key, header))
        nonce = bytes(random_secret(_NONCE))
        cipher = ChaCha20Poly1305(_hkdf(file_key, nonce, b"payload"))
    finally:
        wipe(file_key)
    view = memoryview(plain)
    chunks = [
        cipher.encrypt(counter, view[start : start + _CHUNK], None)
        for start, counter in _chunks(len(plain), _CHUNK)
    ]
    return header + b" " + mac + b"\n" + nonce + b"".join(chunks)


def decrypt(data: bytes, identities: Sequence[Identity]) -> bytes:
    """Open an age file with the first identity that fits.

    Raises:
        NoMatchingIdentityError: if none fits.
        AgeFormatError: if it is no age file, was changed or is cut.
    """
    stanzas, header, mac, payload = _parse_header(data)
    file_key = _file_key(stanzas, identities)
    if not hmac.compare_digest(_header_mac(file_key, header), mac):
        raise AgeFormatError("The header of this age file was changed.")
    if len(payload) < _NONCE + _TAG:
        raise AgeFormatError("This age file is cut.")
    cipher = ChaCha20Poly1305(_hkdf(file_key, payload[:_NONCE], b"payload"))
    body = payload[_NONCE:]
    plain = b"".join(_open_chunks(cipher, body))
    if len(body) > _CHUNK + _TAG and len(body) % (_CHUNK + _TAG) == _TAG:
        raise AgeFormatError("This age file ends in an empty piece.")
    return plain


def _open_chunks(cipher: ChaCha20Poly1305, body: bytes) -> Iterator[bytes]:
    for start, counter in _chunks(len(body), _CHUNK + _TAG):
        try:
            yield cipher.decrypt(counter, body[start : start + _CHUNK + _TAG], None)
        except InvalidTag as error:
            raise AgeFormatError("This age file was changed or cut.") from error


def _chunks(length: int, step: int) -> Iterator[tuple[int, bytes]]:
    """Give each piece's start and its nonce: an 11-byte counter and the mark of the last."""
    starts = range(0, length, step) if length else range(1)
    for count, start in enumerate(starts):
        yield start, count.to_bytes(11, "big") + bytes([count == len(starts) - 1])


def _stanza(file_key: bytearray, recipient: bytes) -> bytes:
    ephemeral = X25519PrivateKey.generate()
    share = ephemeral.public_key().public_bytes_raw()
    try:
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(recipient))
    except ValueError as error:
        raise AgeFormatError("A recipient's key is of low order; make a new one.") from error
    key = _wrap_key(shared, share, recipient)
    body = ChaCha20Poly1305(key).encrypt(bytes(12), file_key, None)
    return b"-> X25519 " + _base64(share) + b"\n" + _base64(body) + b"\n"


def _file_key(stanzas: list[Stanza], identities: Sequence[Identity]) -> bytes:
    for identity in identities:
        for stanza in stanzas:
            file_key = identity.unwrap(stanza)
            if file_key is not None:
                return file_key
    raise NoMatchingIdentityError("None of these keys opens this age file.")


def _parse_header(data: bytes) -> tuple[list[Stanza], bytes, bytes, bytes]:
    """Part a file into stanzas, the bytes under the MAC, the MAC and the payload."""
    if not data.startswith(_VERSION):
        raise AgeFormatError("This is not an age file of version 1.")
    stanzas: list[Stanza] = []
    place = len(_VERSION)
    while True:
        line, after = _line(data, place)
        if line.startswith("--- "):
            if not stanzas:
                raise AgeFormatError("This age file has no recipient.")
            return stanzas, data[: place + 3], _unbase64(line[4:]), data[after:]
        if not line.startswith("-> ") or len(stanzas) == MAX_RECIPIENTS:
            raise AgeFormatError("The header of this age file is malformed.")
        body, after = _stanza_body(data, after)
        stanzas.append(Stanza(_arguments(line[3:]), body))
        place = after


def _arguments(text: str) -> tuple[str, ...]:
    arguments = tuple(text.split(" "))
    if not all(a and all("!" <= character <= "~" for character in a) for a in arguments):
        raise AgeFormatError("The header of this age file is malformed.")
    return arguments


def _stanza_body(data: bytes, place: int) -> tuple[bytes, int]:
    encoded = ""
    while True:
        line, place = _line(data, place)
        encoded += line
        if len(line) > _COLUMNS:
            raise AgeFormatError("The header of this age file is malformed.")
        if len(line) < _COLUMNS:
            return _unbase64(encoded), place


def _line(data: bytes, place: int) -> tuple[str, int]:
    end = data.find(b"\n", place, MAX_HEADER)
    if end < 0:
        raise AgeFormatError("The header of this age file is cut or too long.")
    try:
        return data[place:end].decode("ascii"), end + 1
    except UnicodeDecodeError as error:
        raise AgeFormatError("The header of this age file is not text.") from error


def _wrap_key(shared: bytes, share: bytes, recipient: bytes) -> bytes:
    return _hkdf(shared, share + recipient, _WRAP_INFO)


def _header_mac(file_key: bytes | bytearray, header: bytes) -> bytes:
    return hmac.digest(_hkdf(file_key, b"", b"header"), header, "sha256")


def _hkdf(secret: bytes | bytearray, salt: bytes, info: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt, info).derive(secret)


def _base64(raw: bytes) -> bytes:
    return base64.b64encode(raw).rstrip(b"=")


def _unbase64(text: str) -> bytes:
    """Decode unpadded base64, refusing every spelling but the canonical one."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise AgeFormatError("The header of this age file is malformed.") from error
    if _base64(raw).decode() != text:
        raise AgeFormatError("The header of this age file is malformed.")
    return raw
