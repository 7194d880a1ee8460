"""Unpack a bundle: wholly checked first, then copied and checked once more, then named.

The second check is over the bytes that are written: a medium can give others the second time.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from appliance.bundle.errors import BundleError, DestinationError, HeldError
from appliance.bundle.installed import Installed, check_follows, check_held, check_machine
from appliance.bundle.manifest import MANIFEST, SIGNATURE, FileEntry, Manifest
from appliance.bundle.telling import Progress, Teller
from appliance.bundle.verify import Contents, Opened, opened, read_all


def check(
    path: Path,
    signers: Path,
    disk: Path,
    installed: Installed | None,
    target: str | None,
    teller: Teller,
) -> Manifest:
    """Everything that can refuse a bundle; writes nothing.

    Args:
        path: the bundle, or one of its parts.
        signers: file of trusted keys.
        disk: a path on the disk where it is to be unpacked.
        installed: the release that runs, if any.
        target: the system's name; None looks.
        teller: watches.

    Raises:
        BundleError: something is wrong; its class says what.
    """
    with opened(path, signers) as bundle:
        check_machine(bundle.manifest, disk, target=target)
        check_follows(bundle.manifest, installed)
        read_all(bundle, teller, "Checking every byte")
        _check_all_held(bundle.manifest, installed)
        return bundle.manifest


def unpack(
    path: Path,
    signers: Path,
    folder: Path,
    installed: Installed | None,
    target: str | None,
    teller: Teller,
) -> Manifest:
    """Unpack into a new folder, which is there whole or not at all.

    Args:
        folder: to be made; nothing may be there.
        path: and the others: as for `check`.

    Raises:
        BundleError: something is wrong; its class says what. Nothing is left of the folder.
    """
    if folder.exists():
        raise DestinationError(f"{folder} is there already. Name a folder that is not there yet.")
    manifest = check(path, signers, folder, installed, target, teller)
    staging = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir(mode=0o755, parents=True)
        with opened(path, signers) as bundle:
            if bundle.manifest != manifest:
                raise BundleError("The bundle was exchanged while it was read. Check the medium.")
            with teller.bar("Unpacking", bundle.length) as progress:
                _write_all(bundle, staging, installed, progress)
        _sync_folders(staging)
        staging.rename(folder)
    except OSError as error:
        raise DestinationError(
            f"{error.filename or folder} can not be written: {error.strerror}. Free some room, or"
            " see that you may write there; then run the same command again."
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return manifest


def _write_all(
    bundle: Opened, folder: Path, installed: Installed | None, progress: Progress
) -> None:
    for entry, contents in bundle.files(progress):
        _write(folder / entry.path, int(entry.mode, 8), contents)
    if installed is not None:
        for entry in bundle.manifest.files:
            if entry.held:
                _copy(entry, folder / entry.path, installed)
    for name, data in ((MANIFEST, bundle.raw), (SIGNATURE, bundle.signature)):
        (folder / name).write_bytes(data)


def _write(path: Path, mode: int, contents: Contents) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        contents.into(file.write)
        file.flush()
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())


def _copy(entry: FileEntry, path: Path, installed: Installed) -> None:
    """Take a file from the release that runs; a link would bind the two releases together."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    shutil.copyfile(check_held(entry, installed), path)
    path.chmod(int(entry.mode, 8))


def _check_all_held(manifest: Manifest, installed: Installed | None) -> None:
    for entry in manifest.files:
        if entry.held:
            if installed is None:
                raise HeldError(
                    f"The bundle leaves out {entry.path}, and nothing is installed. Get the whole"
                    " bundle instead."
                )
            check_held(entry, installed)


def _sync_folders(root: Path) -> None:
    for folder, _, _ in os.walk(root):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
