"""Server-sent events as text."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from appliance.web.pages.events import event, text_event


def _parse(text: str) -> list[tuple[str, str]]:
    """The rules of WHATWG HTML, 9.2.6, for the fields that we use."""
    found = []
    for block in text.split("\n\n")[:-1]:
        lines = [line.partition(": ")[::2] for line in block.split("\n")]
        name = "".join(value for field, value in lines if field == "event")
        found.append((name, "\n".join(value for field, value in lines if field == "data")))
    return found


@given(st.lists(st.text()))
def test_texts_come_out_as_they_went_in(texts: list[str]) -> None:
    parsed = _parse("".join(text_event("delta", text) for text in texts))
    assert [(name, json.loads(data)) for name, data in parsed] == [("delta", t) for t in texts]


@given(st.text())
def test_data_can_not_end_its_event_or_begin_another(data: str) -> None:
    whole = event("done", data)
    assert "\r" not in whole
    assert len(_parse(whole)) == 1


def test_an_event_spells_name_and_lines() -> None:
    assert event("done", "one\r\ntwo") == "event: done\ndata: one\ndata: two\n\n"
    assert event("began", "") == "event: began\ndata: \n\n"
