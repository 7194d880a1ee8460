"""Write a bundle's file, going on where an earlier attempt was interrupted.

All its bytes follow from manifest and signature. If what lies there begins with the same two, the
rest is taken over as it is, and the whole is read once more at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.bundle.errors import BuildError, ContentError, LengthError, UnreadableError
from appliance.bundle.frame import BLOCK, END, entry_header, head_headers, padding
from appliance.bundle.manifest import Manifest
from appliance.bundle.parts import PartsReader, PartsWriter, files_of, leftovers, part
from appliance.bundle.telling import Progress, Teller
from appliance.bundle.verify import opened, read_all

_PIECE = 1024 * 1024


@dataclass(frozen=True)
class Content:
    """What is to be written.

    Args:
        manifest: with the files.
        raw: its bytes.
        signature: over them.
        sources: file that each carried path's bytes are read from.
    """

    manifest: Manifest
    raw: bytes
    signature: bytes
    sources: dict[str, Path]

    @property
    def head(self) -> bytes:
        """The bundle's bytes before the first file."""
        size, its = len(self.raw), len(self.signature)
        first, second = head_headers(self.manifest, size, its)
        spaces = bytes(padding(size)), bytes(padding(its))
        return b"".join([first, self.raw, spaces[0], second, self.signature, spaces[1]])

    def pieces(self) -> Iterator[tuple[bytes, Path | None, int]]:
        """Bytes and files in turn: bytes, or a file with its size."""
        yield self.head, None, 0
        for entry in self.manifest.carried:
            yield entry_header(entry, self.manifest.created), self.sources[entry.path], entry.size
        yield END, None, 0


def write(content: Content, out: Path, part_size: int, teller: Teller) -> list[Path]:
    """Write the bundle, read it once more, then give it its name; the files that it is in.

    Args:
        content: of the bundle.
        out: its name.
        part_size: bytes of each part; 0 for one file.
        teller: watches.

    Raises:
        DestinationError: the disk refuses; what is written stays for the next attempt.
        BuildError: an input changed meanwhile.
    """
    partial = out.with_name(f"{out.name}.partial")
    start = _standing(content, partial, part_size)
    _write_from(content, partial, part_size, start, teller)
    try:
        _read_again(content, partial, teller)
    except (ContentError, LengthError) as error:
        _remove(partial)
        if not start:
            raise BuildError(
                "A file changed while it was written into the bundle. Run the same command again."
            ) from error
        _write_from(content, partial, part_size, 0, teller)
        _read_again(content, partial, teller)
    return _name(partial, out, part_size)


def _standing(content: Content, partial: Path, part_size: int) -> int:
    """Bytes of an earlier attempt that may be kept."""
    try:
        with PartsReader(partial) as reader:
            shapes = {file.stat().st_size for file in files_of(partial)[:-1]}
            same = reader.read(len(content.head)) == content.head
            split = bool(part_size) == (files_of(partial)[0] != partial)
            if same and split and shapes <= {part_size}:
                return reader.size // BLOCK * BLOCK
    except (UnreadableError, LengthError):
        pass
    _remove(partial)
    return 0


def _write_from(
    content: Content, partial: Path, part_size: int, start: int, teller: Teller
) -> None:
    wanted = sum(len(raw) + size + padding(size) for raw, _, size in content.pieces())
    if start > wanted:
        _remove(partial)
        start = 0
    partial.parent.mkdir(parents=True, exist_ok=True)
    writer = PartsWriter(partial, part_size, start)
    try:
        with teller.bar("Writing the bundle", wanted) as progress:
            progress(start)
            for block in _behind(content, start, progress):
                writer.write(block)
    finally:
        writer.close()


def _behind(content: Content, start: int, progress: Progress) -> Iterator[bytes]:
    """The bundle's bytes from an offset on."""
    left = start
    for raw, file, size in content.pieces():
        for block in _blocks(raw, file, size, left):
            yield block
            progress(len(block))
        left = max(0, left - len(raw) - size - padding(size))


def _blocks(raw: bytes, file: Path | None, size: int, skip: int) -> Iterator[bytes]:
    if skip >= len(raw) + size + padding(size):
        return
    if skip < len(raw):
        yield raw[skip:]
    skip = max(0, skip - len(raw))
    if file is None:
        return
    with file.open("rb") as opened_file:
        opened_file.seek(min(skip, size))
        left = size - min(skip, size)
        while left and (piece := opened_file.read(min(_PIECE, left))):
            yield piece
            left -= len(piece)
    if left:
        raise BuildError(f"{file} became shorter meanwhile. Run the same command again.")
    yield bytes(padding(size) - max(0, skip - size))


def _read_again(content: Content, partial: Path, teller: Teller) -> None:
    with opened(partial, None) as bundle:
        if bundle.raw != content.raw:
            raise ContentError("Another program wrote the same file. Run the command again.")
        read_all(bundle, teller, "Reading it again")


def _name(partial: Path, out: Path, part_size: int) -> list[Path]:
    """Give the written files their names; parts that an earlier bundle had more are removed."""
    written = files_of(partial)
    _remove(out)
    named = [part(out, i) for i in range(1, len(written) + 1)] if part_size else [out]
    for new, name in zip(written, named, strict=True):
        new.rename(name)
    return named


def _remove(path: Path) -> None:
    for file in leftovers(path):
        file.unlink()
