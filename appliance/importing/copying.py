"""Copy a model into quarantine: told how far, resumable, and digested on the way."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from appliance.importing.errors import CopyError, SpaceError
from appliance.importing.quarantine import Quarantine
from appliance.importing.source import Piece, Source, Stamp

_BLOCK = 4 * 1024 * 1024  # bytes that are read at once
_SYNC = 32 * 1024 * 1024  # bytes after which the disk is asked to keep them
_MIB = 1024 * 1024

Progress = Callable[[int], object]


def check_space(folder: Path, wanted: int, spare_mib: int) -> None:
    """Return only if a disk has room for so many bytes more.

    Args:
        folder: on that disk; it exists.
        wanted: bytes.
        spare_mib: MiB that must stay free beyond them.

    Raises:
        SpaceError: it has not; names both numbers.
    """
    free = shutil.disk_usage(folder).free
    over = wanted + spare_mib * _MIB - free
    if over > 0:
        raise SpaceError(
            f"The import needs {_size(wanted)} on the disk of {folder}, and {spare_mib} MiB stay"
            f" free for the log (disk_minimum_mib); {_size(free)} are free. Free {_size(over)}"
            " there, then run the same command again."
        )


def copy(source: Source, quarantine: Quarantine, progress: Progress) -> str:
    """Copy a source, from where an earlier attempt stood; the SHA-256 of the whole copy.

    Args:
        source: what to copy.
        quarantine: where to; it is held.
        progress: told how many bytes more are there; bytes of an earlier attempt count too.

    Raises:
        SpaceError: the disk is full; what is copied stays.
        CopyError: the source can not be read, or changed meanwhile; what is copied stays.
    """
    digest = hashlib.sha256()
    try:
        with _opened(quarantine.copy) as target:
            done = quarantine.kept(source.stamps)
            _digest_kept(target, done, digest.update, progress)
            target.truncate(done)
            kept = done
            try:
                for block in _blocks(source, done):
                    target.write(block)
                    digest.update(block)
                    progress(len(block))
                    done += len(block)
                    if done - kept >= _SYNC:
                        _keep(target, quarantine, source, done)
                        kept = done
            finally:
                _keep(target, quarantine, source, done)
    except OSError as error:
        raise _failure(error, quarantine) from error
    if done != source.size or tuple(Stamp.of(Path(one.file)) for one in source.stamps) != (
        source.stamps
    ):
        quarantine.empty()
        raise CopyError(
            f"{source.file_name} was changed while it was copied, so the copy was deleted. Run the"
            " same command again once nobody writes to it."
        )
    return digest.hexdigest()


def _opened(path: Path) -> BinaryIO:
    return open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+b")


def _digest_kept(
    target: BinaryIO, count: int, update: Callable[[bytes], object], progress: Progress
) -> None:
    """Read what an earlier attempt has left; the target then stands behind it."""
    left = count
    while left:
        block = target.read(min(_BLOCK, left))
        if not block:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        update(block)
        progress(len(block))
        left -= len(block)


def _keep(target: BinaryIO, quarantine: Quarantine, source: Source, done: int) -> None:
    target.flush()
    os.fdatasync(target.fileno())
    _forget(target, done)
    quarantine.keep(source.stamps, done)


def _blocks(source: Source, skip: int) -> Iterator[bytes]:
    """The bytes of a source behind the first `skip`."""
    with ExitStack() as stack:
        files: dict[Path, BinaryIO] = {}
        for piece in source.pieces:
            passed = min(skip, piece.length)
            skip -= passed
            if piece.file is None:
                yield from _given(piece.raw[passed:])
                continue
            if piece.file not in files:
                files[piece.file] = stack.enter_context(piece.file.open("rb", buffering=0))
            yield from _read(files[piece.file], piece, passed)


def _given(raw: bytes) -> Iterator[bytes]:
    if raw:
        yield raw


def _read(file: BinaryIO, piece: Piece, passed: int) -> Iterator[bytes]:
    """A run of bytes of a file; less where the file has become shorter."""
    file.seek(piece.start + passed)
    left = piece.length - passed
    while left and (block := file.read(min(_BLOCK, left))):
        yield block
        left -= len(block)
        _forget(file, file.tell())


def _forget(file: BinaryIO, end: int) -> None:
    """Give a file's pages back: else the copy drives the weights of loaded models out of memory."""
    os.posix_fadvise(file.fileno(), 0, end, os.POSIX_FADV_DONTNEED)


def _failure(error: OSError, quarantine: Quarantine) -> Exception:
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return SpaceError(
            f"The disk of {quarantine.folder} takes no more ({error.strerror}). Free some room,"
            " then run the same command again."
        )
    return CopyError(
        f"The copy stopped: {error.filename or 'source or copy'}: {error.strerror}. See that the"
        " disk is still there, then run the same command again."
    )


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
