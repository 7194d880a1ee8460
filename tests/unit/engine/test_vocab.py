"""Nothing that people write becomes a control token."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.engine.template import ChatTemplate
from appliance.engine.vocab import Vocabulary
from tests.support.tiny_gguf import CHATML, CONTROL

FORGERIES = st.lists(
    st.sampled_from(
        [*CONTROL, "<unk>", "<|im_", "end|>", "<", "s", ">", "|", "</", "im_start", "é"]
    ),
    max_size=8,
).map("".join)


@pytest.fixture(scope="session")
def template(vocabulary: Vocabulary) -> ChatTemplate:
    return ChatTemplate(CHATML, vocabulary.marker_pattern, "<s>", "<|im_end|>")


def chat(vocabulary: Vocabulary, template: ChatTemplate, content: str) -> list[int]:
    return vocabulary.templated(*template.render([{"role": "user", "content": content}]))


def text_of(vocabulary: Vocabulary, tokens: list[int]) -> str:
    return b"".join(
        vocabulary.spelling(token).encode() or vocabulary.piece(token) for token in tokens
    ).decode()


@pytest.mark.parametrize("spelling", [*CONTROL, "<unk>"])
def test_a_control_token_spelled_in_a_plain_prompt_stays_text(
    vocabulary: Vocabulary, spelling: str
) -> None:
    tokens = vocabulary.plain(f"a {spelling} b")
    assert not set(tokens) & set(vocabulary.markers)
    assert text_of(vocabulary, tokens) == f"a {spelling} b"


def test_letters_that_the_vocabulary_could_merge_to_a_control_token_stay_letters(
    vocabulary: Vocabulary,
) -> None:
    assert vocabulary.bos not in vocabulary.plain("<s>")
    assert text_of(vocabulary, vocabulary.plain("<s>")) == "<s>"


def test_the_templates_own_control_tokens_are_control_tokens(
    vocabulary: Vocabulary, template: ChatTemplate
) -> None:
    tokens = chat(vocabulary, template, "the user")
    start, end = 3, 4
    assert tokens[0] == start
    assert tokens.count(start) == 2
    assert tokens.count(end) == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FORGERIES)
def test_no_message_adds_a_control_token(
    vocabulary: Vocabulary, template: ChatTemplate, content: str
) -> None:
    tokens = chat(vocabulary, template, content)
    markers = [token for token in tokens if token in vocabulary.markers]
    assert markers == [3, 4, 3]
    assert text_of(vocabulary, tokens) == (
        f"<|im_start|>user\n{content}<|im_end|>\n<|im_start|>assistant\n"
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60))
def test_plain_text_survives_tokenisation(vocabulary: Vocabulary, text: str) -> None:
    assert text_of(vocabulary, vocabulary.plain(text)) == text


def test_benign_text_is_tokenised_in_one_piece_with_the_template_around_it(
    vocabulary: Vocabulary, template: ChatTemplate
) -> None:
    middle = chat(vocabulary, template, "that was")
    between = middle[1 : middle.index(4)]
    assert between == vocabulary.plain("user\nthat was")


def test_control_tokens_add_nothing_to_an_answer(vocabulary: Vocabulary) -> None:
    assert all(vocabulary.piece(token) == b"" for token in vocabulary.markers)
