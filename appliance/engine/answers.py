"""From a sequence's tokens to OpenAI's objects. Runs in the event loop, beside the next decode."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence as Tokens
from dataclasses import dataclass, field
from typing import Any

from appliance.engine.asgi import sse
from appliance.engine.errors import DecodeError
from appliance.engine.grammar import CompiledSchema
from appliance.engine.sampling import TokenLogprobs
from appliance.engine.sequence import Finish, Sequence
from appliance.engine.text import Assembler
from appliance.engine.vocab import Vocabulary

LoggedToken = tuple[int, TokenLogprobs]


class Choice:
    """One answer in the making: the sink of one sequence.

    Args:
        index: its number in the request.
        vocabulary: turns tokens to bytes.
        stops: texts that end the answer.
        changed: set whenever there is something new.
        is_new_text: whether the answer does not go on with a text; its first token then begins with
            the space before a word, which is not part of it.
    """

    def __init__(
        self,
        index: int,
        vocabulary: Vocabulary,
        stops: tuple[str, ...],
        changed: asyncio.Event,
        is_new_text: bool = False,
    ) -> None:
        """Nothing has been said yet."""
        self.index = index
        self.sequence: Sequence | None = None
        self.finish: Finish | None = None
        self.has_started = False
        self.tokens = 0
        self._vocabulary = vocabulary
        self._assembler = Assembler(stops)
        self._changed = changed
        self._is_new_text = is_new_text
        self._text: list[str] = []
        self._sent = 0
        self._logged: list[LoggedToken] = []
        self._logged_sent = 0
        self.hit_stop = False

    def started(self) -> None:
        """The sequence has left the queue."""
        self.has_started = True
        self._changed.set()

    def take(
        self, tokens: Tokens[int], logprobs: TokenLogprobs | None, finish: Finish | None
    ) -> None:
        """Join new tokens to the text; ignores what comes after a stop string."""
        if self.finish is not None:
            return
        for token in tokens:
            piece = self._vocabulary.piece(token)
            if self._is_new_text and self.tokens == 0:
                piece = piece.removeprefix(b" ")
            self.tokens += 1
            text = self._assembler.push(piece)
            if text:
                self._text.append(text)
            if self._assembler.stopped:
                self.hit_stop = True
                finish = Finish.STOP
                break
        if logprobs is not None and tokens:
            self._logged.append((tokens[0], logprobs))
        if finish is not None:
            rest = self._assembler.finish()
            if rest:
                self._text.append(rest)
            self.finish = finish
        self._changed.set()

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._text)

    @property
    def logged(self) -> list[LoggedToken]:
        """All tokens so far with their log-probabilities, if they are wanted."""
        return self._logged

    def fresh(self) -> tuple[str, list[LoggedToken]]:
        """What came since the last call; log-probabilities come with the text they belong to."""
        text = "".join(self._text[self._sent :])
        if not text and self.finish is None:
            return "", []
        logged = self._logged[self._logged_sent :]
        self._sent, self._logged_sent = len(self._text), len(self._logged)
        return text, logged


@dataclass(eq=False)
class Answering:
    """One request being answered: all its choices, and what they need to be written down.

    Args:
        id: OpenAI's id of the answer.
        model: name as asked for.
        chat: whether chat objects are to be made, not plain completions.
        prompt_tokens: of all prompts together.
        schema: what every finished choice must satisfy.
        wants_logprobs: whether log-probabilities go into the answer.
    """

    id: str
    model: str
    chat: bool
    vocabulary: Vocabulary
    prompt_tokens: int
    schema: CompiledSchema | None
    wants_logprobs: bool
    choices: list[Choice] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    created: int = field(default_factory=lambda: int(time.time()))
    _before: bytes = b""

    @property
    def sequences(self) -> list[Sequence]:
        """The scheduler's side of all choices."""
        return [choice.sequence for choice in self.choices if choice.sequence is not None]

    @property
    def done(self) -> bool:
        """Whether every choice has ended."""
        return all(choice.finish is not None for choice in self.choices)

    @property
    def has_started(self) -> bool:
        """Whether a choice has left the queue or ended in it."""
        return any(choice.has_started or choice.finish is not None for choice in self.choices)

    def check(self, choice: Choice) -> None:
        """Return only if an ended choice may be shown as it is.

        Raises:
            DecodeError: the model gave no usable logits.
            SchemaViolationError: the text breaks the schema that was asked for.
        """
        if choice.finish is Finish.FAILED:
            raise DecodeError("The model gave no usable probabilities for the next token.")
        if self.schema is not None and choice.finish is Finish.STOP:
            self.schema.validate(choice.text)

    def usage(self) -> dict[str, int]:
        """Token counts."""
        answered = sum(choice.tokens for choice in self.choices)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": answered,
            "total_tokens": self.prompt_tokens + answered,
        }

    def whole(self) -> bytes:
        """The answer as one JSON object; every choice has ended and was checked."""
        choices = [self._choice(choice) for choice in self.choices]
        return json.dumps({**self._head(False), "choices": choices, "usage": self.usage()}).encode()

    def opening(self) -> bytes:
        """The first events of a stream: the assistant's role, for chats."""
        if not self.chat:
            return b""
        role: dict[str, Any] = {"delta": {"role": "assistant", "content": ""}}
        role["finish_reason"] = None
        return b"".join(self._event({"index": each.index, **role}) for each in self.choices)

    def progress(self, choice: Choice) -> bytes:
        """Events for what a choice has said since the last call."""
        text, logged = choice.fresh()
        if not text and not logged:
            return b""
        entry: dict[str, Any] = {"index": choice.index}
        entry |= {"delta": {"content": text}} if self.chat else {"text": text}
        entry |= {"logprobs": self._logprobs(logged), "finish_reason": None}
        return self._event(entry)

    def ending(self, choice: Choice) -> bytes:
        """The event that says why a choice ended."""
        entry: dict[str, Any] = {"index": choice.index}
        said: dict[str, Any] = {"delta": {}} if self.chat else {"text": ""}
        return self._event(entry | said | {"logprobs": None, "finish_reason": choice.finish})

    def closing(self, with_usage: bool) -> bytes:
        """The last events of a stream."""
        usage = b""
        if with_usage:
            usage = sse({**self._head(True), "choices": [], "usage": self.usage()})
        return usage + b"data: [DONE]\n\n"

    def _event(self, choice: dict[str, Any]) -> bytes:
        # The head is the same in every event of a stream; only the choice is written anew.
        if not self._before:
            self._before = (
                b"data: " + json.dumps(self._head(True)).encode()[:-1] + b', "choices": ['
            )
        return self._before + json.dumps(choice).encode() + b"]}\n\n"

    def _head(self, stream: bool) -> dict[str, Any]:
        kind = "text_completion"
        if self.chat:
            kind = "chat.completion.chunk" if stream else "chat.completion"
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _choice(self, choice: Choice) -> dict[str, Any]:
        entry: dict[str, Any] = {"index": choice.index}
        if self.chat:
            entry["message"] = {"role": "assistant", "content": choice.text, "refusal": None}
        else:
            entry["text"] = choice.text
        logprobs = self._logprobs(choice.logged)
        return {**entry, "logprobs": logprobs, "finish_reason": choice.finish}

    def _logprobs(self, logged: list[LoggedToken]) -> dict[str, Any] | None:
        if not self.wants_logprobs:
            return None
        if self.chat:
            return {"content": [self._chat_entry(*each) for each in logged], "refusal": None}
        return {
            "tokens": [self._spelled(token) for token, _ in logged],
            "token_logprobs": [found.logprob for _, found in logged],
            "top_logprobs": [
                {self._spelled(token): value for token, value in found.top} for _, found in logged
            ],
            "text_offset": self._offsets(logged),
        }

    def _chat_entry(self, token: int, found: TokenLogprobs) -> dict[str, Any]:
        top = [self._token_entry(*each) for each in found.top]
        return {**self._token_entry(token, found.logprob), "top_logprobs": top}

    def _token_entry(self, token: int, logprob: float) -> dict[str, Any]:
        return {
            "token": self._spelled(token),
            "logprob": logprob,
            "bytes": list(self.vocabulary.piece(token)),
        }

    def _offsets(self, logged: list[LoggedToken]) -> list[int]:
        offsets, at = [], 0
        for token, _ in logged:
            offsets.append(at)
            at += len(self._spelled(token))
        return offsets

    def _spelled(self, token: int) -> str:
        piece = self.vocabulary.piece(token) or self.vocabulary.spelling(token).encode()
        return piece.decode("utf-8", "replace")
