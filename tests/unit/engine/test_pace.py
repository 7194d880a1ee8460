"""Tokens per second: of the last seconds, not since the start."""

from __future__ import annotations

import pytest

from appliance.engine.pace import HISTORY, WINDOW, Pace


def test_before_the_first_look_nothing_is_known() -> None:
    assert Pace().per_second(5.0, 100) == 0


def test_it_is_the_growth_of_the_last_looks_alone() -> None:
    pace = Pace()
    for second in range(100):
        pace.look(float(second), 1000 * min(second, 50))
    assert pace.per_second(100.0, 50_000) == 0


def test_what_came_since_the_last_look_counts() -> None:
    pace = Pace()
    pace.look(0.0, 0)
    assert pace.per_second(0.5, 20) == pytest.approx(40)


def test_a_steady_counter_has_a_steady_pace() -> None:
    pace = Pace()
    for second in range(3 * WINDOW):
        pace.look(float(second), 7 * second)
        assert pace.per_second(second + 0.5, 7 * second) <= 7
    assert pace.per_second(3.0 * WINDOW, 21 * WINDOW) == pytest.approx(7)


def test_the_history_tells_each_span_between_two_looks_the_latest_last() -> None:
    pace = Pace()
    assert pace.history() == []
    for now, count in [(0.0, 0), (1.0, 10), (3.0, 10), (3.0, 10), (4.0, 34)]:
        pace.look(now, count)
    assert pace.history() == [10.0, 0.0, 24.0]


def test_the_history_is_as_long_as_it_says_and_no_longer() -> None:
    pace = Pace()
    for second in range(3 * HISTORY):
        pace.look(float(second), second**2)
    assert pace.history() == [
        float(2 * second + 1) for second in range(2 * HISTORY - 1, 3 * HISTORY - 1)
    ]
