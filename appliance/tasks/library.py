"""The tasks of this appliance, read from a folder of YAML files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from appliance.tasks.errors import TaskFileError, UnknownTaskError
from appliance.tasks.task import Task

SHIPPED = Path(__file__).parent / "shipped"
_MAX_FILE_BYTES = 1024 * 1024


@dataclass(frozen=True)
class TaskLibrary:
    """All tasks, by name."""

    _tasks: dict[str, Task]

    @classmethod
    def load(cls, folder: Path = SHIPPED) -> TaskLibrary:
        """Read every `*.yaml` of a folder.

        Raises:
            TaskFileError: A file is no task; names the file, the field and what it should hold.
        """
        tasks: dict[str, Task] = {}
        for file in sorted(folder.glob("*.yaml")):
            task = load_task(file)
            if task.name in tasks:
                raise TaskFileError(file, "name", f"another file declares {task.name!r} already")
            tasks[task.name] = task
        return cls(tasks)

    def __iter__(self) -> Iterator[Task]:
        """The tasks in the order of their names."""
        return iter(sorted(self._tasks.values(), key=lambda task: task.name))

    def __len__(self) -> int:
        """How many tasks there are."""
        return len(self._tasks)

    def get(self, name: str) -> Task:
        """The task of this name; raises UnknownTaskError."""
        try:
            return self._tasks[name]
        except KeyError:
            raise UnknownTaskError(name, tuple(sorted(self._tasks))) from None

    def visible_to(self, roles: Iterable[str]) -> list[Task]:
        """The tasks that an account with these roles may run, by name."""
        held = {str(role) for role in roles}
        return [task for task in self if held & set(task.roles)]


def load_task(file: Path) -> Task:
    """Read one task file; raises TaskFileError."""
    try:
        if file.stat().st_size > _MAX_FILE_BYTES:
            raise TaskFileError(file, "", f"is larger than {_MAX_FILE_BYTES} bytes")
        declared: Any = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise TaskFileError(file, "", f"can not be read: {error}") from None
    except yaml.YAMLError as error:
        raise TaskFileError(file, "", f"is not YAML: {error}") from None
    if not isinstance(declared, dict):
        raise TaskFileError(file, "", "must be a map that begins with `name:`")
    try:
        return Task.model_validate(declared)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise TaskFileError(file, field, first["msg"]) from None
