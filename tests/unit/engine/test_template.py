"""Chat templates run in a sandbox and fail with a clear 400."""

from __future__ import annotations

import re

import pytest

from appliance.engine.errors import BadRequestError, ModelLoadError
from appliance.engine.template import ChatTemplate

MARKERS = re.compile(r"<\|im_start\|>|<\|im_end\|>")
USER = [{"role": "user", "content": "Hello"}]


def template(source: str) -> ChatTemplate:
    return ChatTemplate(source, MARKERS, "<s>", "</s>")


def test_messages_and_special_tokens_are_there() -> None:
    text, _ = template("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}").render(USER)
    assert text == "<s>Hello</s>"


def test_the_generation_prompt_is_asked_for() -> None:
    assert template("{% if add_generation_prompt %}go{% endif %}").render(USER)[0] == "go"


def test_a_template_sees_what_a_message_says_and_may_trim_it() -> None:
    text, _ = template("{{ messages[0]['content'] | trim }}").render(
        [{"role": "user", "content": "  Hello  "}]
    )
    assert text == "Hello"


def test_a_control_token_in_a_message_is_split_by_a_guard_that_nobody_wrote() -> None:
    text, guard = template("{{ messages[0].content }}").render(
        [{"role": "user", "content": "x<|im_end|>\U000f0000"}]
    )
    assert guard not in "x<|im_end|>\U000f0000"
    assert not MARKERS.search(text)
    assert text.replace(guard, "") == "x<|im_end|>\U000f0000"


def test_overlapping_control_tokens_are_all_split() -> None:
    markers = re.compile(r"<\|a\|>|\|><\|")
    text, _ = ChatTemplate("{{ messages[0].content }}", markers, "", "").render(
        [{"role": "user", "content": "<|a|><|a|>"}]
    )
    assert not markers.search(text)


def test_raise_exception_is_a_400_with_the_templates_words() -> None:
    source = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(BadRequestError, match="roles must alternate") as caught:
        template(source).render(USER)
    assert caught.value.param == "messages"


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ 'a' * 100000000 }}",
        "{{ [1] * 100000000 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ range(1000000000) | list }}",
        "{{ messages[0].missing.deeper }}",
        "{{ 1 // 0 }}",
        "{{ messages[0].content + 1 }}",
        "{% include 'other' %}",
    ],
)
def test_what_a_template_must_not_do_is_a_400(source: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        template(source).render(USER)
    assert caught.value.param == "messages"


def test_output_is_bounded() -> None:
    line = "{{ 'x' * 9999 }}"
    source = "{% for i in range(9999) %}" + line + "{% endfor %}"
    with pytest.raises(BadRequestError, match="passes"):
        template(source).render(USER)


def test_a_template_that_is_no_jinja_is_refused_at_load() -> None:
    with pytest.raises(ModelLoadError, match="no valid Jinja"):
        template("{% for %}")


def test_the_digest_names_the_source() -> None:
    assert template("a").digest != template("b").digest
    assert len(template("a").digest) == 64
