"""What has to hold before a start. Each check returns None or raises its one named error."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import psutil

from appliance.catalogue.folder import read_catalogue
from appliance.host.errors import (
    ClockError,
    DiskFullError,
    ForwardingError,
    ModelFileError,
    PermissionsError,
    PortInUseError,
)
from appliance.settings import Settings
from audit.forward.destination import Destination
from audit.forward.errors import DestinationError

RELEASED: Final = date(2026, 11, 23)
_CLOCK_TOLERANCE: Final = timedelta(minutes=2)
_MIB: Final = 1024 * 1024


def check_all(settings: Settings) -> None:
    """Run every check that needs no process of ours, cheapest first.

    Raises:
        HostError: the first thing that is wrong, with its remedy.
    """
    check_clock(settings.head_log, datetime.now(UTC))
    check_permissions(private_folders(settings))
    check_disk(settings.root, settings.disk_minimum_mib)
    check_models(settings.models)
    check_forwarding(settings)
    check_port(settings.host, settings.port)


def check_clock(head_log: Path, now: datetime) -> None:
    """The clock is past this release's date and past the last checkpoint.

    Args:
        head_log: the log's head; its time of change is that of the last checkpoint.
        now: the time, with its zone.

    Raises:
        ClockError: the clock is behind one of them.
    """
    if now.date() < RELEASED - timedelta(days=1):
        raise ClockError(
            f"The clock says {now:%Y-%m-%d}, but this release is of {RELEASED}.",
            "Set the clock (as root: date --set '2027-01-31 09:00'), then start again.",
        )
    try:
        last = datetime.fromtimestamp(head_log.stat().st_mtime, UTC)
    except FileNotFoundError:
        return
    if now + _CLOCK_TOLERANCE < last:
        raise ClockError(
            f"The clock says {now:%Y-%m-%d %H:%M} UTC, but the log's last checkpoint is of "
            f"{last:%Y-%m-%d %H:%M} UTC.",
            "Set the clock (as root: date --set '2027-01-31 09:00'), then start again.",
        )


def check_forwarding(settings: Settings) -> None:
    """The log host's address is one, if it is set.

    Raises:
        ForwardingError: it is none, or the authority's file is missing.
    """
    if not settings.audit_forward:
        return
    remedy = "Set audit_forward and audit_forward_ca as docs/audit.md says."
    try:
        Destination.parse(settings.audit_forward)
    except DestinationError as error:
        raise ForwardingError(str(error), remedy) from error
    if settings.audit_forward_ca and not Path(settings.audit_forward_ca).is_file():
        raise ForwardingError(f"{settings.audit_forward_ca} does not exist.", remedy)


def private_folders(settings: Settings) -> list[Path]:
    """The folders that nobody but the owner may look into."""
    folders = [
        settings.web,
        settings.engine,
        settings.audit,
        settings.forward.parent,
        settings.head_log.parent,
        settings.logs,
        settings.run,
    ]
    return folders if settings.root == Path("/") else [settings.root, *folders]


def check_permissions(folders: Iterable[Path]) -> None:
    """Each folder that exists belongs to us, is writable, and is closed to everybody else.

    Raises:
        PermissionsError: one is not.
    """
    for folder in folders:
        try:
            found = folder.lstat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise PermissionsError(
                f"{folder} can not be used by user id {os.geteuid()}: {error.strerror}.",
                "Start as the user that owns the state tree, or set CLOISTER_STATE to a folder "
                "that this user may write to.",
            ) from None
        if not stat.S_ISDIR(found.st_mode):
            raise PermissionsError(
                f"{folder} is no folder.", "Move it away, or set CLOISTER_STATE to another place."
            )
        if found.st_uid != os.geteuid():
            raise PermissionsError(
                f"{folder} belongs to user id {found.st_uid}, and this is user id {os.geteuid()}.",
                f"Start as its owner, or: chown -R {os.geteuid()} {folder}",
            )
        if stat.S_IMODE(found.st_mode) & 0o777 != 0o700:
            raise PermissionsError(
                f"{folder} has mode {stat.S_IMODE(found.st_mode):04o}; "
                "prompts and keys are kept there, so it must be 0700.",
                f"chmod 0700 {folder}",
            )


def check_disk(root: Path, minimum_mib: int) -> None:
    """At least `minimum_mib` MiB are free where the state tree is.

    Raises:
        DiskFullError: they are not.
    """
    place = root
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free // _MIB
    if free < minimum_mib:
        raise DiskFullError(
            f"Only {free} MiB are free on the disk of {root}; Cloister keeps {minimum_mib} MiB "
            "for its log.",
            "Free some room, set CLOISTER_STATE to a larger disk, or lower disk_minimum_mib.",
        )


def check_models(models: Path) -> None:
    """Each manifest is sound and its weights are there; a tree that is not made yet passes.

    Raises:
        ModelFileError: one is not; the digest is checked by the engine when it loads the file.
    """
    if not models.exists():
        return
    catalogue = read_catalogue(models)
    for fault in catalogue.faults.values():
        raise ModelFileError(f"Model manifest {models}/{fault}", "Mend or remove that manifest.")
    if not catalogue.manifests:
        raise ModelFileError(
            f"There is no model in {models}.",
            "Put a GGUF file and its manifest there; the repository has both in models/.",
        )
    for manifest in catalogue.manifests.values():
        weights = manifest.weights(models)
        if not weights.is_file():
            raise ModelFileError(
                f"The file of model {manifest.name!r} is missing: {weights}.",
                f"Put it back, or remove the model: rm {models}/{manifest.name}.toml",
            )


def check_port(host: str, port: int) -> None:
    """Nobody listens on the address of the pages, and we may.

    Raises:
        PortInUseError: somebody does, or the port is reserved for root.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As gunicorn does, so that a connection of the last run in TIME_WAIT is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise _port_error(host, port, error) from None


def _port_error(host: str, port: int, error: OSError) -> PortInUseError:
    another = f"Choose another port: CLOISTER_PORT={port + 1 if port < 65535 else 8080}"
    if error.errno == errno.EADDRINUSE:
        return PortInUseError(
            f"Port {port} on {host} is in use{_listener(port)}.",
            f"Stop that program, or: {another}",
        )
    return PortInUseError(f"Port {port} on {host} can not be used: {error.strerror}.", another)


def _listener(port: int) -> str:
    """Who listens, as far as this user may know."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:
        return ""
    for connection in connections:
        address = connection.laddr
        if connection.status == psutil.CONN_LISTEN and address and address.port == port:
            return f" by process {connection.pid}" if connection.pid else ""
    return ""
