"""Tasks: declared work before and after a model."""

from appliance.tasks.checks import Check
from appliance.tasks.library import SHIPPED, TaskLibrary
from appliance.tasks.task import Task, TaskInput

__all__ = ["SHIPPED", "Check", "Task", "TaskInput", "TaskLibrary"]
