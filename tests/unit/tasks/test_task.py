"""Inputs of a task and the request that they become."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.tasks import Task
from appliance.tasks.errors import TaskInputError
from appliance.tasks.subject import clean_subject
from appliance.tasks.work import Source, Work


def task(**change: Any) -> Task:  # noqa: ANN401 - a task's fields
    declared: dict[str, Any] = {
        "name": "reply",
        "version": 3,
        "title": "Reply",
        "model": "demo",
        "inputs": [
            {"name": "text", "label": "Message", "max_chars": 20},
            {"name": "tone", "label": "Tone", "required": False, "max_chars": 10},
        ],
        "prompt": {"system": "Reply{% if tone %}, {{ tone }}{% endif %}.", "user": "{{ text }}"},
        "sampling": {"temperature": 0.0, "max_tokens": 9},
        "output": {"kind": "text"},
    }
    return Task.model_validate(declared | change)


def test_inputs_are_put_into_both_messages() -> None:
    assert task().render({"text": "Hello", "tone": "short"}) == [
        {"role": "system", "content": "Reply, short."},
        {"role": "user", "content": "Hello"},
    ]


def test_an_input_that_is_not_required_may_be_left_out() -> None:
    assert task().render({"text": "Hello"})[0]["content"] == "Reply."


def test_a_task_without_a_system_prompt_sends_one_message() -> None:
    messages = task(prompt={"user": "{{ text }}{{ tone }}"}).render({"text": "Hello"})
    assert messages == [{"role": "user", "content": "Hello"}]


@pytest.mark.parametrize(
    ("inputs", "field", "words"),
    [
        ({}, "inputs.text", "required"),
        ({"text": " \n"}, "inputs.text", "required"),
        ({"text": 5}, "inputs.text", "must be text, not int"),
        ({"text": "x" * 21}, "inputs.text", "has 21 characters; this task takes at most 20"),
        ({"text": "x", "tone": "y" * 11}, "inputs.tone", "at most 10"),
        ({"text": "x", "mood": "y"}, "inputs.mood", "has no such input; it has: text, tone"),
    ],
)
def test_a_wrong_input_is_named_with_its_limit(
    inputs: dict[str, object], field: str, words: str
) -> None:
    with pytest.raises(TaskInputError, match=words) as caught:
        task().render(inputs)
    assert caught.value.field == field


@given(st.text(max_size=200).filter(lambda text: text.strip()))
def test_what_people_type_is_never_run_as_a_template(typed: str) -> None:
    free = task(
        inputs=[{"name": "text", "label": "Message", "max_chars": 400}],
        prompt={"user": "{{ text }}"},
    )
    hostile = "{{ 7 * 7 }}{% for a in b %}" + typed
    assert free.render({"text": hostile})[0]["content"] == hostile


def test_templates_can_not_leave_the_sandbox() -> None:
    escaping = task(prompt={"user": "{{ text.__class__.__mro__ }}"})
    with pytest.raises(TaskInputError, match="unsafe"):
        escaping.render({"text": "Hello"})


def test_a_template_that_can_not_compute_is_an_input_error_that_quotes_nothing() -> None:
    counting = task(prompt={"user": "{{ [1, 2] | sum(start=text) }}"})
    with pytest.raises(TaskInputError, match=r"can not compute with this \(TypeError\)") as caught:
        counting.render({"text": "Mrs Meier"})
    assert "Meier" not in str(caught.value)


def test_a_schema_becomes_a_strict_response_format() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    body = task(output={"kind": "json", "schema": schema}).request({"text": "Hello"})
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "reply", "schema": schema, "strict": True},
    }
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("demo", 0.0, 9)


def test_an_input_may_name_whom_a_run_is_about() -> None:
    about = task(subject="tone")
    assert about.subject_of({"text": "Hello", "tone": "  case 7 "}) == "case 7"
    assert about.subject_of({"text": "Hello"}) is None
    assert task().subject_of({"text": "Hello", "tone": "case 7"}) is None


def test_one_name_is_one_subject_however_unicode_composes_it() -> None:
    assert clean_subject("Mu\u0308ller") == clean_subject("M\u00fcller ")


@pytest.mark.parametrize("name", ["two\nlines", "x" * 257])
def test_what_is_no_name_is_refused_as_a_subject(name: str) -> None:
    with pytest.raises(TaskInputError, match=r"inputs\.tone must be one line"):
        task(subject="tone").subject_of({"tone": name})


def test_a_subject_that_is_no_input_is_an_error_of_the_task() -> None:
    with pytest.raises(ValueError, match="which is no input"):
        task(subject="patient")


def test_a_task_says_how_long_its_contents_are_kept() -> None:
    given = {"text": "Hello"}
    usual = Work.for_task(task(), given, actor="ada", source=Source.WEB)
    short = Work.for_task(task(retention="short"), given, actor="ada", source=Source.WEB)
    assert (usual.retention, short.retention) == ("standard", "short")
    assert Work("ada", Source.API, {}).retention is None
    with pytest.raises(ValueError, match="retention"):
        task(retention="week")
