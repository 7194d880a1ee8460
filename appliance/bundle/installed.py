"""The release that a host runs: no bundle may be older, and a delta relies on its files."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from appliance.bundle.errors import CounterError, HeldError, RequirementError, UnreadableError
from appliance.bundle.limits import LIMITS
from appliance.bundle.manifest import MANIFEST, FileEntry, Manifest, decode
from appliance.bundle.targets import check_target, memory_mib, processor_flags, this_host

_MIB = 1024 * 1024
_PIECE = 1024 * 1024


@dataclass(frozen=True)
class Installed:
    """An unpacked bundle.

    Args:
        folder: where it lies.
        manifest: what it says.
        digest: SHA-256 of the manifest.
    """

    folder: Path
    manifest: Manifest
    digest: str


def read_installed(folder: Path) -> Installed:
    """The release in a folder.

    Raises:
        UnreadableError: there is none.
        ManifestError: its manifest breaks a rule.
    """
    file = folder / MANIFEST
    try:
        with file.open("rb") as opened:
            raw = opened.read(LIMITS.manifest)
    except OSError as error:
        raise UnreadableError(
            f"{folder} holds no release ({file.name}: {error.strerror}). Name the folder of the"
            " one that runs; on a host it is /opt/cloister/current."
        ) from error
    return Installed(folder, decode(raw), hashlib.sha256(raw).hexdigest())


def check_follows(manifest: Manifest, installed: Installed | None) -> None:
    """Return only if a bundle may come after what is installed.

    Args:
        manifest: of the bundle.
        installed: the release that runs; None on a bare host.

    Raises:
        CounterError: the bundle is older, or needs a release between the two.
        HeldError: it is a delta of another release.
    """
    now = 0 if installed is None else installed.manifest.counter
    if manifest.counter < now:
        raise CounterError(
            f"The bundle's release counter is {manifest.counter}, and {now} is installed: an older"
            " release may have holes that were mended since. Get the newest bundle; to undo an"
            " upgrade use the playbook rollback.yml."
        )
    if now < manifest.requires.counter:
        raise CounterError(
            f"The bundle follows on release counter {manifest.requires.counter}; installed is"
            f" {now or 'none'}. Install the releases between the two first."
        )
    if manifest.base is None:
        return
    if installed is None or installed.digest != manifest.base.manifest:
        raise HeldError(
            f"The bundle is a delta of release counter {manifest.base.counter}, and another release"
            " is installed. Get the whole bundle instead."
        )


def check_machine(manifest: Manifest, disk: Path, *, target: str | None = None) -> None:
    """Return only if this machine is one that the bundle is for, with all that it needs.

    Args:
        manifest: of the bundle.
        disk: a path on the disk that releases lie on.
        target: the system's name; None looks.

    Raises:
        TargetError: it is for another system or processor.
        RequirementError: processor, memory or disk lack something.
    """
    check_target(manifest.target, target or this_host())
    needs = manifest.requires
    if lacking := sorted(set(needs.processor) - processor_flags()):
        raise RequirementError(
            f"This processor lacks what the bundle's programs use: {', '.join(lacking)}. Use a"
            " machine that has it, or a bundle built for this one (docs/bundle.md)."
        )
    if memory_mib() < needs.memory_mib:
        raise RequirementError(
            f"The bundle needs {needs.memory_mib} MiB of memory, and this machine has"
            f" {memory_mib()}. Add memory, or get a bundle with smaller models."
        )
    free = shutil.disk_usage(_existing(disk)).free // _MIB
    if free < needs.disk_mib:
        raise RequirementError(
            f"The bundle needs {needs.disk_mib} MiB on the disk of {disk}, and {free} are free."
            f" Free {needs.disk_mib - free} MiB there."
        )


def check_held(entry: FileEntry, installed: Installed) -> Path:
    """A file that a delta leaves out, found in the release that runs and read whole.

    Raises:
        HeldError: it is not there, or not what it should be.
    """
    for own in installed.manifest.files:
        if (own.sha256, own.size) == (entry.sha256, entry.size):
            path = installed.folder / own.path
            if _digest(path) == entry.sha256:
                return path
    raise HeldError(
        f"The bundle leaves out {entry.path}, and {installed.folder} does not have it any more."
        " Get the whole bundle instead."
    )


def _digest(path: Path) -> str | None:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    except OSError:
        return None
    return digest.hexdigest()


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
