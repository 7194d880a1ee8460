"""Whatever a program sends: an answer or an error object, never a crash."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.asking import SHORT
from tests.support.stack import Stack

LEAF = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8)
VALUE = st.recursive(
    LEAF,
    lambda part: (
        st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=8), part, max_size=3)
    ),
    max_leaves=6,
)
FIELD = st.sampled_from(
    [
        "messages",
        "max_tokens",
        "n",
        "seed",
        "stop",
        "stream_options",
        "temperature",
        "top_p",
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "response_format",
        "user",
        "tools",
    ]
)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/tasks/triage"])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.dictionaries(FIELD, VALUE, max_size=3), odd=VALUE, whole=st.booleans())
def test_any_body_gets_an_answer_or_an_error_object(
    stack: Stack, key: str, path: str, changes: dict[str, Any], odd: object, whole: bool
) -> None:
    base = {"inputs": odd} if "tasks" in path else SHORT | {"prompt": odd}
    body: object = odd if whole else base | changes
    with stack.http(key) as client:
        request = client.build_request("POST", path, content=_json(body))
        response = client.send(request)
    assert response.status_code in {200, 400, 404, 413}, response.text
    assert response.headers["X-Record-Id"]
    if response.status_code != 200:
        assert set(response.json()["error"]) == {"message", "type", "code", "param"}


def _json(value: object) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")
