"""`cloister doctor`: does this machine, with what runs on it, hold what we promise?"""

from __future__ import annotations

import hashlib
import platform
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

import psutil
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from appliance.catalogue.folder import read_catalogue
from appliance.database import open_database
from appliance.engine.client import EngineClient
from appliance.engine.errors import EngineError
from appliance.host import network
from appliance.host.errors import HostError, ModelFileError, NotRunningError
from appliance.host.lock import holder
from appliance.host.preflight import (
    check_clock,
    check_disk,
    check_models,
    check_permissions,
    private_folders,
)
from appliance.settings import Settings
from audit.client import AuditClient
from audit.errors import AuditError
from audit.forward.destination import Destination
from audit.forward.position import read_position
from audit.head import read_head
from audit.note import read_checkpoint

_BLOCK: Final = 1 << 20
_ASK_SECONDS: Final = 5.0
_START: Final = "Start it: cloister run"


class State(StrEnum):
    """How one check came out."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


class _Warning(Exception):
    def __init__(self, detail: str, remedy: str) -> None:
        super().__init__(detail)
        self.remedy = remedy


@dataclass(frozen=True)
class Finding:
    """One check: what was found and, where it is not well, what to do."""

    check: str
    state: State
    detail: str
    remedy: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Run every check in turn; none hides another."""
    for name, check in _CHECKS.items():
        try:
            yield Finding(name, State.OK, check(settings))
        except _Warning as warning:
            yield Finding(name, State.WARN, str(warning), warning.remedy)
        except HostError as error:
            yield Finding(name, State.BAD, error.message, error.remedy)
        except (AuditError, EngineError) as error:
            yield Finding(name, State.BAD, str(error), _START)
        except SQLAlchemyError as error:
            words = f"The app database can not be read ({type(error).__name__})."
            yield Finding(name, State.BAD, words, "Restore it from a backup.")
        except (OSError, ValidationError) as error:
            yield Finding(name, State.BAD, str(error), "Mend what it names.")


def _python(settings: Settings) -> str:
    return f"{platform.python_implementation()} {platform.python_version()}"


def _settings(settings: Settings) -> str:
    file = settings.etc / "appliance.toml"
    if not file.exists():
        raise NotRunningError(f"{file} is missing.", "`cloister run` writes it.")
    return str(file)


def _permissions(settings: Settings) -> str:
    folders = private_folders(settings)
    missing = [str(folder) for folder in folders if not folder.is_dir()]
    if missing:
        raise NotRunningError(f"Missing: {', '.join(missing)}.", "`cloister run` makes them.")
    check_permissions(folders)
    return f"{len(folders)} folders, all 0700"


def _disk(settings: Settings) -> str:
    check_disk(settings.root, settings.disk_minimum_mib)
    free = psutil.disk_usage(str(settings.root)).free
    return f"{free / 1e9:.1f} GB free"


def _clock(settings: Settings) -> str:
    now = datetime.now(UTC)
    check_clock(settings.head_log, now)
    return f"{now:%Y-%m-%d %H:%M} UTC"


def _models(settings: Settings) -> str:
    check_models(settings.models)
    manifests = read_catalogue(settings.models).manifests
    for manifest in manifests.values():
        weights = manifest.weights(settings.models)
        found = _digest(weights)
        if found != manifest.sha256:
            raise ModelFileError(
                f"{weights} has SHA-256 {found}, but its manifest says {manifest.sha256}.",
                "Bring the right file in again.",
            )
    if not manifests:
        raise ModelFileError(f"There is no model in {settings.models}.", "`cloister run`")
    return f"{', '.join(manifests)}: as their manifests say"


def _database(settings: Settings) -> str:
    file = settings.web / "app.db"
    if not file.exists():
        raise NotRunningError(f"{file} is missing.", "`cloister run` makes it.")
    with (
        closing(open_database(settings.database_url)) as database,
        database.engine.connect() as connection,
    ):
        answer = connection.exec_driver_sql("PRAGMA quick_check").scalar_one()
    if answer != "ok":
        raise HostError(f"{file} is damaged: {answer}.", "Restore it from a backup.")
    return "sound"


def _running(settings: Settings) -> str:
    pid = holder(settings.run / "run.lock")
    if pid is None:
        raise NotRunningError(f"Cloister does not run on {settings.root}.", _START)
    return f"process {pid}"


def _log(settings: Settings) -> str:
    with closing(AuditClient(settings.audit_socket, _ASK_SECONDS)) as client:
        before = _last_head(settings.head_log)
        status = client.status()
        after = _last_head(settings.head_log)
    if status.health != "ok":
        taken = "prompts" if status.health == "no_room" else "records"
        raise HostError(f"The log takes no {taken}.", status.reason)
    if not before <= status.size <= after:
        raise HostError(
            f"The log has {status.size} records, but its head has seen {after}.",
            "Stop Cloister and run: cloister audit verify",
        )
    return f"{status.size} records, epoch {status.epoch}, as its head says"


def _room(settings: Settings) -> str:
    with closing(AuditClient(settings.audit_socket, _ASK_SECONDS)) as client:
        status = client.status()
    found = f"{status.used:.0%} of the log's disk or quota in use"
    if status.warning:
        raise _Warning(found, status.warning)
    return found


def _grade(settings: Settings) -> str:
    return _GRADES[settings.audit_grade]


def _witness(settings: Settings) -> str:
    with closing(AuditClient(settings.audit_socket, _ASK_SECONDS)) as client:
        status = client.status()
    unseen = status.size - status.witnessed
    if status.witnessed_at is None:
        return f"no outsider has seen any of the {unseen} records: cloister audit checkpoint --help"
    when = datetime.fromtimestamp(status.witnessed_at, UTC)
    return f"{unseen} records since {when:%Y-%m-%d %H:%M} UTC that no outsider has seen"


def _engine(settings: Settings) -> str:
    with EngineClient(settings.engine_socket, _ASK_SECONDS) as client:
        names = client.names()
    models = [one for one in names if one.alias_of is None]
    # An imported model waits for the operator: that is as it should be.
    settled = {"ready", "stopped", "imported"}
    idle = [one for one in names if one.state not in settled or one.error]
    if idle or not models:
        found = ", ".join(f"{one.id} is {one.state}: {one.error or ''}" for one in idle)
        raise HostError(found or "The engine has no model.", "Wait a minute, or see var/log.")
    states = Counter(one.state for one in models)
    rest = {"stopped": "start when asked for", "imported": "imported and not activated"}
    others = [f", {states[state]} {said}" for state, said in rest.items() if states[state]]
    return f"{states['ready']} of {len(models) - states['imported']} models ready{''.join(others)}"


def _listening(settings: Settings) -> str:
    ours = network.family(_manager(settings))
    expected = {(settings.host, settings.port)}
    found = network.listening(ours)
    if found != expected:
        raise HostError(
            f"Our processes listen on {network.written(found)} "
            f"instead of {network.written(expected)}.",
            "Stop Cloister at once and find out which process opened it.",
        )
    return f"only {network.written(expected)}"


def _egress(settings: Settings) -> str:
    ours = network.family(_manager(settings))
    forwarders = [one for one in ours if network.runs_module(one, "audit.forward")]
    strangers = network.outside(one for one in ours if one not in forwarders)
    strangers |= network.outside(forwarders) - _log_host(settings)
    if strangers:
        raise HostError(
            f"Our processes talk to {network.written(strangers)}.",
            "Stop Cloister at once and find out which process does.",
        )
    if settings.audit_forward:
        return f"no connection leaves this machine but to {settings.audit_forward}"
    return "no connection leaves this machine"


def _log_host(settings: Settings) -> set[network.Address]:
    """The one address outside of this machine that one of our processes may talk to."""
    if not settings.audit_forward:
        return set()
    to = Destination.parse(settings.audit_forward)
    return {(to.host, to.port)}


def _forward(settings: Settings) -> str:
    if not settings.audit_forward:
        return "off: no log host is set"
    with closing(AuditClient(settings.audit_socket, _ASK_SECONDS)) as client:
        status = client.status()
    position = read_position(settings.forward)
    told = position.next if position.vkey == status.vkey else 0
    found = f"{max(0, status.size - told)} records wait for {settings.audit_forward}"
    if position.reason:
        raise _Warning(found, f"{position.reason} They are sent when it is back.")
    return found


def _manager(settings: Settings) -> int:
    pid = holder(settings.run / "run.lock")
    if pid is None:
        raise NotRunningError("Cloister does not run.", _START)
    return pid


def _last_head(head: Path) -> int:
    size = 0
    for note in read_head(head):
        size = read_checkpoint(note).size
    return size


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


_GRADES: Final = {
    "default": "default: an answer ends only when its record is durable",
    "strict": "strict: each piece of an answer is shown only when its record is durable",
}
_CHECKS: Final[dict[str, Callable[[Settings], str]]] = {
    "python": _python,
    "settings": _settings,
    "permissions": _permissions,
    "disk": _disk,
    "clock": _clock,
    "models": _models,
    "database": _database,
    "running": _running,
    "log": _log,
    "room": _room,
    "grade": _grade,
    "witness": _witness,
    "forward": _forward,
    "engine": _engine,
    "listening": _listening,
    "egress": _egress,
}
