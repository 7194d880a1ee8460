"""Card data that nobody may keep are masked; numbers that only look like a card's are not."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.blob import unpack_content
from audit.cards import mask_cards, may_hold_cards
from audit.writer.request import AppendRequest, parse_append

VISA = "4111111111111111"
TRACK_1 = f"%B{VISA}^MUSTERMANN/ERIKA^27121011000000000?"
TRACK_2 = f";{VISA}=27121011000000000?"


def masked(*texts: str) -> list[str]:
    content, _ = mask_cards({"texts": list(texts)})
    return list(content["texts"])


def check_digit(digits: str) -> str:
    """Luhn's, by the definition: every second digit from the right is doubled."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value // 10 + value % 10
    return str(-total % 10)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"Card {VISA}, CVV 123", "Card ************1111, CVV ***"),
        ("4111 1111 1111 1111 12/27 CVC: 987", "**** **** **** 1111 12/27 CVC: ***"),
        ("4111-1111-1111-1111 / cvc2=321", "****-****-****-1111 / cvc2=***"),
        ("Amex 3782 822463 10005 (CID 1234)", "Amex **** ****** *0005 (CID ****)"),
        ("5555555555554444, 737 (CVV2)", "************4444, *** (CVV2)"),
        (f"{VISA} Kartenprüfnummer lautet 123", "************1111 Kartenprüfnummer lautet ***"),
        (f"{VISA} SECURITY CODE\n123", "************1111 SECURITY CODE\n***"),
        (f"read {TRACK_2} at the till", f"read {'*' * len(TRACK_2)} at the till"),
        (f"{VISA} 2027 CVV 123", "************1111 2027 CVV ***"),
        (f"{VISA} 12/2027 CVV", f"{VISA} 12/2027 CVV"),
        (f"read {TRACK_1}", f"read {'*' * len(TRACK_1)}"),
    ],
)
def test_a_number_and_its_code_are_masked_together(text: str, expected: str) -> None:
    assert masked(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        f"Card {VISA}",  # no code, no track
        f"Order {VISA}, valid 12/27, room 123",
        "What is a CVV? The number on the back, such as 123.",  # no card
        "CVV 123, order 4111111111111112",  # a wrong checksum
        "CVV 123, order 1111111111111117",  # no scheme begins with 1
        "CVV 123, IBAN DE02 1203 0000 0000 2020 51",
        f"What does CVV mean? My number is {VISA}",  # the number's own digits are no code
        f"Our postcode is 1234, card {VISA}",
        "cid 1234 called on 2026-11-23 about 0049 170 1234567",
    ],
)
def test_without_a_code_or_a_card_nothing_is_touched(text: str) -> None:
    content, changed = mask_cards({"text": text, "n": 7, "list": [1.5, None, True]})
    assert not changed
    assert content == {"text": text, "n": 7, "list": [1.5, None, True]}


def test_number_and_code_may_stand_in_different_places_of_a_record() -> None:
    messages = [{"role": "user", "content": VISA}, {"role": "user", "content": "the CVV is 123"}]
    content, changed = mask_cards({"messages": messages})
    assert changed
    assert [one["content"] for one in content["messages"]] == ["************1111", "the CVV is ***"]


def test_fields_are_masked_by_their_names() -> None:
    content, changed = mask_cards({"card": {"pan": int(VISA), "cvv": 123, "CVC": "987", "n": 123}})
    assert changed
    assert content["card"] == {"pan": "************1111", "cvv": "***", "CVC": "***", "n": 123}


@given(
    st.from_regex(r"[2-6][0-9]{11,17}", fullmatch=True),
    st.from_regex(r"[0-9]{3,4}", fullmatch=True),
    st.sampled_from(["CVV: {}", "cvc2 {}", "Sicherheitscode {}", "({} CVV)"]),
    st.text(st.characters(exclude_characters="0123456789"), max_size=40),
)
def test_no_card_with_its_code_is_sealed(start: str, code: str, way: str, between: str) -> None:
    number = start + check_digit(start)
    text = f"{number} {between} {way.format(code)} ."
    (result,) = masked(text)
    assert number not in result
    assert result.startswith("*" * (len(number) - 4) + number[-4:])
    assert result.endswith(f"{way.format('*' * len(code))} .")
    assert len(result) == len(text)
    assert masked(result) == [result]


@given(st.text("0123456789 .-/;=cvCV:\u00a0", max_size=60), st.sampled_from([VISA, TRACK_2, ""]))
def test_the_quick_look_never_misses_what_would_be_masked(text: str, number: str) -> None:
    content = {"text": f"{number}{text} cvv 123"}
    if mask_cards(content)[1]:
        assert may_hold_cards(json.dumps(content, ensure_ascii=False).encode())


def test_plain_prose_is_not_searched_at_all() -> None:
    assert not may_hold_cards(b"CVV 123, 2026-11-23, tel. 0170 1234, room 12, 1.500,00 EUR")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_content_keeps_its_shape(value: object) -> None:
    content, changed = mask_cards({"cvv": 123, "n": VISA, "value": value})
    assert changed
    assert mask_cards(content) == (content, False)
    assert json.dumps(content, default=repr)


def request(content: dict[str, object]) -> AppendRequest:
    message = {"op": "append", "type": "prompt", "actor": "a", "meta": {}, "content": content}
    return parse_append(message)


@pytest.mark.parametrize(
    ("text", "flag"), [(f"{VISA} CVV 123", True), (f"{VISA} CV 123", False), (TRACK_2, True)]
)
def test_the_record_is_masked_and_flagged_before_it_is_sealed(text: str, flag: bool) -> None:
    asked = request({"text": text})
    assert asked.masked is flag
    sealed = json.loads(unpack_content(asked.content))["content"]["text"]
    assert (sealed == text) is not flag


@pytest.mark.parametrize(
    "change", [str.upper, str.lower, str.title, lambda text: text.replace("ü", "ue")]
)
def test_every_name_of_a_code_is_known(change: Callable[[str], str]) -> None:
    for label in (
        "cvv", "cvv2", "cvc", "cvn", "cav2", "csc", "cid", "card verification value",
        "card security code", "security code", "prüfziffer", "kartenprüfnummer",
        "sicherheitscode", "cryptogramme", "code de sécurité",
    ):  # fmt: skip
        assert mask_cards({"t": f"{VISA} {change(label)} 123"})[1]
