"""What a folder of task files may hold, and how errors in it read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from appliance.tasks import TaskLibrary
from appliance.tasks.errors import TaskFileError, UnknownTaskError

GOOD: dict[str, Any] = {
    "name": "sort",
    "version": 1,
    "title": "Sort a message",
    "model": "demo",
    "inputs": [{"name": "text", "label": "Message", "max_chars": 20}],
    "prompt": {"system": "Sort.", "user": "{{ text }}"},
    "output": {
        "kind": "json",
        "schema": {
            "type": "object",
            "additionalProperties": False,
            "required": ["kind"],
            "properties": {"kind": {"enum": ["a", "b"]}},
        },
    },
}


def write(folder: Path, declared: object, name: str = "sort.yaml") -> Path:
    file = folder / name
    file.write_text(yaml.safe_dump(declared), "utf-8")
    return file


def test_shipped_tasks_load_and_ask_the_demo_model() -> None:
    library = TaskLibrary.load()
    assert {"deidentify", "extract", "triage"} <= {task.name for task in library}
    for task in library:
        example = {field.name: field.example for field in task.inputs}
        body = task.request(example)
        assert body["model"] == task.model
        assert body["messages"][-1]["role"] == "user"


def test_tasks_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        write(tmp_path, GOOD | {"name": name}, f"{name}.yaml")
    assert [task.name for task in TaskLibrary.load(tmp_path)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"version": "1"}, "version", "integer"),
        ({"version": 0}, "version", "greater than or equal to 1"),
        ({"name": "Sort it"}, "name", "pattern"),
        ({"colour": "red"}, "colour", "not permitted"),
        ({"inputs": []}, "inputs", "at least 1"),
        ({"inputs": [{"name": "text"}]}, "inputs.0.label", "required"),
        ({"prompt": {"user": "{{ text"}}, "prompt.user", "not a Jinja template"),
        ({"prompt": {"user": "{{ other }}"}}, "", "'other'"),
        ({"output": {"kind": "json"}}, "output", "needs a schema"),
        ({"output": {"kind": "text", "schema": {}}}, "output", "has none"),
        ({"sampling": {"temperature": -1}}, "sampling.temperature", "greater than or equal"),
        ({"sampling": {"max_tokens": 0}}, "sampling.max_tokens", "greater than or equal"),
        ({"sampling": {"beams": 4}}, "sampling.beams", "not permitted"),
    ],
)
def test_a_wrong_field_is_named_with_what_it_should_hold(
    tmp_path: Path, change: dict[str, Any], field: str, words: str
) -> None:
    file = write(tmp_path, GOOD | change)
    with pytest.raises(TaskFileError, match=words) as caught:
        TaskLibrary.load(tmp_path)
    assert caught.value.field == field
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("schema", "word"),
    [
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"type": "object", "properties": {"a": {"contentEncoding": "base64"}}}, "contentEncoding"),
        ({"not": {"type": "string"}}, "not"),
        ({"type": "strin"}, "strin"),
    ],
)
def test_a_schema_that_can_not_be_enforced_is_an_error_at_load(
    tmp_path: Path, schema: dict[str, Any], word: str
) -> None:
    write(tmp_path, GOOD | {"output": {"kind": "json", "schema": schema}})
    with pytest.raises(TaskFileError, match=word):
        TaskLibrary.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"name: [", "not YAML"),
        (b"- a\n- b\n", "must be a map"),
        (b"name: \xff", "can not be read"),
    ],
)
def test_a_file_that_is_no_task_is_named(tmp_path: Path, text: bytes, words: str) -> None:
    (tmp_path / "broken.yaml").write_bytes(text)
    with pytest.raises(TaskFileError, match=words) as caught:
        TaskLibrary.load(tmp_path)
    assert caught.value.file.name == "broken.yaml"


def test_two_files_may_not_declare_one_name(tmp_path: Path) -> None:
    write(tmp_path, GOOD, "one.yaml")
    write(tmp_path, GOOD, "two.yaml")
    with pytest.raises(TaskFileError, match="another file declares 'sort'"):
        TaskLibrary.load(tmp_path)


def test_an_unknown_task_names_those_that_there_are(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    with pytest.raises(UnknownTaskError, match="there are: sort"):
        TaskLibrary.load(tmp_path).get("sorts")


def test_a_task_is_visible_to_its_roles_only(tmp_path: Path) -> None:
    write(tmp_path, GOOD | {"roles": ["operator"]})
    library = TaskLibrary.load(tmp_path)
    assert [task.name for task in library.visible_to({"user", "operator"})] == ["sort"]
    assert library.visible_to({"user", "officer", "admin"}) == []
