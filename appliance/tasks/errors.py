"""What can go wrong with a task or with what was put into it."""

from __future__ import annotations

from pathlib import Path


class TaskError(Exception):
    """A task can not be used, or was used wrongly."""


class TaskFileError(TaskError):
    """A task's file does not declare a task."""

    def __init__(self, file: Path, field: str, expected: str) -> None:
        """Name the file, the field in it, and what should be there."""
        self.file, self.field, self.expected = file, field, expected
        where = f"{file}: {field}" if field else str(file)
        super().__init__(f"{where}: {expected}")


class UnknownTaskError(TaskError):
    """There is no task of this name."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        """`known` are the names that there are."""
        self.name = name
        super().__init__(
            f"There is no task {name[:64]!r} here; there are: {', '.join(known) or 'none'}."
        )


class TaskInputError(TaskError):
    """An input of a task is missing, too long, of the wrong type, or not one of its inputs."""

    def __init__(self, field: str, message: str) -> None:
        """`field` is the input's path, such as `inputs.text`."""
        self.field, self.message = field, message
        super().__init__(message)
