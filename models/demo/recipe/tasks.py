"""The three shipped tasks, read from their declarations: prompts and schemas have one source."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
RUNTIME_PYTHON = ROOT / ".venv" / "bin" / "python"
SHIPPED = ROOT / "appliance" / "tasks" / "shipped"
NAMES = ("deidentify", "triage", "extract")


@dataclass(frozen=True)
class Task:
    """What the recipe needs of a task declaration."""

    name: str
    system: str
    user: str
    max_tokens: int
    labels: tuple[str, ...]
    schema: dict[str, Any] | None

    def messages(self, text: str) -> tuple[str, str]:
        """System and user message for an input text."""
        return self.system, self.user.replace("{{ text }}", text)


@cache
def task(name: str) -> Task:
    """Read one shipped task."""
    declared = yaml.safe_load((SHIPPED / f"{name}.yaml").read_text(encoding="utf-8"))
    output = declared["output"]
    return Task(
        name=name,
        system=declared["prompt"]["system"],
        user=declared["prompt"]["user"],
        max_tokens=declared["sampling"]["max_tokens"],
        labels=tuple(output.get("labels", ())),
        schema=output.get("schema"),
    )
