"""The sums behind the benchmarks' tables."""

from __future__ import annotations

import math
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.measure import (
    METRICS,
    Clock,
    Metric,
    Spread,
    bandwidth,
    percentile,
    ratios,
    table,
)

MORE = Metric("rate", "tokens/s", 1, "more")
LESS = Metric("wall", "wall s", 1, "less")
_BURN = """
import sys, time
sys.stdin.readline()
end = time.process_time() + 0.5
while time.process_time() < end:
    pass
print(flush=True)
sys.stdin.read()
"""
_PARENT = """
import subprocess, sys
subprocess.run([sys.executable, "-c", sys.argv[1]])
"""


def test_a_spread_is_the_median_with_the_least_and_the_most() -> None:
    assert Spread.of([3.0, 1.0, 2.0, 10.0]) == Spread(2.5, 1.0, 10.0)


def test_a_percentile_lies_between_its_neighbours() -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0, 5.0], 0.95) == pytest.approx(4.8)
    assert math.isnan(percentile([], 0.95))


def test_a_ratio_above_one_means_that_ours_is_ahead_whichever_way_is_better() -> None:
    ours = [{"rate": 20.0, "wall": 1.0}, {"rate": 30.0, "wall": 2.0}]
    theirs = [{"rate": 10.0, "wall": 3.0}, {"rate": 10.0, "wall": 2.0}]
    assert ratios(MORE, ours, theirs) == Spread(2.5, 2.0, 3.0)
    assert ratios(LESS, ours, theirs) == Spread(2.0, 1.0, 3.0)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=9))
def test_a_side_beside_itself_is_exactly_as_good(values: list[float]) -> None:
    rounds = [{"rate": value} for value in values]
    assert ratios(MORE, rounds, rounds) == Spread(1, 1, 1)


def test_a_figure_without_a_direction_or_with_a_zero_has_no_ratio() -> None:
    assert ratios(Metric("valid", "valid", 2), [{"valid": 1.0}], [{"valid": 0.5}]) is None
    assert ratios(MORE, [{"rate": 1.0}], [{"rate": 0.0}]) is None


def test_the_table_has_medians_of_each_side_and_ratios_round_by_round() -> None:
    sides = {
        "ours": [{"rate": 20.0}, {"rate": 40.0}, {"rate": 30.0}],
        "theirs": [{"rate": 10.0}, {"rate": 10.0}, {"rate": 10.0}],
    }
    assert table(sides).splitlines()[2:] == [
        "| ours | 30.0 |",
        "| theirs | 10.0 |",
        "| ours against theirs | 3.00 (2.00 to 4.00) |",
    ]


def test_a_side_that_lacks_a_figure_leaves_its_cell_empty() -> None:
    lines = table({"ours": [{"rate": 1.0, "single": 2.0}], "bench": [{"single": 4.0}]}).splitlines()
    assert lines[2:] == [
        "| ours | 1.0 | 2.00 |",
        "| bench |  | 4.00 |",
        "| ours against bench |  | 0.50 (0.50 to 0.50) |",
    ]


def test_no_two_columns_share_a_key_or_a_title() -> None:
    assert len({metric.key for metric in METRICS}) == len(METRICS)
    assert len({metric.title for metric in METRICS}) == len(METRICS)


def test_the_clock_counts_the_cpu_of_a_grandchild_and_not_that_of_others() -> None:
    command = [sys.executable, "-c", _PARENT, _BURN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with Clock(process.pid) as clock:
            process.stdin.write(b"go\n")
            process.stdin.flush()
            process.stdout.readline()
        with Clock(process.pid) as idle:
            _burn(0.2)
        process.stdin.close()
    assert 0.4 < clock.cpu < 1.5
    assert clock.wall >= clock.cpu * 0.9
    assert idle.cpu < 0.1


def test_bandwidth_is_that_of_a_machine_and_not_of_a_clock() -> None:
    assert 1e8 < bandwidth(1, megabytes=16, repeats=2) < 1e13


def _burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
