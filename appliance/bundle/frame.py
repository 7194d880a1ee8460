"""How files lie in a bundle: a plain tar of which every byte follows from the manifest.

Each header is the one that `header` makes, and nothing else is accepted: no links, no devices,
no second copy of a name. GNU tar's format, since its sizes go beyond 8 GiB and wheels have names of
more than 100 characters.
"""

from __future__ import annotations

import tarfile

from appliance.bundle.errors import UnreadableError
from appliance.bundle.manifest import MANIFEST, SIGNATURE, FileEntry, Manifest

BLOCK = 512  # bytes, as tar(5) has it
END = bytes(2 * BLOCK)
_NAME = slice(0, 100)
_SIZE = slice(124, 136)


def header(path: str, size: int, mode: int, created: int) -> bytes:
    """The tar header of a regular file: one block, or three where the name does not fit into one.

    Args:
        path: inside the bundle, ASCII.
        size: bytes.
        mode: permissions.
        created: time of change, seconds since 1970.
    """
    info = tarfile.TarInfo(path)
    info.size, info.mode, info.mtime = size, mode, created
    return info.tobuf(tarfile.GNU_FORMAT, "ascii", "strict")


def entry_header(entry: FileEntry, created: int) -> bytes:
    """The header of a file of the manifest."""
    return header(entry.path, entry.size, int(entry.mode, 8), created)


def head_headers(manifest: Manifest, raw: int, signature: int) -> tuple[bytes, bytes]:
    """The headers of the manifest and of its signature, whose sizes are given in bytes."""
    created = manifest.created
    return header(MANIFEST, raw, 0o644, created), header(SIGNATURE, signature, 0o644, created)


def padding(size: int) -> int:
    """Zero bytes behind a file of a size."""
    return -size % BLOCK


def taken(size: int) -> int:
    """Bytes that a member of a size takes with padding and a header of one block."""
    return BLOCK + size + padding(size)


def length(manifest: Manifest, raw: int, signature: int) -> int:
    """Bytes of the whole bundle; arguments as in `head_headers`."""
    files = sum(
        len(entry_header(entry, manifest.created)) + entry.size + padding(entry.size)
        for entry in manifest.carried
    )
    return taken(raw) + taken(signature) + files + len(END)


def announced(block: bytes, name: str, most: int) -> int:
    """The size that one of the first two headers gives, before there is a manifest to compare with.

    Args:
        block: the header.
        name: that it must have.
        most: bytes that are accepted.

    Raises:
        UnreadableError: it is no such header, or names more.
    """
    found = block[_NAME].rstrip(b"\0")
    digits = block[_SIZE].rstrip(b"\0")
    if len(block) != BLOCK or found != name.encode() or not digits.isdigit():
        raise UnreadableError(
            f"This is no bundle: {name} does not stand where it should. Name the file that"
            " `cloister bundle build` made, or get it again."
        )
    size = int(digits, 8) if set(digits) <= set(b"01234567") else most + 1
    if size > most:
        raise UnreadableError(
            f"This is no bundle that may be read: its {name} is larger than {most} bytes. Get it"
            " again from who made it."
        )
    return size
