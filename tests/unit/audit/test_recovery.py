"""The page that brings a lost key back: every mistake in typing is noticed, most name the line."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.errors import RecoveryError
from audit.recovery import LINES, KeyKind, Recovered, read_line, read_lines, recovery_lines
from audit.recovery_page import PageFacts, recovery_page, shown_key

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
SECRET = bytes(range(32))
PAGE = recovery_lines(KeyKind.OFFICER, SECRET)
secrets = st.binary(min_size=32, max_size=32)
kinds = st.sampled_from(KeyKind)


@given(kinds, secrets)
def test_what_is_printed_reads_back(kind: KeyKind, secret: bytes) -> None:
    lines = recovery_lines(kind, secret)
    assert read_lines(lines) == Recovered(kind, secret)
    assert all(re.fullmatch(f"[{ALPHABET}]{{4}}-[{ALPHABET}]{{4}}", line) for line in lines)


def test_it_reads_back_as_people_type() -> None:
    typed = [f" {line.lower().replace('-', ' ')} " for line in PAGE]
    typed = [line.replace("0", "o").replace("1", "l") for line in typed]
    assert read_lines(typed) == Recovered(KeyKind.OFFICER, SECRET)


@given(secrets, st.integers(0, LINES - 1), st.integers(0, 7), st.sampled_from(ALPHABET))
@settings(max_examples=300)
def test_a_mistyped_character_is_noticed(secret: bytes, line: int, place: int, wrong: str) -> None:
    lines = recovery_lines(KeyKind.WITNESS, secret)
    plain = lines[line].replace("-", "")
    lines[line] = plain[:place] + wrong + plain[place + 1 :]
    if plain[place] == wrong:
        assert read_lines(lines).secret == secret
    else:
        with pytest.raises(RecoveryError):
            read_lines(lines)


def test_a_mistyped_line_is_named() -> None:
    with pytest.raises(RecoveryError, match="Line 3 is mistyped"):
        read_line(3, PAGE[2][:-1] + ("0" if PAGE[2][-1] != "0" else "1"))
    for wrong in ("", "ABC", "ABCD-EFGU", "ABCD-EFG!", "ABCD-EFGH-J"):
        with pytest.raises(RecoveryError, match="Line 2 has eight"):
            read_line(2, wrong)


def test_two_exchanged_lines_are_noticed() -> None:
    other = [PAGE[1], PAGE[0], *PAGE[2:]]
    with pytest.raises(RecoveryError):
        read_lines(other)


def test_a_line_of_another_page_is_noticed() -> None:
    other = recovery_lines(KeyKind.OFFICER, bytes(32))
    with pytest.raises(RecoveryError, match="of another page"):
        read_lines([*PAGE[:4], other[4], *PAGE[5:]])
    with pytest.raises(RecoveryError, match="of another page"):
        read_lines([*PAGE[:-1], other[-1]])


def test_a_page_that_is_not_typed_to_its_end_is_said() -> None:
    with pytest.raises(RecoveryError, match="9 lines; 8 were given"):
        read_lines(PAGE[:-1])


def test_the_page_shows_all_lines_and_loads_nothing() -> None:
    facts = PageFacts("A. <Officer> & Co", "an officer's key", "reading", "2026-11-23", "age1xyz")
    page = recovery_page(facts, PAGE)
    assert re.findall(r"<li[^>]*>([^<]+)</li>", page) == PAGE
    assert "A. &lt;Officer&gt; &amp; Co" in page
    assert not re.search(r"(src|href|url|@import)\s*[=(]|https?:|<script", page)


def test_a_long_public_key_is_shown_by_its_ends_and_digest() -> None:
    assert shown_key("age1xyz") == "age1xyz"
    long = "age1pq1" + "q" * 1900
    assert len(shown_key(long)) < 120
    assert shown_key(long) != shown_key(long[:-30] + "p" + long[-29:])


def test_a_recovered_key_does_not_show_in_repr() -> None:
    assert repr(Recovered(KeyKind.OFFICER, b"secret" * 5)) == "Recovered(OFFICER)"
