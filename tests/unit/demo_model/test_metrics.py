"""The scores mean what the README says."""

from __future__ import annotations

import pytest

from models.demo.recipe import metrics

TEXT = "Mr Lane rang on 3 May from 0113 496 0822."
GOLD = "Mr [NAME] rang on [DATE] from [PHONE]."


def scored(answer: str) -> metrics.LabelScore:
    """The score of one answer to TEXT."""
    score = metrics.LabelScore()
    metrics.score_note(score, TEXT, GOLD, answer)
    return score


def test_right_answer() -> None:
    score = scored(GOLD)
    assert (score.recall, score.precision, score.copy_rate, score.leak_rate) == (1, 1, 1, 0)
    assert score.exact == 1


def test_missed_label_costs_recall_and_leaks() -> None:
    score = scored("Mr Lane rang on [DATE] from [PHONE].")
    assert score.recall == pytest.approx(2 / 3)
    assert score.precision == 1
    assert score.leaked == 1


def test_wrong_label_costs_both() -> None:
    score = scored("Mr [NAME] rang on [ID] from [PHONE].")
    assert score.recall == pytest.approx(2 / 3)
    assert score.precision == pytest.approx(2 / 3)
    assert score.leaked == 0


def test_extra_label_costs_precision() -> None:
    score = scored("Mr [NAME] [NAME] rang on [DATE] from [PHONE].")
    assert score.recall == 1
    assert score.precision == pytest.approx(3 / 4)


def test_changed_word_costs_copy_rate() -> None:
    assert scored(GOLD.replace("rang", "sang")).copy_rate < 1


def test_surfaces_are_what_the_labels_stand_for() -> None:
    assert metrics.surfaces(TEXT, GOLD) == ["Lane", "3 May", "0113 496 0822"]
    assert metrics.surfaces(TEXT, "something else [NAME]") is None


def test_fields_are_counted_one_by_one() -> None:
    score = metrics.FieldScore()
    assert metrics.score_fields(score, {"a": 1, "b": None}, '{"a":1,"b":"x"}') == ["b"]
    assert score.accuracy == 0.5
    assert metrics.score_fields(score, {"a": 1, "b": None}, "no json") == ["a", "b"]
    assert (score.valid, score.exact, score.answers) == (1, 0, 2)
