"""Tokens per second: of the last seconds, not since the start."""

from __future__ import annotations

import pytest

from appliance.engine.pace import WINDOW, Pace


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
