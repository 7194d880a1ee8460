"""Guesses are what was copied up to now, each with the chance that it holds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.engine.lookup import Habits, Lookup

NOTE = list(range(100, 160))
LABEL = 7


def guessed(prompt: list[int], answer: list[int], most: int) -> list[int]:
    """What is guessed behind an answer, token by token as it was made."""
    lookup, tokens = Lookup(Habits(), len(prompt)), list(prompt)
    for token in answer:
        tokens.append(token)
        draft = lookup.draft(tokens, most)
    return draft.tokens


def test_copied_text_is_guessed() -> None:
    assert guessed(NOTE, NOTE[:10], 8) == NOTE[10:18]


def test_nothing_is_guessed_from_a_short_coincidence() -> None:
    assert guessed(NOTE, NOTE[:3], 8) == []


def test_the_latest_place_counts() -> None:
    prompt = [*NOTE[:10], 1, *NOTE[:10], 2]
    assert guessed(prompt, NOTE[:10], 1) == [2]


def test_what_goes_round_in_circles_is_guessed_to_go_on() -> None:
    assert guessed([], [1, 2, 3] * 5, 7) == [1, 2, 3, 1, 2, 3, 1]


def test_copying_goes_on_behind_what_was_left_out() -> None:
    assert guessed(NOTE, [*NOTE[:10], LABEL, NOTE[13]], 3) == NOTE[14:17]


def test_nothing_is_guessed_far_behind_what_was_left_out() -> None:
    assert guessed(NOTE, [*NOTE[:10], LABEL, NOTE[50]], 3) == []


def test_a_place_that_only_looked_right_is_left_for_a_longer_one() -> None:
    prompt = [*NOTE[:10], 1, 2, 1, 3, 4, 5, 6]
    assert guessed(prompt, [*NOTE[:9], LABEL, 1, 3], 3) == [4, 5, 6]


def test_copying_is_less_likely_to_go_on_behind_a_token_behind_which_it_broke() -> None:
    blank, name = 5, 6
    prompt = [*NOTE[:10], blank, name, *NOTE[10:20], blank, name]
    plain, broken = [*NOTE[:10], blank], [*NOTE[:10], blank, LABEL, *NOTE[10:20], blank]
    chances = []
    for answer in (plain, broken):
        habits = Habits()
        for run in range(1, 30):
            habits.saw(run, risky=True, went_on=False)
        lookup, tokens = Lookup(habits, len(prompt)), list(prompt)
        for token in answer:
            tokens.append(token)
            draft = lookup.draft(tokens, 1)
        assert draft.tokens in ([name], [])
        chances.append(draft.chances[0] if draft.chances else 0.0)
    assert chances[1] < 0.3 < 0.7 < chances[0]


def test_chances_are_learnt_from_what_was_drawn() -> None:
    habits = Habits()
    before = habits.chance(8, risky=False)
    for _ in range(50):
        habits.saw(9, risky=False, went_on=False)
    assert habits.chance(8, risky=False) < 0.1 < before
    assert habits.chance(2, risky=False) == Habits().chance(2, risky=False)


@given(
    st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=9), min_size=1, max_size=20),
    st.integers(0, 9),
)
def test_guesses_are_few_and_each_less_likely_than_the_one_before(
    pieces: list[list[int]], most: int
) -> None:
    lookup, tokens = Lookup(Habits(), len(pieces[0])), []
    for piece in pieces:
        tokens += piece
        guesses, chances = lookup.draft(tokens, most)
        assert len(guesses) == len(chances) <= most
        assert chances == sorted(chances, reverse=True)
        assert all(0 < chance <= 1 for chance in chances)
        assert set(guesses) <= set(tokens)
