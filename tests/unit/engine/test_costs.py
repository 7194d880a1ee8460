"""Guesses are decoded where they give more tokens a second, and nowhere else."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.engine.costs import StepCosts

SURE = [0.99**number for number in range(1, 16)]
DOUBTFUL = [0.5**number for number in range(1, 16)]


def measured(base_ms: float, token_ms: float) -> StepCosts:
    """After steps of several sizes, as such a machine takes them."""
    costs = StepCosts()
    for tokens in (1, 4, 16) * 10:
        costs.took(tokens, (base_ms + token_ms * tokens) / 1e3)
    return costs


def test_before_anything_is_measured_all_guesses_are_tried() -> None:
    assert StepCosts().worth(1, [DOUBTFUL], 15) == [15]


def test_where_more_tokens_cost_nothing_all_guesses_are_tried() -> None:
    assert measured(10, 0.0).worth(1, [DOUBTFUL], 15) == [15]


def test_where_each_token_costs_a_step_nothing_is_guessed() -> None:
    assert measured(0.0, 10).worth(1, [DOUBTFUL], 15) == [0]


def test_the_surer_guesses_are_the_more_are_decoded() -> None:
    costs = measured(2, 1)
    unsure, sure = costs.worth(1, [DOUBTFUL], 15)[0], costs.worth(1, [SURE], 15)[0]
    assert 0 < unsure < 4 < sure


def test_the_likeliest_guesses_of_all_sequences_go_first() -> None:
    few, many = measured(5, 1).worth(2, [DOUBTFUL, SURE], 15)
    assert few < 3 < many


def test_steps_that_were_interrupted_change_little() -> None:
    costs, rng = measured(2, 1), random.Random(3)  # noqa: S311 - repeatable noise
    for _ in range(300):
        tokens = rng.choice((1, 4, 16))
        slow = 20 if rng.random() < 0.02 else 1
        costs.took(tokens, slow * (2 + tokens) / 1e3)
    assert costs.of(1) == pytest.approx(3e-3, rel=0.3)
    assert costs.of(16) == pytest.approx(18e-3, rel=0.3)


def test_a_machine_that_changes_is_learnt_anew() -> None:
    costs = measured(10, 0.0)
    for tokens in (1, 4, 16) * 200:
        costs.took(tokens, tokens / 1e3)
    assert costs.worth(1, [DOUBTFUL], 15) == [0]


@given(
    st.lists(st.tuples(st.integers(1, 64), st.floats(1e-6, 10.0)), max_size=50),
    st.lists(st.lists(st.floats(0.01, 1.0), max_size=15), min_size=1, max_size=8),
    st.integers(0, 20),
)
def test_no_more_is_decoded_than_was_guessed_and_has_room(
    steps: list[tuple[int, float]], chances: list[list[float]], room: int
) -> None:
    costs = StepCosts()
    for tokens, seconds in steps:
        costs.took(tokens, seconds)
    falling = [sorted(each, reverse=True) for each in chances]
    counts = costs.worth(len(falling), falling, room)
    assert sum(counts) <= room
    assert all(count <= len(each) for count, each in zip(counts, falling, strict=True))
    assert all(costs.of(tokens) > 0 for tokens in range(1, 64))
