"""Aliases: the names that applications ask for, and the model that each points at.

They lie in one JSON file that only the supervisor writes. It is written whole, synced, and renamed
over the old one (rename(2) is atomic), so a crash leaves the old aliases or the new ones.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from appliance.catalogue.manifest import ModelManifest, Name, Sha256
from appliance.engine.errors import AliasFileError, AliasRefusedError, UnknownAliasError

_KEPT = 32  # models of one alias that are remembered, the present one among them
_NAME: TypeAdapter[str] = TypeAdapter(Name)


class Target(BaseModel):
    """What an alias points at, since when, and who pointed it there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Name
    sha256: Sha256
    since: AwareDatetime
    by: str = Field(max_length=200)

    @classmethod
    def now(cls, model: str, sha256: str, by: str) -> Target:
        """A target from this second on."""
        since = datetime.now(UTC).replace(microsecond=0)
        return cls(model=model, sha256=sha256, since=since, by=by)

    def is_same_as(self, other: Target) -> bool:
        """Whether both are the same weights under the same name."""
        return (self.model, self.sha256) == (other.model, other.sha256)


Targets = Annotated[tuple[Target, ...], Field(min_length=1, max_length=_KEPT)]


class _File(BaseModel):
    """The whole file; the last target of an alias is the present one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    aliases: dict[Name, Targets] = {}


class Aliases:
    """All aliases of an appliance.

    Args:
        file: where they are kept; it need not exist.

    Raises:
        AliasFileError: the file is there and can not be read or understood.
    """

    def __init__(self, file: Path) -> None:
        """Read the file."""
        self._path = file
        self._targets: Mapping[str, tuple[Target, ...]] = _read(file).aliases

    def __contains__(self, name: object) -> bool:
        """Whether there is an alias of this name."""
        return name in self._targets

    def all(self) -> Mapping[str, tuple[Target, ...]]:
        """Every alias by name, with its targets, the present one last."""
        return dict(sorted(self._targets.items()))

    def resolve(self, name: str) -> str:
        """The model that `name` stands for; a name that is no alias stands for itself."""
        targets = self._targets.get(name)
        return targets[-1].model if targets else name

    def of(self, model: str) -> list[str]:
        """The aliases that point at a model."""
        return [name for name, targets in self.all().items() if targets[-1].model == model]

    def hold_back(self, manifest: ModelManifest | None) -> bool:
        """Whether a model may not be asked for anything yet.

        So it is with one that its manifest holds, until an alias points at it. While an alias could
        be rolled back to exactly these weights it stays as it is.
        """
        if manifest is None or not manifest.held:
            return False
        this = manifest.name, manifest.sha256
        return not any(
            targets[-1].model == manifest.name
            or any((each.model, each.sha256) == this for each in targets)
            for targets in self._targets.values()
        )

    def targets(self, alias: str) -> tuple[Target, ...]:
        """What an alias points at and pointed at before, the present one last.

        Raises:
            UnknownAliasError: there is no such alias.
        """
        try:
            return self._targets[alias]
        except KeyError:
            raise UnknownAliasError(alias) from None

    def previous(self, alias: str) -> Target:
        """What an alias pointed at before.

        Raises:
            UnknownAliasError: there is no such alias.
            AliasRefusedError: it has never pointed at anything else.
        """
        targets = self.targets(alias)
        if len(targets) < 2:
            raise AliasRefusedError(
                f"Alias {alias!r} has only ever pointed at {targets[-1].model!r}, so there is"
                " nothing to go back to; name the model with: cloister model activate."
            )
        return targets[-2]

    def point(self, alias: str, target: Target) -> None:
        """Point an alias, new or known, at a model; returns once that is durable.

        Raises:
            OSError: it could not be written; all is as before.
        """
        before = self._targets.get(alias, ())
        if not before or not before[-1].is_same_as(target):
            self._keep({**self._targets, alias: (*before, target)[-_KEPT:]})

    def back(self, alias: str) -> None:
        """Let an alias point at what it pointed at before; returns once that is durable.

        Raises:
            UnknownAliasError, AliasRefusedError: as in `previous`.
            OSError: it could not be written; all is as before.
        """
        self.previous(alias)
        self._keep({**self._targets, alias: self._targets[alias][:-1]})

    def remove(self, alias: str) -> None:
        """Forget an alias; returns once that is durable.

        Raises:
            UnknownAliasError: there is no such alias.
            OSError: it could not be written; all is as before.
        """
        self.targets(alias)
        self._keep({name: each for name, each in self._targets.items() if name != alias})

    def _keep(self, targets: dict[str, tuple[Target, ...]]) -> None:
        _write(self._path, _File(aliases=targets).model_dump_json(indent=2).encode() + b"\n")
        self._targets = targets


def check_alias_name(alias: str) -> None:
    """Return only if `alias` may be an alias's name.

    Raises:
        AliasRefusedError: it breaks the rule for names of models, which holds for aliases too.
    """
    try:
        _NAME.validate_python(alias)
    except ValidationError as error:
        raise AliasRefusedError(
            f"{alias[:80]!r} can not be an alias: 1 to 63 of a-z 0-9 . _ -, and the first a letter"
            " or a digit."
        ) from error


def _read(file: Path) -> _File:
    try:
        return _File.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return _File()
    except OSError as error:
        raise AliasFileError(f"{file} can not be read ({error.strerror}).") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "file"
        raise AliasFileError(
            f"{file} is damaged ({place}: {first['msg']}). Put back a copy, or move it away and"
            " point the aliases again with: cloister model activate."
        ) from error


def _write(file: Path, raw: bytes) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.new")
    with open(os.open(new, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as stream:
        stream.write(raw)
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(file)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
