"""Numbers, times and roles in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from appliance.identity import Role
from appliance.web.words import (
    bytes_in_words,
    clock,
    in_order,
    instant,
    moment,
    role_title,
    wait_of,
)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "1 second"), (45, "45 seconds"), (90, "2 minutes"), (3600, "60 minutes")],
)
def test_a_wait_is_never_shorter_in_words(seconds: int, words: str) -> None:
    assert wait_of(seconds) == words


def test_a_moment_is_told_in_utc_whatever_its_zone() -> None:
    when = datetime(2026, 3, 5, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert moment(when) == "4 Mar 2026, 23:30 UTC"
    assert moment(0.0) == "1 Jan 1970, 00:00 UTC"
    assert moment(None) == "Never"


def test_an_instant_of_a_receipt_is_read_back() -> None:
    when = datetime(2026, 11, 23, 2, 44, 27, tzinfo=UTC)
    assert instant(when.isoformat()) == when


def test_memory_is_told_in_the_unit_that_fits() -> None:
    assert bytes_in_words(312 << 20) == "312 MiB"
    assert bytes_in_words(3 << 29) == "1.5 GiB"


def test_roles_are_told_in_one_order_with_names_for_people() -> None:
    roles = frozenset({Role.ADMIN, Role.USER})
    assert [role_title(role) for role in in_order(roles)] == ["User", "Administrator"]


def test_a_time_of_day_is_told_in_utc_with_its_seconds() -> None:
    assert (
        clock(datetime(2026, 3, 5, 1, 30, 9, tzinfo=timezone(timedelta(hours=2)))) == "23:30:09 UTC"
    )
