"""`python -m audit.writer`: the writer process."""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import fcntl
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from audit.errors import AuditError, SecondWriterError
from audit.note import is_origin
from audit.payloads import EpochLimits
from audit.retention import Retention
from audit.writer.adopt import JournalSettings
from audit.writer.faults import Faults
from audit.writer.journal import Journal
from audit.writer.keeper import Keeper, Rhythm
from audit.writer.room import Room, RoomLimits
from audit.writer.service import Service

EXIT_SETUP: Final = 2
EXIT_SECOND_WRITER: Final = 3
_MIB: Final = 1024 * 1024
_PR_SET_DUMPABLE: Final = 4  # prctl(2)

_log = logging.getLogger("audit-writer")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; returns the exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(name)s: %(message)s", level=logging.INFO, stream=sys.stderr)
    _keep_secrets_in_memory()
    os.umask(0o077)
    try:
        lock = _lock_folder(options.dir)
        asyncio.run(_run(options))
    except SecondWriterError as error:
        _log.error("%s", error)
        return EXIT_SECOND_WRITER
    except (AuditError, OSError) as error:
        _log.error("The writer can not start: %s", error)
        return EXIT_SETUP
    os.close(lock)
    return 0


async def _run(options: argparse.Namespace) -> None:
    settings = JournalSettings(
        folder=options.dir,
        head=options.head,
        officers=options.officers,
        origin=options.origin,
        limits=EpochLimits(options.epoch_records, options.epoch_seconds),
        retention=dict(options.retain or []),
    )
    journal = Journal(settings)
    rhythm = Rhythm(heartbeat=options.heartbeat_seconds, compare=options.compare_seconds)
    room = Room(settings.database, options.head, _room_limits(options))
    keeper = Keeper(journal, rhythm, room, Faults(options.dir))
    await keeper.open()
    allowed = frozenset(options.allow_uid or [os.getuid()])
    service = Service(keeper, journal, options.origin, allowed)
    server = await service.listen(options.socket)
    commits = asyncio.create_task(keeper.commit_forever())
    ticks = asyncio.create_task(keeper.tick_forever())
    stop = asyncio.create_task(_stop_signal())
    # Without its two loops the writer would take records and never answer: then it must end.
    await asyncio.wait({commits, ticks, stop}, return_when=asyncio.FIRST_COMPLETED)
    server.close()
    keeper.stop()
    await commits
    ticks.cancel()
    await keeper.close()
    await service.hang_up()
    options.socket.unlink(missing_ok=True)
    _log.info("closed at %d records", journal.standing.size)


def _room_limits(options: argparse.Namespace) -> RoomLimits:
    return RoomLimits(
        warn=options.warn_percent / 100,
        stop=options.stop_percent / 100,
        quota=options.quota_mib * _MIB,
        ballast=options.ballast_mib * _MIB,
    )


async def _stop_signal() -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()


def _lock_folder(folder: Path) -> int:
    """Hold the folder for this process.

    Raises:
        SecondWriterError: if another process holds it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder / "writer.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise SecondWriterError(
            f"{folder} is held by another audit writer. Stop that one first."
        ) from error
    return lock


def _keep_secrets_in_memory() -> None:
    """No core file, and no other process of this user reads the memory (prctl(2), proc(5))."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_DUMPABLE was refused")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m audit.writer",
        description="The audit log's writer: appends records that clients send over a socket.",
    )
    add = parser.add_argument
    add("--dir", type=Path, required=True, help="folder of the log; made if it does not exist")
    add("--head", type=Path, required=True, help="head file, best on another filesystem")
    add("--socket", type=Path, required=True, help="AF_UNIX socket to listen on")
    add("--officers", type=Path, required=True, help="officers.json with both groups' public keys")
    add("--origin", type=_origin, required=True, help="name of the log: <appliance id>/audit")
    add(
        "--allow-uid",
        type=int,
        action="append",
        metavar="N",
        help="user id that may write; repeatable; default: the writer's own",
    )
    add("--epoch-records", type=_positive, default=100_000, help="records of an epoch at most")
    add("--epoch-seconds", type=_positive, default=86_400, help="seconds of an epoch at most")
    add(
        "--retain",
        type=_retain,
        action="append",
        metavar="CLASS=DAYS",
        help="days that contents of a class (short, standard, long) are kept; repeatable; "
        "default: for ever",
    )
    add("--heartbeat-seconds", type=_positive, default=300, help="idle time before a heartbeat")
    add("--compare-seconds", type=_positive, default=60, help="time between checks of the head")
    _add_room(add)
    return parser


def _add_room(add: Callable[..., argparse.Action]) -> None:
    add("--quota-mib", type=_amount, default=0, help="MiB that the log may have; 0 means its disk")
    add("--ballast-mib", type=_amount, default=64, help="MiB kept to record a full disk's clean-up")
    add("--warn-percent", type=_positive, default=80, help="a disk or quota so full is reported")
    add("--stop-percent", type=_positive, default=95, help="a disk or quota so full ends prompts")


def _origin(text: str) -> str:
    if not is_origin(text):
        raise argparse.ArgumentTypeError("it must be printable ASCII without spaces and plus signs")
    return text


def _amount(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("it must not be below 0")
    return number


def _retain(text: str) -> tuple[Retention, int]:
    label, _, days = text.partition("=")
    kinds = {kind.label: kind for kind in Retention if kind is not Retention.PERMANENT}
    if label not in kinds:
        raise argparse.ArgumentTypeError(f"the class must be one of {', '.join(kinds)}")
    return kinds[label], _positive(days)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("it must be at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
