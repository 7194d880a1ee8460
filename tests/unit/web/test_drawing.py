"""Curves and bars: what is drawn is what was measured."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.web.drawing import HEIGHT, TONES, WIDTH, curve, parts

VALUES = st.lists(st.floats(0, 1e6), min_size=2, max_size=60)
SIZES = st.lists(st.tuples(st.text(max_size=4), st.integers(-5, 1 << 40)), max_size=12)


def _points(line: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (point.split(",") for point in line.split())]


def test_fewer_than_two_values_are_no_line() -> None:
    assert curve([], 60) is None
    assert curve([4.0], 60) is None


def test_the_peak_is_at_the_top_and_nothing_at_the_bottom() -> None:
    drawn = curve([0.0, 10.0, 5.0], 3)
    assert drawn is not None
    assert drawn.peak == 10.0
    assert _points(drawn.line) == [(0, 27), (60, 1), (120, 14)]


def test_what_is_not_known_yet_is_left_free_at_the_left() -> None:
    drawn = curve([1.0, 1.0], 60)
    assert drawn is not None
    assert _points(drawn.line)[0][0] == pytest.approx(WIDTH * 58 / 59, abs=0.1)


@given(VALUES)
def test_a_curve_stays_in_its_frame_and_ends_at_the_right(values: list[float]) -> None:
    drawn = curve(values, 60)
    assert drawn is not None
    points = _points(drawn.line)
    assert len(points) == len(values)
    assert points[-1][0] == WIDTH
    assert all(0 <= x <= WIDTH and 0 < y < HEIGHT for x, y in points)


@given(SIZES, st.integers(0, 1 << 41))
def test_parts_follow_each_other_and_never_pass_the_bar(
    sizes: list[tuple[str, int]], whole: int
) -> None:
    drawn = parts(sizes, whole)
    assert [(part.name, part.size) for part in drawn] == [one for one in sizes if one[1] > 0]
    end = 0.0
    for part in drawn:
        assert part.start == pytest.approx(end, abs=0.02 * len(drawn))
        assert 1 <= part.tone <= TONES
        end = part.start + part.width
    assert end <= 100 + 0.02 * len(drawn)
