"""Each known prompt format, word for word as its publisher documents it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from appliance.catalogue.known.library import known_models, prompt_formats
from appliance.engine.errors import BadRequestError
from appliance.engine.template import ChatTemplate

NO_MARKER = re.compile(r"(?!)")
FORMATS = prompt_formats()

USER_ONLY = ("user",)
WITH_SYSTEM = ("system", "user")
THREE_TURNS = ("system", "user", "assistant", "user", "assistant", "user")
SAID = {"system": "Be brief.", "user": "Question {}?", "assistant": "Answer {}."}

# What each publisher writes down: `documented` of the format says where. Per format: the user
# alone, behind a system message, and after two earlier turns behind a system message.
QWEN = "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant."
SMOLLM = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
CHATML_TURNS = (
    "<|im_start|>system\nBe brief.<|im_end|>\n"
    "<|im_start|>user\nQuestion 1?<|im_end|>\n"
    "<|im_start|>assistant\nAnswer 1.<|im_end|>\n"
    "<|im_start|>user\nQuestion 2?<|im_end|>\n"
    "<|im_start|>assistant\nAnswer 2.<|im_end|>\n"
    "<|im_start|>user\nQuestion 3?<|im_end|>\n"
)
CHATML_SYSTEM = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nQuestion 1?<|im_end|>\n"
CHATML_USER = "<|im_start|>user\nQuestion 1?<|im_end|>\n"
HARMONY = (
    "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\n"
    "Knowledge cutoff: 2024-06\n\nReasoning: low\n\n"
    "# Valid channels: analysis, commentary, final. Channel must be included for every message."
    "<|end|>"
)
HARMONY_SYSTEM = "<|start|>developer<|message|># Instructions\n\nBe brief.<|end|>"
EXPECTED: dict[str, tuple[str, str, str]] = {
    "llama-2": (
        "<s>[INST] Question 1? [/INST]",
        "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nQuestion 1? [/INST]",
        "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nQuestion 1? [/INST] Answer 1. </s>"
        "<s>[INST] Question 2? [/INST] Answer 2. </s><s>[INST] Question 3? [/INST]",
    ),
    "mistral-v1": (
        "<s> [INST] Question 1? [/INST]",
        "<s> [INST] Be brief.\n\nQuestion 1? [/INST]",
        "<s> [INST] Be brief.\n\nQuestion 1? [/INST] Answer 1.</s>"
        " [INST] Question 2? [/INST] Answer 2.</s> [INST] Question 3? [/INST]",
    ),
    "mistral-v3": (
        "<s>[INST] Question 1?[/INST]",
        "<s>[INST] Be brief.\n\nQuestion 1?[/INST]",
        "<s>[INST] Question 1?[/INST] Answer 1.</s>"
        "[INST] Question 2?[/INST] Answer 2.</s>[INST] Be brief.\n\nQuestion 3?[/INST]",
    ),
    "gemma": (
        "<bos><start_of_turn>user\nQuestion 1?<end_of_turn>\n<start_of_turn>model\n",
        "<bos><start_of_turn>user\nBe brief.\n\nQuestion 1?<end_of_turn>\n<start_of_turn>model\n",
        "<bos><start_of_turn>user\nBe brief.\n\nQuestion 1?<end_of_turn>\n"
        "<start_of_turn>model\nAnswer 1.<end_of_turn>\n"
        "<start_of_turn>user\nQuestion 2?<end_of_turn>\n"
        "<start_of_turn>model\nAnswer 2.<end_of_turn>\n"
        "<start_of_turn>user\nQuestion 3?<end_of_turn>\n<start_of_turn>model\n",
    ),
    "phi-2": (
        "Instruct: Question 1?\nOutput:",
        "Instruct: Be brief.\nQuestion 1?\nOutput:",
        "Instruct: Be brief.\nQuestion 1?\nOutput: Answer 1.\n"
        "Instruct: Question 2?\nOutput: Answer 2.\nInstruct: Question 3?\nOutput:",
    ),
    "llama-3": (
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nQuestion 1?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nQuestion 1?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nQuestion 1?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nAnswer 1.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nQuestion 2?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nAnswer 2.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nQuestion 3?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    "qwen-2.5": (
        f"{QWEN}<|im_end|>\n{CHATML_USER}<|im_start|>assistant\n",
        f"{CHATML_SYSTEM}<|im_start|>assistant\n",
        f"{CHATML_TURNS}<|im_start|>assistant\n",
    ),
    "qwen-3": (
        f"{CHATML_USER}<|im_start|>assistant\n<think>\n\n</think>\n\n",
        f"{CHATML_SYSTEM}<|im_start|>assistant\n<think>\n\n</think>\n\n",
        f"{CHATML_TURNS}<|im_start|>assistant\n<think>\n\n</think>\n\n",
    ),
    "smollm-2": (
        f"{SMOLLM}<|im_end|>\n{CHATML_USER}<|im_start|>assistant\n",
        f"{CHATML_SYSTEM}<|im_start|>assistant\n",
        f"{CHATML_TURNS}<|im_start|>assistant\n",
    ),
    "orca-2": (
        f"{CHATML_USER}<|im_start|>assistant",
        f"{CHATML_SYSTEM}<|im_start|>assistant",
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nQuestion 1?<|im_end|>\n"
        "<|im_start|>assistant\nAnswer 1.</s>\n<|im_start|>user\nQuestion 2?<|im_end|>\n"
        "<|im_start|>assistant\nAnswer 2.</s>\n<|im_start|>user\nQuestion 3?<|im_end|>\n"
        "<|im_start|>assistant",
    ),
    "phi-3": (
        "<|user|>\nQuestion 1?<|end|>\n<|assistant|>\n",
        "<|system|>\nBe brief.<|end|>\n<|user|>\nQuestion 1?<|end|>\n<|assistant|>\n",
        "<|system|>\nBe brief.<|end|>\n<|user|>\nQuestion 1?<|end|>\n"
        "<|assistant|>\nAnswer 1.<|end|>\n<|user|>\nQuestion 2?<|end|>\n"
        "<|assistant|>\nAnswer 2.<|end|>\n<|user|>\nQuestion 3?<|end|>\n<|assistant|>\n",
    ),
    "phi-4-mini": (
        "<|user|>Question 1?<|end|><|assistant|>",
        "<|system|>Be brief.<|end|><|user|>Question 1?<|end|><|assistant|>",
        "<|system|>Be brief.<|end|><|user|>Question 1?<|end|><|assistant|>Answer 1.<|end|>"
        "<|user|>Question 2?<|end|><|assistant|>Answer 2.<|end|>"
        "<|user|>Question 3?<|end|><|assistant|>",
    ),
    "phi-4": (
        "<|im_start|>user<|im_sep|>Question 1?<|im_end|><|im_start|>assistant<|im_sep|>",
        "<|im_start|>system<|im_sep|>Be brief.<|im_end|>"
        "<|im_start|>user<|im_sep|>Question 1?<|im_end|><|im_start|>assistant<|im_sep|>",
        "<|im_start|>system<|im_sep|>Be brief.<|im_end|>"
        "<|im_start|>user<|im_sep|>Question 1?<|im_end|>"
        "<|im_start|>assistant<|im_sep|>Answer 1.<|im_end|>"
        "<|im_start|>user<|im_sep|>Question 2?<|im_end|>"
        "<|im_start|>assistant<|im_sep|>Answer 2.<|im_end|>"
        "<|im_start|>user<|im_sep|>Question 3?<|im_end|><|im_start|>assistant<|im_sep|>",
    ),
    "harmony": (
        f"{HARMONY}<|start|>user<|message|>Question 1?<|end|>"
        "<|start|>assistant<|channel|>final<|message|>",
        f"{HARMONY}{HARMONY_SYSTEM}<|start|>user<|message|>Question 1?<|end|>"
        "<|start|>assistant<|channel|>final<|message|>",
        f"{HARMONY}{HARMONY_SYSTEM}<|start|>user<|message|>Question 1?<|end|>"
        "<|start|>assistant<|channel|>final<|message|>Answer 1.<|end|>"
        "<|start|>user<|message|>Question 2?<|end|>"
        "<|start|>assistant<|channel|>final<|message|>Answer 2.<|end|>"
        "<|start|>user<|message|>Question 3?<|end|>"
        "<|start|>assistant<|channel|>final<|message|>",
    ),
}
# What follows the last message only to let the assistant speak.
GENERATION_PROMPT = {
    "llama-2": "",
    "mistral-v1": "",
    "mistral-v3": "",
    "gemma": "<start_of_turn>model\n",
    "phi-2": "Output:",
    "llama-3": "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "qwen-2.5": "<|im_start|>assistant\n",
    "qwen-3": "<|im_start|>assistant\n<think>\n\n</think>\n\n",
    "smollm-2": "<|im_start|>assistant\n",
    "orca-2": "<|im_start|>assistant",
    "phi-3": "<|assistant|>\n",
    "phi-4-mini": "<|assistant|>",
    "phi-4": "<|im_start|>assistant<|im_sep|>",
    "harmony": "<|start|>assistant<|channel|>final<|message|>",
}
TAKING_TURNS = ["llama-2", "mistral-v1", "mistral-v3", "gemma", "phi-2"]
MARKS_OF_TEXT = {"llama-2": ["[INST]", "[/INST]", "<<SYS>>"], "mistral-v1": ["[INST]", "[/INST]"]}


def template(name: str) -> ChatTemplate:
    form = FORMATS[name]
    return ChatTemplate(form.chat, NO_MARKER, form.bos, form.eos)


def messages(roles: Sequence[str]) -> list[dict[str, str]]:
    return [
        {"role": role, "content": SAID[role].format(roles[: index + 1].count(role))}
        for index, role in enumerate(roles)
    ]


def test_every_format_is_held_to_its_document_and_used() -> None:
    assert set(FORMATS) == set(EXPECTED) == set(GENERATION_PROMPT)
    assert {model.format.name for model in known_models() if model.format} == set(FORMATS)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_user_alone(name: str) -> None:
    assert template(name).render(messages(USER_ONLY))[0] == EXPECTED[name][0]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_user_behind_a_system_message(name: str) -> None:
    assert template(name).render(messages(WITH_SYSTEM))[0] == EXPECTED[name][1]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_conversation_of_three_turns(name: str) -> None:
    assert template(name).render(messages(THREE_TURNS))[0] == EXPECTED[name][2]


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("roles", [USER_ONLY, WITH_SYSTEM, THREE_TURNS])
def test_without_the_generation_prompt_only_what_was_said(
    name: str, roles: tuple[str, ...]
) -> None:
    whole, _ = template(name).render(messages(roles))
    said, _ = template(name).render(messages(roles), generation_prompt=False)
    assert said + GENERATION_PROMPT[name] == whole


@pytest.mark.parametrize("name", EXPECTED)
def test_an_answer_may_be_the_last_that_was_said(name: str) -> None:
    said, _ = template(name).render(messages(THREE_TURNS[:3]), generation_prompt=False)
    assert said.count("Answer 1.") == 1
    assert said.count("Be brief.") == 1


@pytest.mark.parametrize("name", EXPECTED)
def test_a_system_message_behind_others_is_a_400(name: str) -> None:
    with pytest.raises(
        BadRequestError, match=r"refuses these messages: .*(first|user's)"
    ) as caught:
        template(name).render(messages(("user", "system", "user")))
    assert caught.value.status == 400
    assert caught.value.param == "messages"


@pytest.mark.parametrize("name", TAKING_TURNS)
@pytest.mark.parametrize(
    "roles",
    [
        ("assistant", "user"),
        ("user", "user"),
        ("system", "assistant", "user"),
        ("user", "assistant"),
        ("system",),
        ("user", "assistant", "assistant", "user"),
    ],
    ids=",".join,
)
def test_where_turns_must_alternate_a_wrong_order_is_a_400(
    name: str, roles: tuple[str, ...]
) -> None:
    with pytest.raises(BadRequestError, match=r"take turns|must be the user") as caught:
        template(name).render(messages(roles))
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("name", "mark"), [(name, mark) for name, marks in MARKS_OF_TEXT.items() for mark in marks]
)
def test_marks_that_are_plain_text_can_not_be_forged(name: str, mark: str) -> None:
    forged = [{"role": "user", "content": f"Hello {mark} system"}]
    with pytest.raises(BadRequestError, match="must not hold"):
        template(name).render(forged)


@pytest.mark.parametrize("name", EXPECTED)
def test_what_a_message_says_stands_in_the_prompt_once_and_unchanged(name: str) -> None:
    said = "line one\n\n  {{ 7 * 7 }} \u00e9 \U0001f600 end"
    text, _ = template(name).render([{"role": "user", "content": said}])
    assert text.count(said) == 1
