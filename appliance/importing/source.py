"""What is to be brought in: one run of bytes, whatever files it lies in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.catalogue.gguf import Tensor, read_gguf
from appliance.catalogue.known.head import GgufHead, head_of
from appliance.importing.errors import PartMissingError, SourceError

_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)
_PARTS = 1024  # files of one model; published ones have some dozens


@dataclass(frozen=True)
class Piece:
    """A run of bytes: of a file, or given as such.

    Args:
        length: bytes.
        file: that holds them; None if `raw` does.
        start: where they begin in the file.
        raw: the bytes themselves.
    """

    length: int
    file: Path | None = None
    start: int = 0
    raw: bytes = b""


@dataclass(frozen=True)
class Stamp:
    """A file as it was when the import began."""

    file: str
    size: int
    changed: int  # time of the last change, nanoseconds

    @classmethod
    def of(cls, file: Path) -> Stamp:
        """The file as it is now.

        Raises:
            SourceError: it can not be looked at.
        """
        try:
            stat = file.stat()
        except OSError as error:
            raise SourceError(f"{file}: {error.strerror}; see that its disk is mounted.") from error
        return cls(str(file.resolve()), stat.st_size, stat.st_mtime_ns)


@dataclass(frozen=True)
class Source:
    """A model in GGUF, in one file or several.

    Args:
        file_name: that it would have in one file, without folders.
        pieces: its bytes, in order.
        stamps: its files; an interrupted import goes on only if they are the same.
        head: what it says of itself.
        formats: number format of each tensor.
    """

    file_name: str
    pieces: tuple[Piece, ...]
    stamps: tuple[Stamp, ...]
    head: GgufHead
    formats: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(piece.length for piece in self.pieces)


def find_parts(path: Path) -> tuple[str, list[Path]]:
    """The GGUF files that a path stands for, and the name of the whole.

    Args:
        path: a GGUF file, any part of a split one, or a folder with one model.

    Raises:
        SourceError: there is no such path, or no GGUF, or more than one model.
        PartMissingError: a part is missing; names it.
    """
    if path.is_dir():
        path = _only_model(path)
    if not path.exists():
        raise SourceError(f"{path} is not there; see that its disk is mounted.")
    if not path.name.isprintable():
        raise SourceError(f"Give the file {path.name!r} a plain name first.")
    found = _PART.fullmatch(path.name)
    if found is None:
        return path.name, [path]
    count = int(found["count"])
    if not 1 <= count <= _PARTS:
        raise SourceError(f"{path.name}: claims {count} parts; 1 to {_PARTS} are taken.")
    stem, suffix = found["stem"], path.name[-len(".gguf") :]
    parts = [
        path.with_name(f"{stem}-{number:05d}-of-{count:05d}{suffix}")
        for number in range(1, count + 1)
    ]
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise PartMissingError(
            f"{len(missing)} of {count} parts are missing in {path.parent}:"
            f" {', '.join(missing[:3])}{more}. Copy all parts into one folder."
        )
    return f"{stem}.gguf", parts


def whole_file(path: Path) -> Source:
    """A model that lies in one file.

    Raises:
        GgufError: it is no sound GGUF.
    """
    stamp = Stamp.of(path)
    gguf = read_gguf(path)
    head = head_of(gguf.metadata, gguf.tensors)
    return Source(path.name, (Piece(stamp.size, path),), (stamp,), head, formats_of(gguf.tensors))


def formats_of(tensors: Iterable[Tensor]) -> tuple[str, ...]:
    """The number format of each tensor."""
    return tuple(tensor.quantisation.name for tensor in tensors)


def _only_model(folder: Path) -> Path:
    """The one model of a folder; of a split one, any part."""
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() == ".gguf")
    models = {_whole_name(file.name): file for file in files}
    if len(models) == 1:
        return files[0]
    if not models:
        raise SourceError(f"{folder} holds no GGUF file. Name the file or the folder of a model.")
    names = _listed(sorted(map(repr, models)))
    raise SourceError(f"{folder} holds {len(models)} models ({names}). Name one of the files.")


def _whole_name(file_name: str) -> str:
    found = _PART.fullmatch(file_name)
    return file_name if found is None else f"{found['stem']}.gguf"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
