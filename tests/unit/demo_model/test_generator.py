"""Invariants of the synthetic examples: the gold answers are right by construction, and stay so."""

from __future__ import annotations

import json
from random import Random

import jsonschema
import pytest

from models.demo.recipe import dataset, evaluate, messages, metrics, notes, tasks, templates

COUNT = 400


def seeded(seed: int | str) -> Random:
    """A generator of synthetic text; nothing here is secret."""
    return Random(seed)  # noqa: S311


def drawn(name: str, count: int = COUNT) -> list[dataset.Example]:
    """Examples of one task from a split that nothing else uses."""
    rng = seeded(f"test/{name}")
    return [dataset.draw(rng, name) for _ in range(count)]


def test_same_index_same_example() -> None:
    first = list(dataset.examples("test", 0, 50))
    assert first == list(dataset.examples("test", 0, 50))
    assert first[10:] == list(dataset.examples("test", 10, 40))


def test_splits_differ() -> None:
    train = {item.text for item in dataset.examples("train-full", 0, 200)}
    other = [item.text for item in dataset.examples("held-out", 0, 200)]
    assert sum(text in train for text in other) < 10


def test_every_task_is_drawn() -> None:
    assert {item.task for item in dataset.examples("test", 0, 100)} == set(tasks.NAMES)


def test_note_pieces_carry_only_declared_labels() -> None:
    rng = seeded(5)
    labels = {label for _ in range(COUNT) for _, label in notes.note_pieces(rng)} - {None}
    assert labels == set(tasks.task("deidentify").labels)


def test_gold_note_is_the_text_with_labels() -> None:
    for item in drawn("deidentify"):
        assert metrics.surfaces(item.text, item.answer) is not None


def test_gold_note_has_no_identifier_left() -> None:
    rng = seeded(6)
    for _ in range(COUNT):
        pieces = notes.note_pieces(rng)
        neutral = "\x00".join(text for text, label in pieces if label is None)
        long = [
            text
            for text, label in pieces
            if label in {"[ID]", "[PHONE]", "[EMAIL]"} and len(text) > 6
        ]
        assert not [text for text in long if text in neutral]


def test_texts_hold_no_label_of_their_own() -> None:
    for item in drawn("deidentify"):
        assert not metrics.LABEL.search(item.text)


def test_some_notes_have_nothing_to_replace() -> None:
    clean = [item for item in drawn("deidentify") if item.text == item.answer]
    assert 0.03 * COUNT < len(clean) < 0.3 * COUNT


@pytest.mark.parametrize("name", ["triage", "extract"])
def test_json_answers_follow_the_schema(name: str) -> None:
    schema = tasks.task(name).schema
    assert schema is not None
    validator = jsonschema.Draft202012Validator(schema)
    for item in drawn(name):
        value = json.loads(item.answer)
        validator.validate(value)
        assert list(value) == list(schema["properties"])
        assert item.answer == json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def test_extracted_values_stand_in_the_letter() -> None:
    for item in drawn("extract"):
        assert all(value in item.text for value in json.loads(item.answer).values() if value)


def test_every_extract_field_is_present_and_absent() -> None:
    answers = [json.loads(item.answer) for item in drawn("extract")]
    for field in ("recipient", "date", "reference", "amount", "due_date", "phone"):
        present = sum(answer[field] is not None for answer in answers)
        assert 0 < present < len(answers)


def test_every_triage_category_is_drawn() -> None:
    schema = tasks.task("triage").schema
    assert schema is not None
    seen = {json.loads(item.answer)["category"] for item in drawn("triage")}
    assert seen == set(schema["properties"]["category"]["enum"])


@pytest.mark.parametrize(
    ("urgency", "action", "upset", "expected"),
    [
        ("high", "block_card", False, True),
        ("normal", "reply", False, False),
        ("normal", "reply", True, True),
        ("normal", "assess_claim", False, True),
    ],
)
def test_when_a_person_is_needed(urgency: str, action: str, upset: bool, expected: bool) -> None:
    answer = messages.answer("general", urgency, "none", action, upset=upset)
    assert json.loads(answer)["needs_human"] is expected


def test_prompt_is_the_one_of_the_shipped_task() -> None:
    item = dataset.Example("triage", "hello", "{}")
    prompt, completion = dataset.render(item)
    assert tasks.task("triage").system in prompt
    assert prompt.endswith("<|im_start|>assistant\n")
    assert completion == "{}<|im_end|>"


def test_templates_resolve_nested_choices() -> None:
    seen = {templates.spin(seeded(seed), "<a|b <c|d>>") for seed in range(40)}
    assert seen == {"a", "b c", "b d"}


def test_no_template_mark_is_left_in_an_example() -> None:
    for item in dataset.examples("test-marks", 0, COUNT):
        assert not any(mark in item.text for mark in ("{", "}", "<a", "|>", "@reference", "@date"))


def test_handwritten_texts_are_not_generated() -> None:
    written = {item.text for name in tasks.NAMES for item in evaluate.handwritten(name)}
    sentences = {
        part.strip() for text in written for part in text.split(".") if len(part.strip()) > 30
    }
    for item in dataset.examples("train-full", 0, 1500):
        assert item.text not in written
        assert not any(sentence in item.text for sentence in sentences)
