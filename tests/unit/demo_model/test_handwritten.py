"""The hand-written texts: enough of them, and gold answers that fit their texts."""

from __future__ import annotations

import json

import jsonschema
import pytest

from models.demo.recipe import evaluate, metrics, tasks


def test_there_are_at_least_sixty() -> None:
    counts = [len(evaluate.handwritten(name)) for name in tasks.NAMES]
    assert sum(counts) >= 60
    assert min(counts) >= 20


def test_marked_notes_become_text_and_gold() -> None:
    case = {"note": "Mrs <<NAME Ada Lane>> rang on <<DATE 3 May>>."}
    assert evaluate.text_and_gold(case) == (
        "Mrs Ada Lane rang on 3 May.",
        "Mrs [NAME] rang on [DATE].",
    )


def test_notes_have_only_known_labels() -> None:
    for item in evaluate.handwritten("deidentify"):
        assert "<<" not in item.text
        assert metrics.surfaces(item.text, item.answer) is not None
        labels = [
            unit
            for unit in metrics.UNIT.findall(item.answer)
            if unit.startswith("[") and len(unit) > 1
        ]
        assert set(labels) <= set(tasks.task("deidentify").labels)


@pytest.mark.parametrize("name", ["triage", "extract"])
def test_gold_follows_the_schema(name: str) -> None:
    schema = tasks.task(name).schema
    assert schema is not None
    for item in evaluate.handwritten(name):
        value = json.loads(item.answer)
        jsonschema.validate(value, schema)
        assert list(value) == list(schema["properties"])


def test_extract_gold_stands_in_the_letter() -> None:
    for item in evaluate.handwritten("extract"):
        assert all(value in item.text for value in json.loads(item.answer).values() if value)
