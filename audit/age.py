"""age files (age-encryption.org/v1), with `cryptography` alone.

Debian's `age` opens what this writes to keys of type X25519 and to passphrases, and this opens what
`age` wrote to such. What the log seals has some hundred bytes and is held in memory; `AgeWriter`
streams what is longer.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from audit.agekeys import Identity, parse_recipient
from audit.errors import AgeFormatError, NoMatchingIdentityError
from audit.passphrase import LOCKED
from audit.secret import random_secret, wipe
from audit.stanza import COLUMNS, FILE_KEY, Opener, Recipient, Stanza, base64_of, hkdf, unbase64

__all__ = [
    "MAX_RECIPIENTS",
    "AgeWriter",
    "Identity",
    "decrypt",
    "encrypt",
    "parse_recipient",
    "seal",
]

MAX_RECIPIENTS: Final = 20
MAX_HEADER: Final = 64 * 1024  # bytes
BEGINNING: Final = b"age-encryption.org/v1\n"

_CHUNK: Final = 64 * 1024  # bytes of plain text
_TAG: Final = 16  # bytes
_NONCE: Final = 16  # bytes in front of the payload


def encrypt(plain: bytes | bytearray, recipients: Sequence[str]) -> bytes:
    """Seal to each of the recipients (`age1…`, `age1pq1…`).

    Raises:
        AgeFormatError: if there is none, too many, or one is malformed.
    """
    return seal(plain, [parse_recipient(text) for text in recipients])


def seal(plain: bytes | bytearray, recipients: Sequence[Recipient]) -> bytes:
    """Seal to each of the recipients, or to one passphrase alone.

    Raises:
        AgeFormatError: if there is none, or too many.
    """
    header, cipher = _begin(recipients)
    view = memoryview(plain)
    chunks = [
        cipher.encrypt(counter, view[start : start + _CHUNK], None)
        for start, counter in _chunks(len(plain), _CHUNK)
    ]
    return header + b"".join(chunks)


class AgeWriter:
    """Seals a stream: what is written goes on sealed, in pieces of 64 KiB."""

    def __init__(self, file: BinaryIO, recipients: Sequence[Recipient]) -> None:
        """Write the header.

        Args:
            file: where the sealed file goes; it is not closed.
            recipients: whom it is sealed to.

        Raises:
            AgeFormatError: if there is none, or too many.
        """
        header, self._cipher = _begin(recipients)
        self._file = file
        self._held = bytearray()
        self._count = 0
        file.write(header)

    def write(self, data: bytes) -> None:
        """Take more plain text."""
        self._held += data
        # The last piece is marked as such, so one is held until it is known not to be it.
        while len(self._held) > _CHUNK:
            self._seal(_CHUNK, last=False)

    def finish(self) -> None:
        """Seal what is left; without this the file counts as cut."""
        self._seal(len(self._held), last=True)

    def _seal(self, length: int, *, last: bool) -> None:
        piece = bytes(self._held[:length])
        del self._held[:length]
        self._file.write(self._cipher.encrypt(_counter(self._count, last=last), piece, None))
        self._count += 1


def decrypt(data: bytes, identities: Sequence[Opener]) -> bytes:
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
    cipher = ChaCha20Poly1305(hkdf(file_key, payload[:_NONCE], b"payload"))
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
        yield start, _counter(count, last=count == len(starts) - 1)


def _counter(count: int, *, last: bool) -> bytes:
    return count.to_bytes(11, "big") + bytes([last])


def _begin(recipients: Sequence[Recipient]) -> tuple[bytes, ChaCha20Poly1305]:
    """All of a file in front of its first piece, and what seals the pieces."""
    if not 1 <= len(recipients) <= MAX_RECIPIENTS:
        raise AgeFormatError(f"An age file goes to 1 to {MAX_RECIPIENTS} recipients.")
    file_key = random_secret(FILE_KEY)
    try:
        stanzas = b"".join(bytes(recipient.wrap(file_key)) for recipient in recipients)
        header = BEGINNING + stanzas + b"---"
        mac = base64_of(_header_mac(file_key, header))
        nonce = bytes(random_secret(_NONCE))
        cipher = ChaCha20Poly1305(hkdf(file_key, nonce, b"payload"))
    finally:
        wipe(file_key)
    return header + b" " + mac + b"\n" + nonce, cipher


def _file_key(stanzas: list[Stanza], identities: Sequence[Opener]) -> bytes:
    for identity in identities:
        for stanza in stanzas:
            file_key = identity.unwrap(stanza)
            if file_key is not None:
                return file_key
    raise NoMatchingIdentityError("None of these keys opens this age file.")


def _parse_header(data: bytes) -> tuple[list[Stanza], bytes, bytes, bytes]:
    """Part a file into stanzas, the bytes under the MAC, the MAC and the payload."""
    if not data.startswith(BEGINNING):
        raise AgeFormatError("This is not an age file of version 1.")
    stanzas: list[Stanza] = []
    place = len(BEGINNING)
    while True:
        line, after = _line(data, place)
        if line.startswith("--- "):
            if not stanzas:
                raise AgeFormatError("This age file has no recipient.")
            _check_alone(stanzas)
            return stanzas, data[: place + 3], unbase64(line[4:]), data[after:]
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
        if len(line) > COLUMNS:
            raise AgeFormatError("The header of this age file is malformed.")
        if len(line) < COLUMNS:
            return unbase64(encoded), place


def _line(data: bytes, place: int) -> tuple[str, int]:
    end = data.find(b"\n", place, MAX_HEADER)
    if end < 0:
        raise AgeFormatError("The header of this age file is cut or too long.")
    try:
        return data[place:end].decode("ascii"), end + 1
    except UnicodeDecodeError as error:
        raise AgeFormatError("The header of this age file is not text.") from error


def _check_alone(stanzas: list[Stanza]) -> None:
    """A passphrase stands alone: who opens with it knows that nobody else's key sealed the file."""
    if len(stanzas) > 1 and any(stanza.arguments[0] == LOCKED for stanza in stanzas):
        raise AgeFormatError("This age file has a passphrase and another recipient beside it.")


def _header_mac(file_key: bytes | bytearray, header: bytes) -> bytes:
    return hmac.digest(hkdf(file_key, b"", b"header"), header, "sha256")
