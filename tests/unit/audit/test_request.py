"""What a client may ask to record: each rule refuses with the field's name."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from audit.blob import unpack_content
from audit.errors import AuditError, RecordRefusedError
from audit.leaf import LeafType
from audit.writer.request import MAX_META, canonical, parse_append

EVENT = "019a2f30-7c1e-7d3a-9f00-5b1c2d3e4f50"


def message(**changes: object) -> dict[str, object]:
    return {
        "op": "append",
        "type": "prompt",
        "actor": "m.keller",
        "subject": "case 12",
        "meta": {"b": 1, "a": "ü"},
        "content": {"text": "What?"},
        "event": EVENT,
        **changes,
    }


def test_a_request_is_taken_as_it_was_meant() -> None:
    request = parse_append(message())
    assert request.kind is LeafType.PROMPT
    assert request.event == UUID(EVENT).bytes
    assert (request.actor, request.subject) == ("m.keller", "case 12")
    assert request.meta == '{"a":"ü","b":1}'.encode()
    assert json.loads(unpack_content(request.content)) == {
        "actor": "m.keller",
        "content": {"text": "What?"},
        "subject": "case 12",
    }
    assert request.answers is None


def test_an_answer_names_the_prompt_that_it_answers() -> None:
    request = parse_append(message(type="answer", meta={"begin": EVENT}))
    assert request.answers == UUID(EVENT).bytes


def test_an_event_is_made_if_the_caller_made_none() -> None:
    made = UUID(bytes=parse_append(message(event=None)).event)
    assert made.version == 7


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"type": "epoch-open"}, "'type' must be one of prompt"),
        ({"type": None}, "'type'"),
        ({"actor": ""}, "'actor'"),
        ({"actor": None}, "'actor'"),
        ({"actor": "a\nb"}, "'actor'"),
        ({"actor": "x" * 257}, "'actor'"),
        ({"subject": 7}, "'subject'"),
        ({"meta": None}, "'meta' must be a JSON object"),
        ({"meta": []}, "'meta' must be a JSON object"),
        ({"meta": {"n": 2**53}}, "'meta' has no canonical"),
        ({"meta": {"t": "\ud800"}}, "'meta' has no canonical"),
        ({"meta": {"t": "x" * MAX_META}}, "'meta' has 65544 bytes"),
        ({"content": "text"}, "'content' must be"),
        ({"content": {"t": "\ud800"}}, "'content' has text"),
        ({"event": "17"}, "'event' must be a UUID"),
        ({"type": "answer", "meta": {"begin": 1}}, "'meta.begin' must be a UUID"),
        ({"extra": 1}, "Unknown field 'extra'"),
    ],
)
def test_each_rule_names_the_field(changes: dict[str, object], says: str) -> None:
    with pytest.raises(RecordRefusedError, match=says):
        parse_append(message(**changes))


def test_the_digest_tells_every_field_apart() -> None:
    variants = [
        message(),
        message(type="admin"),
        message(actor="m.kelle"),
        message(subject=None),
        message(meta={"a": "ü"}),
        message(content=None),
        message(content={}),
    ]
    digests = {parse_append(variant).digest for variant in variants}
    assert len(digests) == len(variants)
    assert parse_append(message(event=None)).digest == parse_append(message()).digest


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(list(message())), values))
def test_no_message_whatever_fails_in_another_way(changes: dict[str, object]) -> None:
    try:
        parse_append(message(**changes))
    except AuditError:
        return


@given(values)
def test_the_canonical_form_is_that_of_rfc_8785_for_every_value(value: object) -> None:
    try:
        expected = rfc8785.dumps(value)  # type: ignore[arg-type]  # it checks the type itself
    except rfc8785.CanonicalizationError:
        with pytest.raises(RecordRefusedError, match="no canonical"):
            canonical(value)
    else:
        assert canonical(value) == expected
