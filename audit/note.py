"""Signed checkpoints: C2SP signed-note and tlog-checkpoint with one Ed25519 line (type 0x01)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from audit.errors import NoteFormatError, NoteSignatureError

_ED25519: Final = b"\x01"
_KEY_ID: Final = 4  # bytes
_MAX_NOTE: Final = 128 * 1024  # characters; room for 16 signatures of any type
_ORIGIN: Final = re.compile(r"[!-*,-~]{1,255}")  # printable ASCII, no space, no plus
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head: the log's name, its size and its root."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The note's text, which is what gets signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


class VerifierKey:
    """A key's name and public half; `str()` gives the C2SP vkey `<name>+<id>+<key>`."""

    __slots__ = ("_key", "key_id", "name", "public")

    def __init__(self, name: str, public: bytes) -> None:
        """Name a public key.

        Args:
            name: the log's origin.
            public: the raw Ed25519 public key, 32 bytes.
        """
        self.name = name
        self.public = public
        self.key_id = hashlib.sha256(f"{name}\n".encode() + _ED25519 + public).digest()[:_KEY_ID]
        self._key = Ed25519PublicKey.from_public_bytes(public)

    def __str__(self) -> str:
        """The C2SP vkey."""
        key = base64.b64encode(_ED25519 + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{key}"

    @classmethod
    def parse(cls, vkey: str) -> VerifierKey:
        """Read a vkey.

        Raises:
            NoteFormatError: if it is not one of type Ed25519.
        """
        name, _, rest = vkey.strip().partition("+")
        identifier, _, encoded = rest.partition("+")
        try:
            raw = base64.b64decode(encoded, validate=True)
        except binascii.Error as error:
            raise NoteFormatError(_BAD_VKEY) from error
        if not _ORIGIN.fullmatch(name) or len(raw) != 33 or raw[:1] != _ED25519:
            raise NoteFormatError(_BAD_VKEY)
        key = cls(name, raw[1:])
        if key.key_id.hex() != identifier:
            raise NoteFormatError(_BAD_VKEY)
        return key

    def verify(self, note: str) -> Checkpoint:
        """Check that this key signed the checkpoint and return what it says.

        Raises:
            NoteFormatError: if it is not a signed checkpoint.
            NoteSignatureError: if this key did not sign it, or signed another text.
        """
        return _parse_text(self.signed_text(note))

    def signed_text(self, note: str) -> str:
        """Check that this key signed a note of any kind and return its text.

        Raises:
            NoteFormatError: if it is not a signed note.
            NoteSignatureError: if this key did not sign it, or signed another text.
        """
        text, signatures = split_note(note)
        own = [s for name, s in signatures if name == self.name and s[:_KEY_ID] == self.key_id]
        if not own:
            raise NoteSignatureError(f"it bears no signature by key {self.key_id.hex()}")
        for signature in own:
            try:
                self._key.verify(signature[_KEY_ID:], text.encode())
            except InvalidSignature as error:
                raise NoteSignatureError(
                    f"the signature by key {self.key_id.hex()} does not match its text"
                ) from error
        return text


_BAD_VKEY: Final = (
    "This is not a verifier key. Give the line `<origin>+<8 hex digits>+<base64>` that the log "
    "printed when it was made."
)


def is_origin(name: str) -> bool:
    """Tell whether a log may bear this name."""
    return _ORIGIN.fullmatch(name) is not None


def sign_checkpoint(checkpoint: Checkpoint, key: Ed25519PrivateKey, verifier: VerifierKey) -> str:
    """Sign a checkpoint.

    Args:
        checkpoint: the tree head.
        key: the private half of `verifier`.
        verifier: names the key in the signature line.
    """
    text = checkpoint.text()
    raw = verifier.key_id + key.sign(text.encode())
    return f"{text}\n{signature_line(verifier.name, raw)}"


def read_checkpoint(note: str) -> Checkpoint:
    """Read a signed checkpoint without checking who signed it.

    Raises:
        NoteFormatError: if it is not a signed checkpoint.
    """
    return _parse_text(split_note(note)[0])


def split_note(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    """Part a note into its text and its (key name, id and signature) lines.

    Raises:
        NoteFormatError: if it is not a signed note.
    """
    text, separator, tail = note.rpartition("\n\n")
    if len(note) > _MAX_NOTE or not separator or not tail.endswith("\n"):
        raise NoteFormatError("it is not a signed note")
    return text + "\n", [_signature(line) for line in tail[:-1].split("\n")]


def signature_line(name: str, raw: bytes) -> str:
    """One line of a signed note.

    Args:
        name: of the key.
        raw: the key's id and what it signed.
    """
    return f"\N{EM DASH} {name} {base64.b64encode(raw).decode()}\n"


def _signature(line: str) -> tuple[str, bytes]:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteFormatError("a signature line is malformed") from error
    canonical = base64.b64encode(raw).decode() == encoded
    if dash != "\N{EM DASH}" or not name or len(raw) <= _KEY_ID or not canonical:
        raise NoteFormatError("a signature line is malformed")
    return name, raw


def _parse_text(text: str) -> Checkpoint:
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise NoteFormatError("its text is not origin, size and root")
    origin, size, encoded = lines[:3]
    try:
        root = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteFormatError("its root is not base64") from error
    if not _ORIGIN.fullmatch(origin) or not _SIZE.fullmatch(size):
        raise NoteFormatError("its origin or size is malformed")
    if len(root) != 32 or base64.b64encode(root).decode() != encoded:
        raise NoteFormatError("its root is not a SHA-256 hash")
    return Checkpoint(origin, int(size), root)
