"""The text that people see does not depend on where tokens begin and end."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from appliance.engine.text import Assembler

STOPS = st.lists(st.text("ab<|é🙂", min_size=1, max_size=5), max_size=4).map(tuple)
TEXTS = st.text("ab<|é🙂 ", max_size=40)


def joined(stops: tuple[str, ...], pieces: list[bytes]) -> tuple[str, bool]:
    assembler = Assembler(stops)
    text = "".join(assembler.push(piece) for piece in pieces)
    return text + assembler.finish(), assembler.stopped


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    borders = [0, *sorted(place % (len(raw) + 1) for place in places), len(raw)]
    return [raw[a:b] for a, b in pairwise(borders)]


@given(TEXTS, STOPS, st.lists(st.integers(0, 1000), max_size=12))
def test_however_the_bytes_are_cut_the_text_is_the_same(
    text: str, stops: tuple[str, ...], places: list[int]
) -> None:
    raw = text.encode()
    assert joined(stops, cut(raw, places)) == joined(stops, [bytes([byte]) for byte in raw])


@given(st.binary(max_size=30), STOPS, st.lists(st.integers(0, 1000), max_size=12))
def test_broken_utf8_gives_the_same_text_however_it_is_cut(
    raw: bytes, stops: tuple[str, ...], places: list[int]
) -> None:
    assert joined(stops, cut(raw, places)) == joined(stops, [raw])


@given(TEXTS, STOPS)
def test_no_stop_string_is_ever_part_of_the_text(text: str, stops: tuple[str, ...]) -> None:
    shown, stopped = joined(stops, [bytes([byte]) for byte in text.encode()])
    assert text.startswith(shown)
    assert not any(stop in shown for stop in stops)
    assert stopped == any(stop in text for stop in stops)


@given(TEXTS)
def test_without_stop_strings_nothing_is_lost(text: str) -> None:
    assert joined((), [bytes([byte]) for byte in text.encode()]) == (text, False)


def test_an_unfinished_character_is_held_back() -> None:
    assembler = Assembler(())
    raw = "é".encode()
    assert assembler.push(raw[:1]) == ""
    assert assembler.push(raw[1:]) == "é"


def test_the_beginning_of_a_stop_string_is_held_back_and_given_out_when_it_is_none() -> None:
    assembler = Assembler(("END",))
    assert assembler.push(b"the E") == "the "
    assert assembler.push(b"N") == ""
    assert assembler.push(b"T") == "ENT"


def test_the_stop_string_that_is_complete_first_wins() -> None:
    assert joined(("abcd", "b"), [b"xabcd"]) == ("xa", True)


def test_nothing_is_said_after_a_stop_string() -> None:
    assembler = Assembler(("|",))
    assert assembler.push(b"a|b") == "a"
    assert assembler.push(b"c") == ""
    assert assembler.finish() == ""
