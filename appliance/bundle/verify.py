"""Whether a bundle is what somebody we trust has signed, to the last byte.

In this order, and nothing is used of what was not yet checked: sizes of the first two members,
signature, manifest, length of the whole, then each header, byte of content and byte of padding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.bundle.errors import ContentError, LengthError
from appliance.bundle.frame import (
    BLOCK,
    END,
    announced,
    entry_header,
    head_headers,
    length,
    padding,
    taken,
)
from appliance.bundle.limits import LIMITS
from appliance.bundle.manifest import MANIFEST, SIGNATURE, FileEntry, Manifest, decode
from appliance.bundle.parts import PartsReader
from appliance.bundle.signing import check_signature
from appliance.bundle.telling import Progress, Teller

_PIECE = 1024 * 1024  # bytes that are read at once

Sink = Callable[[bytes], object]


class Contents:
    """One file's bytes, checked while they pass."""

    def __init__(self, reader: PartsReader, entry: FileEntry, progress: Progress) -> None:
        """Read nothing yet."""
        self._reader, self._entry, self._progress = reader, entry, progress

    def into(self, sink: Sink) -> None:
        """Hand all bytes over, piece by piece; only then is it known whether they are right.

        Raises:
            ContentError: they are not those that were signed.
            LengthError: there are too few.
        """
        digest, left = hashlib.sha256(), self._entry.size
        while left:
            piece = self._reader.read(min(_PIECE, left))
            digest.update(piece)
            sink(piece)
            self._progress(len(piece))
            left -= len(piece)
        if digest.hexdigest() != self._entry.sha256:
            raise _changed(self._entry.path)
        if any(self._reader.read(padding(self._entry.size))):
            raise _changed(f"the space behind {self._entry.path}")


@dataclass(frozen=True)
class Opened:
    """A bundle whose manifest is read.

    Args:
        reader: stands behind manifest and signature.
        manifest: what it says; only to be believed if there is a signer.
        raw: the manifest's bytes.
        signature: over them.
        signer: key that signed, as ssh-keygen names it; None where nobody asked.
    """

    reader: PartsReader
    manifest: Manifest
    raw: bytes
    signature: bytes
    signer: str | None

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest."""
        return hashlib.sha256(self.raw).hexdigest()

    @property
    def length(self) -> int:
        """Bytes that the bundle has to have."""
        return length(self.manifest, len(self.raw), len(self.signature))

    def files(self, progress: Progress) -> Iterator[tuple[FileEntry, Contents]]:
        """The carried files in order; each one's contents must be read before the next.

        Args:
            progress: told how many bytes of the bundle more are read.

        Raises:
            ContentError: a header is not the one that follows from the manifest.
            LengthError: the bundle ends before, or goes on behind its end.
        """
        progress(taken(len(self.raw)) + taken(len(self.signature)))
        for entry in self.manifest.carried:
            wanted = entry_header(entry, self.manifest.created)
            if self.reader.read(len(wanted)) != wanted:
                raise _changed(f"the header of {entry.path}")
            yield entry, Contents(self.reader, entry, progress)
            progress(len(wanted) + padding(entry.size))
        if self.reader.read(len(END)) != END:
            raise _changed("its end")
        progress(len(END))


@contextmanager
def opened(path: Path, signers: Path | None) -> Iterator[Opened]:
    """Read a bundle's manifest, and know who signed it.

    Args:
        path: the bundle, or one of its parts.
        signers: file of trusted keys; None to look without trusting.

    Raises:
        UnreadableError: it is no bundle.
        SignatureError: nobody trusted has signed it.
        ManifestError: it breaks a rule.
        LengthError: the bundle is not as long as it should be.
    """
    with PartsReader(path) as reader:
        first = reader.read(BLOCK)
        raw = _padded(reader, announced(first, MANIFEST, LIMITS.manifest))
        second = reader.read(BLOCK)
        signature = _padded(reader, announced(second, SIGNATURE, LIMITS.signature))
        signer = None if signers is None else check_signature(raw, signature, signers)
        manifest = decode(raw)
        if (first, second) != head_headers(manifest, len(raw), len(signature)):
            raise _changed("a header before the files")
        found = Opened(reader, manifest, raw, signature, signer)
        _check_length(found)
        yield found


def read_all(bundle: Opened, teller: Teller, text: str) -> None:
    """Return only if every byte of an opened bundle is the one that its manifest says.

    Args:
        bundle: just opened.
        teller: watches.
        text: what it is told.

    Raises:
        ContentError: one is not.
        LengthError: there are too few.
    """
    with teller.bar(text, bundle.length) as progress:
        for _entry, contents in bundle.files(progress):
            contents.into(_forget)


def _forget(_piece: bytes) -> None:
    """Only the digest is wanted."""


def _padded(reader: PartsReader, size: int) -> bytes:
    data = reader.read(size)
    if any(reader.read(padding(size))):
        raise _changed("the space behind its manifest")
    return data


def _check_length(bundle: Opened) -> None:
    wanted, found = bundle.length, bundle.reader.size
    if found < wanted:
        raise LengthError(
            f"The bundle has {found} bytes of {wanted}: it was not copied whole, or its last part"
            " is missing. Copy it again."
        )
    if found > wanted:
        raise LengthError(
            f"The bundle has {found - wanted} bytes more than its manifest knows. Get it again from"
            " who made it."
        )


def _changed(what: str) -> ContentError:
    return ContentError(
        f"The bundle is damaged or was changed: {what} is not what was signed. Nothing of it was"
        " used. Copy it again, or get it again from who made it."
    )
