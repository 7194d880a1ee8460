"""What all requests of a task begin with, for the engine to decode before the first of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from appliance.tasks.errors import TaskInputError
from appliance.tasks.task import Task

# Two texts that share not even their first token: what two requests have in common is the task's.
_TEXTS = ("a", "7")

_logger = logging.getLogger(__name__)


def beginnings(tasks: Iterable[Task]) -> list[dict[str, Any]]:
    """For each task two requests that differ in all inputs, for `EngineClient.want_beginnings`.

    A task whose template refuses such inputs is left out; its first request pays for itself.
    """
    found = []
    for task in tasks:
        try:
            samples = [_sample(task, text) for text in _TEXTS]
        except TaskInputError:
            _logger.info("task %s: its beginning is not decoded ahead", task.name)
        else:
            found.append({"model": task.model, "samples": samples})
    return found


def _sample(task: Task, text: str) -> dict[str, Any]:
    return task.request(dict.fromkeys((field.name for field in task.inputs), text))
