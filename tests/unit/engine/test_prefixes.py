"""What lies in the cache is found again, never more than fits, and never by a wrong name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.engine.prefixes import SHORTEST, Prefixes, common_prefix

TOKENS = st.lists(st.integers(0, 2), max_size=40)
LONG = list(range(600))


@given(TOKENS, TOKENS)
def test_common_prefix_is_what_a_loop_would_count(first: list[int], second: list[int]) -> None:
    expected = 0
    while expected < min(len(first), len(second)) and first[expected] == second[expected]:
        expected += 1
    assert common_prefix(first, second) == expected


@given(st.lists(st.lists(st.integers(0, 1), min_size=10, max_size=60), max_size=30))
def test_slots_and_cells_stay_within_bounds_and_matches_are_true(prompts: list[list[int]]) -> None:
    prefixes = Prefixes(range(4, 7), most_tokens=100)
    held: dict[int, list[int]] = {}
    for prompt in prompts:
        found = prefixes.match(prompt)
        if found is not None:
            slot, length = found
            assert length >= SHORTEST
            assert held[slot][:length] == prompt[:length]
        slot_or_none, freed = prefixes.keep(prompt)
        for each in freed:
            del held[each]
        if slot_or_none is not None:
            assert slot_or_none in {4, 5, 6} - set(held)
            held[slot_or_none] = prompt
        assert prefixes.cells == sum(map(len, held.values())) <= 100


def test_the_longest_beginning_wins() -> None:
    prefixes = Prefixes(range(2), 2000)
    prefixes.keep([*LONG[:300], *range(1000, 1300)])
    prefixes.keep(LONG)
    assert prefixes.match([*LONG, 7]) is not None
    assert prefixes.match([*LONG, 7])[1] == 600  # type: ignore[index] - not None, see above


def test_messages_of_one_task_do_not_push_the_others_out() -> None:
    prefixes = Prefixes(range(2), 5000)
    prefixes.keep([9] * 100)
    for message in range(20):
        prefixes.keep([*LONG[:400], *[1000 + message] * 30])
    assert prefixes.match([9] * 100) is not None
    assert prefixes.match(LONG)[1] == 400  # type: ignore[index] - it is held


@pytest.mark.parametrize("tokens", [[], [1] * (SHORTEST - 1), [1] * 101])
def test_what_is_too_short_or_too_long_is_not_kept(tokens: list[int]) -> None:
    assert Prefixes(range(4), 100).keep(tokens) == (None, [])


def test_what_served_longest_ago_goes_first() -> None:
    prefixes = Prefixes(range(3), 1000)
    for first in (1, 2, 3):
        prefixes.keep([first] * 50)
    prefixes.match([1] * 50)
    prefixes.keep([4] * 50)
    assert prefixes.match([2] * 50) is None
    assert prefixes.match([1] * 50) is not None
