"""Prompts get what answers leave, and everybody gets on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.engine.portions import Portions, divide

PENDING = st.lists(st.integers(1, 5000), min_size=1, max_size=64)


def measured(answer_ms: float, token_ms: float) -> Portions:
    """Portions of 256 tokens at most, after one step of each kind."""
    portions = Portions(256)
    portions.answered(answer_ms / 1e3)
    portions.read(1, token_ms / 1e3)
    return portions


def test_without_answers_a_piece_has_its_greatest_size() -> None:
    assert measured(10, 1).size(answers=0, prompts=3) == 256


def test_before_anything_is_measured_a_piece_has_its_greatest_size() -> None:
    assert Portions(256).size(answers=4, prompts=1) == 256


def test_one_newcomer_takes_twice_the_time_of_the_answers() -> None:
    assert measured(10, 0.25).size(answers=8, prompts=1) == 80


def test_the_more_wait_the_more_they_get() -> None:
    portions = measured(10, 1)
    sizes = [portions.size(answers=8, prompts=prompts) for prompts in (1, 2, 4, 8, 32)]
    assert sizes == [20, 20, 40, 80, 256]


def test_a_piece_is_never_so_small_that_it_costs_as_much_as_a_larger_one() -> None:
    assert measured(0.1, 10).size(answers=8, prompts=1) == 16


@given(PENDING, st.integers(1, 4096))
def test_a_step_is_full_or_everybody_is_served(pending: list[int], room: int) -> None:
    given_out = divide(pending, room)
    assert sum(given_out) == min(room, sum(pending))
    assert all(0 <= count <= need for count, need in zip(given_out, pending, strict=True))


@given(PENDING, st.integers(1, 4096))
def test_the_oldest_always_gets_on(pending: list[int], room: int) -> None:
    assert divide(pending, room)[0] >= min(pending[0], max(1, room // 4))


@given(PENDING, st.integers(4, 4096))
def test_a_short_prompt_is_done_before_a_longer_one_gets_more_than_its_part(
    pending: list[int], room: int
) -> None:
    given_out = divide(pending, room)
    rest = sorted(zip(pending[1:], given_out[1:], strict=True))
    unfinished = [need for need, count in rest if count < need]
    served = [need for need, count in rest if count]
    assert (
        not unfinished
        or not served
        or max(served) <= min(need for need, count in rest if count < need)
    )
