"""Where a sign-in may lead."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.web.guard import local_path


@pytest.mark.parametrize("path", ["/", "/tasks/triage", "/receipts/01a2?x=1"])
def test_our_own_paths_are_taken(path: str) -> None:
    assert local_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        None,
        "",
        "tasks",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example/",
        "javascript:alert(1)",
        "/ta\nsks",
        "/\t/evil.example",
    ],
)
def test_nothing_leads_to_another_host(path: str | None) -> None:
    assert local_path(path) is None


@given(st.text(alphabet="/\\:?#@ab.\t\n ", max_size=12))
def test_what_is_taken_never_has_a_host(path: str) -> None:
    taken = local_path(path)
    if taken is not None:
        parts = urlsplit(taken)
        assert (parts.scheme, parts.netloc) == ("", "")
        assert taken[1:2] not in {"/", "\\"}
