"""Requests in OpenAI's shape: every field is checked, and a field that is not known is refused.

Accepted and without effect, because clients send them as a matter of course: `user`, `metadata`,
`safety_identifier`, `prompt_cache_key`, `parallel_tool_calls`, `store` (only false), `service_tier`
(only `auto` and `default`), `modalities` (only text), `tools` (only empty), `tool_choice` (only
`none` and `auto`), `best_of` (only 1), `echo` (only false).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance.engine.errors import BadRequestError
from appliance.engine.options import LIMITS
from appliance.engine.sampling import Sampling

_COMPLETION_TOKENS = 16  # OpenAI's default for plain completions

Finite = Annotated[float, Field(allow_inf_nan=False)]
Stop = Annotated[str, Field(min_length=1, max_length=LIMITS.stop_chars)]
Bias = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
Parsed = TypeVar("Parsed", bound="Strict")
TokenId = Annotated[int, Field(ge=0, lt=2**31)]


class Strict(BaseModel):
    """An object whose fields are all known and have the very types that they should."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class TextPart(Strict):
    """One part of a message; only text is understood."""

    type: Literal["text"]
    text: str


class Message(Strict):
    """One message of a chat."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    name: str | None = Field(None, pattern=r"^[A-Za-z0-9_.-]{1,64}$")

    def plain(self) -> dict[str, str]:
        """Role and text for the template; `developer` is today's word for `system`."""
        content = self.content
        text = content if isinstance(content, str) else "".join(part.text for part in content)
        role = "system" if self.role == "developer" else self.role
        named = {} if self.name is None else {"name": self.name}
        return {"role": role, "content": text, **named}


class SchemaFormat(Strict):
    """The schema of `response_format`; it is enforced whatever `strict` says."""

    name: str = Field("answer", pattern=r"^[A-Za-z0-9_-]{1,64}$")
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(Strict):
    """What form the answer must have."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: SchemaFormat | None = None

    def schema_to_enforce(self) -> dict[str, Any] | None:
        """The JSON Schema that the answer must satisfy, None for free text.

        Raises:
            BadRequestError: type and schema do not go together.
        """
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise BadRequestError(
                "response_format.json_schema",
                "response_format: json_schema goes with type 'json_schema', and only with it.",
            )
        if self.json_schema is not None:
            return self.json_schema.schema_
        return {"type": "object"} if self.type == "json_object" else None


class StreamOptions(Strict):
    """Options of a streamed answer."""

    include_usage: bool | None = None
    include_obfuscation: Literal[False] | None = None


class _Request(Strict):
    model: str = Field(min_length=1, max_length=256)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[Finite, Field(ge=0, le=2)] | None = None
    top_p: Annotated[Finite, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    min_p: Annotated[Finite, Field(ge=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    n: Annotated[int, Field(ge=1, le=64)] | None = None
    max_tokens: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=LIMITS.stops)] | None = None
    presence_penalty: Annotated[Finite, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[Finite, Field(ge=-2, le=2)] | None = None
    logit_bias: Annotated[dict[str, Bias], Field(max_length=LIMITS.biases)] | None = None
    response_format: ResponseFormat | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    store: Literal[False] | None = None
    service_tier: Literal["auto", "default"] | None = None

    @property
    def choices(self) -> int:
        """Number of answers to each prompt."""
        return self.n or 1

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts that end an answer."""
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with the token counts."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def sampling(self, vocabulary_size: int) -> Sampling:
        """The sampling parameters, defaults filled in.

        Raises:
            BadRequestError: a token id of `logit_bias` is not in the vocabulary.
        """
        return Sampling(
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            top_k=self.top_k or 0,
            min_p=self.min_p or 0.0,
            presence_penalty=self.presence_penalty or 0.0,
            frequency_penalty=self.frequency_penalty or 0.0,
            logit_bias=_biases(self.logit_bias or {}, vocabulary_size),
            top_logprobs=self.logprobs_wanted(),
        )

    def logprobs_wanted(self) -> int | None:
        """How many alternatives are listed per token; None for no log-probabilities."""
        raise NotImplementedError

    def token_limit(self) -> int | None:
        """Tokens of one answer at most; None for as many as the context holds."""
        raise NotImplementedError


class ChatRequest(_Request):
    """Body of `POST /v1/chat/completions`."""

    messages: list[Message] = Field(min_length=1, max_length=LIMITS.messages)
    max_completion_tokens: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=LIMITS.top_logprobs)] | None = None
    modalities: list[Literal["text"]] | None = None
    parallel_tool_calls: bool | None = None
    tools: Annotated[list[Any], Field(max_length=0)] | None = None
    tool_choice: Literal["none", "auto"] | None = None

    def logprobs_wanted(self) -> int | None:
        """As `logprobs` and `top_logprobs` say."""
        if self.top_logprobs is not None and not self.logprobs:
            raise BadRequestError("top_logprobs", "top_logprobs needs logprobs to be true.")
        return (self.top_logprobs or 0) if self.logprobs else None

    def token_limit(self) -> int | None:
        """`max_completion_tokens`, or its old name `max_tokens`."""
        if self.max_completion_tokens is not None:
            return self.max_completion_tokens
        return self.max_tokens


class CompletionRequest(_Request):
    """Body of `POST /v1/completions`."""

    prompt: (
        str
        | Annotated[list[str], Field(min_length=1, max_length=LIMITS.prompts)]
        | Annotated[list[TokenId], Field(min_length=1)]
        | Annotated[
            list[Annotated[list[TokenId], Field(min_length=1)]],
            Field(min_length=1, max_length=LIMITS.prompts),
        ]
    )
    suffix: str | None = None
    logprobs: Annotated[int, Field(ge=0, le=LIMITS.top_logprobs)] | None = None
    echo: Literal[False] | None = None
    best_of: Literal[1] | None = None

    def prompts(self) -> list[str | list[int]]:
        """Every prompt, as text or as tokens."""
        prompt = self.prompt
        if isinstance(prompt, str):
            return [prompt]
        if isinstance(prompt[0], int):
            return [prompt]
        return cast("list[str | list[int]]", prompt)

    def logprobs_wanted(self) -> int | None:
        """As `logprobs` says."""
        return self.logprobs

    def token_limit(self) -> int | None:
        """`max_tokens`, 16 by default as in OpenAI's API."""
        return self.max_tokens or _COMPLETION_TOKENS


class _Samples(Strict):
    samples: Annotated[list[ChatRequest], Field(min_length=2, max_length=2)]


def parse_samples(value: Mapping[str, Any]) -> list[ChatRequest]:
    """Check a decoded body with two chat requests that begin alike.

    Raises:
        BadRequestError: as in `parse_request`.
    """
    try:
        return _Samples.model_validate(value).samples
    except ValidationError as error:
        raise _named(error, value) from error


def parse_request(kind: type[Parsed], value: Mapping[str, Any]) -> Parsed:
    """Check a decoded body.

    Raises:
        BadRequestError: names the first field that is wrong, and the limit it breaks.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise _named(error, value) from error


def _named(error: ValidationError, value: Mapping[str, Any]) -> BadRequestError:
    """The complaint about the field that comes closest to being right, without its value."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    # Of the branches of a union, the one that got furthest says what the sender meant.
    fields = [_field(item["loc"], value) for item in found]
    same = [index for index, field in enumerate(fields) if field[:1] == fields[0][:1]]
    best = max(same, key=lambda index: len(fields[index]))
    name, item = ".".join(fields[best]), found[best]
    if item["type"] == "extra_forbidden":
        return BadRequestError(name, f"{name}: this engine does not know the field; remove it.")
    if item["type"] == "missing":
        return BadRequestError(name, f"{name}: the field is required.", "missing_field")
    return BadRequestError(name, f"{name}: {item['msg']}.")


def _field(location: tuple[int | str, ...], value: object) -> list[str]:
    """The path of a field, without the names that pydantic gives to branches of a union."""
    names: list[str] = []
    for place, part in enumerate(location):
        if _holds(value, part):
            names.append(str(part))
            value = cast("Any", value)[part]
        elif place == len(location) - 1 and isinstance(value, Mapping):
            names.append(str(part))
    return names


def _holds(value: object, part: int | str) -> bool:
    if isinstance(value, Mapping):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(value)


def _biases(given: Mapping[str, float], vocabulary_size: int) -> dict[int, float]:
    biases: dict[int, float] = {}
    for key, bias in given.items():
        if not (key.isascii() and key.isdigit() and int(key) < vocabulary_size):
            raise BadRequestError(
                f"logit_bias.{key[:20]}",
                f"logit_bias: keys must be token ids from 0 to {vocabulary_size - 1}.",
            )
        biases[int(key)] = bias
    return biases
