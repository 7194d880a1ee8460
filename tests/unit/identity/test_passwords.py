"""The password policy and the stored form of passwords."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.identity.errors import WeakPasswordError
from appliance.identity.passwords import (
    check_policy,
    hash_password,
    new_password,
    verify_password,
)

GOOD = "nine green bottles"


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("short", "at least 12"),
        ("x" * 257, "at most 256"),
        ("aaaaaaaaaaaaaaaa", "common"),
        ("passwordpassword", "common"),
        ("Password12345678", "common"),
        ("CORRECTHORSEBATTERYSTAPLE", "common"),
        ("qwertyuiop123456", "common"),
        ("ada.lovelace", "account's name"),
        ("ada.lovelace2026!", "account's name"),
        ("ten old green bottles", "the old one"),
    ],
)
def test_an_easy_password_is_refused_with_the_rule_it_breaks(password: str, words: str) -> None:
    with pytest.raises(WeakPasswordError, match=words):
        check_policy(password, "ada.lovelace", "ten old green bottles")


@pytest.mark.parametrize("password", [GOOD, "zwölf Monde im Jahr", "x7!x7!y8?y8?", "密码很长" * 3])
def test_length_is_enough_whatever_the_characters(password: str) -> None:
    check_policy(password, "ada", "something else entirely")


def test_one_time_passwords_keep_the_policy_and_differ() -> None:
    made = {new_password() for _ in range(50)}
    assert len(made) == 50
    for password in made:
        check_policy(password, "ada")


def test_a_stored_password_is_argon2id_with_its_own_salt() -> None:
    first, second = hash_password(GOOD), hash_password(GOOD)
    assert first != second
    assert first.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert GOOD not in first
    assert verify_password(GOOD, first)
    assert not verify_password(GOOD + " ", first)


def test_the_same_characters_in_another_unicode_form_are_the_same_password() -> None:
    assert verify_password("cafe\u0301 au lait bowl", hash_password("caf\u00e9 au lait bowl"))


def test_nobody_has_no_password() -> None:
    assert not verify_password(GOOD, None)


@given(st.text(max_size=300), st.text(min_size=1, max_size=20))
def test_the_policy_says_yes_or_no_to_any_text(password: str, name: str) -> None:
    try:
        check_policy(password, name)
    except WeakPasswordError as error:
        refused = str(error)
    else:
        refused = "accepted."
    assert refused.endswith(".")
