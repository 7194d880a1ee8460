"""What all requests of a task begin with, told by two of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.tasks.beginnings import beginnings
from appliance.tasks.library import TaskLibrary

TASK = """
name: greet
version: 1
title: Greet
model: front-desk
inputs:
  - {name: who, label: Who}
  - {name: note, label: Note, required: false, max_chars: 1}
prompt:
  system: Be polite.
  user: "{% if note %}Mind the note.{% endif %} Greet {{ who }} ({{ note }})."
output: {kind: text}
"""


def test_the_samples_of_a_task_differ_in_every_input_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "greet.yaml").write_text(TASK)
    (found,) = beginnings(TaskLibrary.load(tmp_path))
    assert found["model"] == "front-desk"
    first, second = (sample["messages"] for sample in found["samples"])
    assert first[0] == second[0] == {"role": "system", "content": "Be polite."}
    texts = (first[1]["content"], second[1]["content"])
    assert texts == ("Mind the note. Greet a (a).", "Mind the note. Greet 7 (7).")


@pytest.mark.parametrize("expression", ["note.author", "1 // (note | int)", "note + 1"])
def test_a_task_whose_template_refuses_the_samples_is_left_out(
    tmp_path: Path, expression: str
) -> None:
    (tmp_path / "greet.yaml").write_text(TASK.replace("{{ note }}", f"{{{{ {expression} }}}}"))
    tasks = TaskLibrary.load(tmp_path)
    assert beginnings(tasks) == []


def test_every_shipped_task_has_a_beginning() -> None:
    tasks = TaskLibrary.load()
    found = beginnings(tasks)
    assert len(found) == len(tasks)
    for each in found:
        first, second = (sample["messages"] for sample in each["samples"])
        assert first[0] == second[0]
        assert first[1:] != second[1:]
