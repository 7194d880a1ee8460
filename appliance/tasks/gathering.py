"""Putting a streamed answer together again, in the shape of one that was not streamed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from appliance.engine.client import Chunk
from appliance.tasks.work import Kind

_OBJECTS = {Kind.CHAT: "chat.completion", Kind.COMPLETION: "text_completion"}


@dataclass
class _Choice:
    index: int
    pieces: list[str] = field(default_factory=list)
    logprobs: dict[str, Any] | None = None
    finish_reason: str | None = None

    @property
    def text(self) -> str:
        """All pieces so far."""
        return "".join(self.pieces)


class Gathering:
    """The answer so far: all choices, their log probabilities, finish reasons and the usage."""

    def __init__(self, kind: Kind) -> None:
        """An answer to a request of this kind, still empty."""
        self._kind = kind
        self._choices: dict[int, _Choice] = {}
        self._head: Mapping[str, Any] = {}
        self.usage: Mapping[str, Any] = {}

    def add(self, chunk: Chunk) -> None:
        """Take in one chunk of the stream."""
        self._head = self._head or chunk.body
        if chunk.usage:
            self.usage = chunk.usage
        for part in chunk.body.get("choices") or ():
            self._add_choice(part)

    @property
    def text(self) -> str:
        """The first choice's text so far."""
        first = self._choices.get(0)
        return "" if first is None else first.text

    @property
    def finish_reason(self) -> str:
        """The first choice's finish reason; empty while it has none."""
        first = self._choices.get(0)
        return (first and first.finish_reason) or ""

    def content(self) -> dict[str, Any]:
        """What the log keeps of the answer: each choice's text and finish reason."""
        return {
            "text": self.text,
            "choices": [
                {"index": one.index, "text": one.text, "finish_reason": one.finish_reason}
                for one in self._in_order()
            ],
        }

    def body(self) -> dict[str, Any]:
        """The whole answer as OpenAI's API gives it without `stream`."""
        head = {name: self._head.get(name) for name in ("id", "created", "model")}
        return {
            **head,
            "object": _OBJECTS[self._kind],
            "system_fingerprint": self._head.get("system_fingerprint"),
            "choices": [self._choice(one) for one in self._in_order()],
            "usage": dict(self.usage),
        }

    def _in_order(self) -> list[_Choice]:
        return [self._choices[index] for index in sorted(self._choices)]

    def _add_choice(self, part: Mapping[str, Any]) -> None:
        index = int(part["index"])
        choice = self._choices.setdefault(index, _Choice(index))
        delta = part.get("delta") or {}
        piece = part.get("text") if self._kind is Kind.COMPLETION else delta.get("content")
        choice.pieces.append(piece or "")
        choice.finish_reason = part.get("finish_reason") or choice.finish_reason
        if part.get("logprobs"):
            choice.logprobs = _joined(choice.logprobs, part["logprobs"])

    def _choice(self, one: _Choice) -> dict[str, Any]:
        content: dict[str, Any] = {"text": one.text}
        if self._kind is Kind.CHAT:
            content = {"message": {"role": "assistant", "content": one.text, "refusal": None}}
        return {
            "index": one.index,
            **content,
            "logprobs": one.logprobs,
            "finish_reason": one.finish_reason,
        }


def _joined(before: dict[str, Any] | None, more: Mapping[str, Any]) -> dict[str, Any]:
    """Both of OpenAI's shapes are maps of lists, one entry a token."""
    if before is None:
        return {
            key: list(value) if isinstance(value, list) else value for key, value in more.items()
        }
    for key, value in more.items():
        if isinstance(value, list):
            before[key] = [*(before.get(key) or ()), *value]
    return before
