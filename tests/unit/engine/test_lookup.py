"""Guesses are what followed before, and nothing is guessed where nothing repeats."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.engine.lookup import Lookup

NOTE = list(range(100, 160))


def test_copied_text_is_guessed() -> None:
    assert Lookup().draft([*NOTE, 7, *NOTE[:10]], 8) == NOTE[10:18]


def test_nothing_is_guessed_from_a_short_coincidence() -> None:
    assert Lookup().draft([*NOTE, 7, *NOTE[:3]], 8) == []


def test_the_latest_place_counts() -> None:
    tokens = [*NOTE[:10], 1, *NOTE[:10], 2, *NOTE[:10]]
    assert Lookup().draft(tokens, 1) == [2]


def test_what_goes_round_in_circles_is_guessed_to_go_on() -> None:
    assert Lookup().draft([1, 2, 3] * 5, 7) == [1, 2, 3, 1, 2, 3, 1]


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=9), max_size=20))
def test_a_growing_sequence_is_read_as_a_whole_one(pieces: list[list[int]]) -> None:
    growing, tokens = Lookup(), []
    for piece in pieces:
        tokens += piece
        draft = growing.draft(tokens, 5)
        assert draft == Lookup().draft(tokens, 5)
        assert len(draft) <= 5
