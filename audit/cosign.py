"""Cosignatures of witnesses: C2SP tlog-cosignature, Ed25519 (type 0x04).

A witness signs the text of a checkpoint together with the time at which it saw it. What it says is:
at that time the log stood so, and went on from all that I had seen before.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from audit.errors import NoteFormatError, NoteSignatureError
from audit.note import is_origin, signature_line, split_note

TYPE: Final = b"\x04"
_KEY_ID: Final = 4  # bytes
_STAMP: Final = struct.Struct(">Q")
_SIGNATURE: Final = 64  # bytes


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness's name and public key; `str()` gives its C2SP vkey.

    Attributes:
        name: printable ASCII without spaces and plus signs.
        public: raw Ed25519 public key, 32 bytes.
    """

    name: str
    public: bytes

    @property
    def kind(self) -> bytes:
        """What its vkey and key id begin with: the type of its signatures."""
        return TYPE

    @property
    def key_id(self) -> bytes:
        """The four bytes that its signatures begin with."""
        data = self.name.encode() + b"\n" + self.kind + self.public
        return hashlib.sha256(data).digest()[:_KEY_ID]

    def __str__(self) -> str:
        """The C2SP vkey."""
        key = base64.b64encode(self.kind + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{key}"

    def seen_at(self, note: str) -> int:
        """When this witness saw the checkpoint, seconds since 1970.

        Raises:
            NoteFormatError: if it is not a signed note.
            NoteSignatureError: if this witness did not sign it, or signed something else.
        """
        text, lines = split_note(note)
        for name, raw in lines:
            if name == self.name and raw[:_KEY_ID] == self.key_id:
                return self._check(text, raw[_KEY_ID:])
        raise NoteSignatureError(f"it bears no signature of the witness {self.name}")

    def _check(self, text: str, stamped: bytes) -> int:
        """When it was signed, seconds since 1970; `stamped` is the line without its key id."""
        if len(stamped) != _STAMP.size + _SIGNATURE:
            raise NoteSignatureError(f"the signature of {self.name} is cut")
        (when,) = _STAMP.unpack(stamped[: _STAMP.size])
        key = Ed25519PublicKey.from_public_bytes(self.public)
        try:
            key.verify(stamped[_STAMP.size :], _message(text, when))
        except InvalidSignature as error:
            raise NoteSignatureError(f"the signature of {self.name} does not match") from error
        return int(when)


def split_vkey(vkey: str) -> tuple[str, str, bytes]:
    """Name, key id and key of a vkey.

    Raises:
        NoteFormatError: if it is none.
    """
    name, _, rest = vkey.strip().partition("+")
    identifier, _, encoded = rest.partition("+")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteFormatError(BAD_VKEY) from error
    if not is_origin(name):
        raise NoteFormatError(BAD_VKEY)
    return name, identifier, raw


def cosign(note: str, name: str, key: Ed25519PrivateKey, when: int) -> str:
    """Add a witness's line to a signed checkpoint; what the note claims is for the caller to check.

    Args:
        note: the signed checkpoint.
        name: of the witness.
        key: its private key.
        when: now, seconds since 1970.
    """
    text, _ = split_note(note)
    witness = Witness(name, key.public_key().public_bytes_raw())
    stamped = _STAMP.pack(when) + key.sign(_message(text, when))
    return note + signature_line(name, witness.key_id + stamped)


def cosigners(note: str) -> list[str]:
    """Names on the lines of a note that have the length of a cosignature."""
    _, lines = split_note(note)
    return [name for name, raw in lines if len(raw) == _KEY_ID + _STAMP.size + _SIGNATURE]


BAD_VKEY: Final = (
    "This is not a witness's key. Give the line `<name>+<8 hex digits>+<base64>` that "
    "`cloister-audit keygen --witness` printed."
)


def _message(text: str, when: int) -> bytes:
    return f"cosignature/v1\ntime {when}\n{text}".encode()
