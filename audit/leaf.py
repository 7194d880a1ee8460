"""The leaf: 200 bytes per record, all that stands in clear, and what the tree is built over."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from audit.errors import LeafFormatError

LEAF_SIZE: Final = 200  # bytes
HEADER_SIZE: Final = 136  # bytes before the blob hashes; blobs are bound to these
SCHEMA_VERSION: Final = 2
MAGIC: Final = b"SLA1"
NO_HASH: Final = bytes(32)
NO_TOKEN: Final = bytes(16)

_LAYOUT: Final = struct.Struct(">4sBBHQIIQQ16s16s16s16s32s32s32s")


class LeafType(IntEnum):
    """What a record is about."""

    PROMPT = 1
    ANSWER = 2
    ADMIN = 3
    AUTH = 4
    ACCESS = 5
    EPOCH_OPEN = 6
    EPOCH_CLOSE = 7
    HEARTBEAT = 8
    HOLD = 9
    SHRED = 10
    PRUNE = 11
    FAULT = 12
    CLOCK_STEP = 13
    WITNESS = 14

    @property
    def label(self) -> str:
        """The name that people read."""
        return self.name.lower().replace("_", "-")


class LeafFlag(IntEnum):
    """What else is to know about a record before it is opened."""

    CONTENT = 1  # a content blob belongs to it
    SUBJECT_BOUND = 2  # its content opens only with the subject's key as well
    HOLD = 4  # under legal hold
    MASKED = 16  # card data in its content were masked before it was sealed
    PLAIN_META = 8  # the metadata blob is plain JSON: records of the writer about the log itself
    SHORT = 32  # kept for the days of the class short; together with LONG for ever
    LONG = 64  # kept for the days of the class long


@dataclass(frozen=True, slots=True)
class Leaf:
    """One leaf, field by field.

    Attributes:
        kind: what the record is about.
        flags: sum of LeafFlags.
        index: place in the log, from 0.
        epoch: number of the epoch, from 0.
        seq: place in the epoch, from 0; selects the record's key.
        boot_ns: CLOCK_BOOTTIME in nanoseconds; runs on through suspend, never steps.
        wall_ns: wall clock in nanoseconds since 1970.
        boot_id: the kernel's id of this boot, 16 bytes.
        event: the record's UUID, 16 bytes.
        actor: token of who did it, 16 bytes; zero for the writer itself.
        subject: token of whom it is about, 16 bytes; zero for nobody.
        prev: hash of the leaf before, zero for the first.
        meta_hash: SHA-256 of the metadata blob, zero if there is none.
        content_hash: SHA-256 of the content blob, zero if there is none.
    """

    kind: LeafType
    flags: int
    index: int
    epoch: int
    seq: int
    boot_ns: int
    wall_ns: int
    boot_id: bytes
    event: bytes
    actor: bytes
    subject: bytes
    prev: bytes
    meta_hash: bytes = NO_HASH
    content_hash: bytes = NO_HASH

    def header(self) -> bytes:
        """The 136 bytes that the blobs are bound to."""
        return self.pack()[:HEADER_SIZE]

    def pack(self) -> bytes:
        """The leaf's 200 bytes."""
        return _LAYOUT.pack(
            MAGIC,
            self.kind,
            self.flags,
            SCHEMA_VERSION,
            self.index,
            self.epoch,
            self.seq,
            self.wall_ns,
            self.boot_ns,
            self.boot_id,
            self.event,
            self.actor,
            self.subject,
            self.prev,
            self.meta_hash,
            self.content_hash,
        )

    def metadata_of(self, blob: bytes) -> bytes:
        """The given metadata blob, if it is the one that this leaf names.

        Raises:
            LeafFormatError: if it is another.
        """
        if hashlib.sha256(blob).digest() != self.meta_hash:
            raise LeafFormatError("its metadata were changed")
        return blob

    @classmethod
    def unpack(cls, data: bytes) -> Leaf:
        """Read a leaf.

        Raises:
            LeafFormatError: if the bytes are not a leaf of this version.
        """
        if len(data) != LEAF_SIZE:
            raise LeafFormatError(f"it has {len(data)} bytes instead of {LEAF_SIZE}")
        magic, kind, flags, version, *numbers_and_bytes = _LAYOUT.unpack(data)
        if magic != MAGIC or version != SCHEMA_VERSION:
            raise LeafFormatError(f"it is not of format {MAGIC.decode()}, version {SCHEMA_VERSION}")
        known = _TYPES.get(kind)
        if known is None:
            raise LeafFormatError(f"its type {kind} is not known")
        if flags & ~_KNOWN_FLAGS:
            raise LeafFormatError(f"its flags {flags:#04x} are not known")
        index, epoch, seq, wall_ns, boot_ns, *fields = numbers_and_bytes
        return cls(known, flags, index, epoch, seq, boot_ns, wall_ns, *fields)


_TYPES: Final = {int(kind): kind for kind in LeafType}
_KNOWN_FLAGS: Final = sum(LeafFlag)


def leaf_hash(leaf: bytes) -> bytes:
    """Hash a leaf for the tree: SHA-256 over 0x00 and the leaf (RFC 6962, section 2.1)."""
    return hashlib.sha256(b"\x00" + leaf).digest()
