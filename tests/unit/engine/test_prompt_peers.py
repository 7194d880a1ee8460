"""llama.cpp has prompt formats of its own, written by others: they come to the same texts."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import llama_cpp.llama_cpp as lib
import pytest

from tests.unit.engine.test_prompt_formats import THREE_TURNS, WITH_SYSTEM, messages, template

# Our format: llama.cpp's name, what we write before it (it leaves the beginning to the tokenizer),
# and what we write behind it.
PEERS = {
    "llama-2": ("llama2-sys-bos", "<s>", ""),
    "mistral-v1": ("mistral-v1", "<s>", ""),
    "mistral-v3": ("mistral-v3", "<s>", ""),
    "gemma": ("gemma", "<bos>", ""),
    "llama-3": ("llama3", "<|begin_of_text|>", ""),
    "phi-3": ("phi3", "", ""),
    "phi-4": ("phi4", "", ""),
    "qwen-2.5": ("chatml", "", ""),
    "qwen-3": ("chatml", "", "<think>\n\n</think>\n\n"),
    "smollm-2": ("chatml", "", ""),
}
ROOM = 4_096


def peer(name: str, roles: Sequence[str]) -> str:
    said = messages(roles)
    chat = (lib.llama_chat_message * len(said))(
        *((one["role"].encode(), one["content"].encode()) for one in said)
    )
    buffer = ctypes.create_string_buffer(ROOM)
    length = lib.llama_chat_apply_template(name.encode(), chat, len(said), True, buffer, ROOM)
    assert 0 < length < ROOM
    return buffer.raw[:length].decode()


# Where the peer leaves the publisher's own code: Llama 2 has a space on each side of an answer
# (`generation.py`), Mistral's system message stands before the last user message (mistral-common).
LEAVING = {("llama-2", THREE_TURNS), ("mistral-v3", THREE_TURNS)}
SAME = [
    (name, roles)
    for name in PEERS
    for roles in (WITH_SYSTEM, THREE_TURNS, THREE_TURNS[1:])
    if (name, roles) not in LEAVING and (roles != THREE_TURNS[1:] or name == "mistral-v3")
]


@pytest.mark.parametrize(("name", "roles"), SAME)
def test_both_write_the_same(name: str, roles: tuple[str, ...]) -> None:
    theirs, before, behind = PEERS[name]
    assert template(name).render(messages(roles))[0] == before + peer(theirs, roles) + behind
