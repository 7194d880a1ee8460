"""From a checked request to sequences that the scheduler can run."""

from __future__ import annotations

import secrets
from collections.abc import Sequence as Messages
from dataclasses import dataclass, replace

from appliance.engine.answers import Answering, Choice
from appliance.engine.errors import BadRequestError, ContextOverflowError, IncapableModelError
from appliance.engine.grammar import CompiledSchema, Grammars, GrammarState
from appliance.engine.identity import NO_TEMPLATE, AnswerIdentity
from appliance.engine.infill import Infill
from appliance.engine.llama import Adapter
from appliance.engine.prefixes import SHORTEST, common_prefix
from appliance.engine.protocol import ChatRequest, CompletionRequest, Message
from appliance.engine.sampling import Sampling
from appliance.engine.sequence import Group, Sequence
from appliance.engine.template import ChatTemplate
from appliance.engine.vocab import Vocabulary


@dataclass(frozen=True)
class Served:
    """What a runner serves: one model and all that its requests are measured against.

    Args:
        context: tokens of one request at most.
        sequences: choices of one request at most.
        capabilities: as the manifest says.
        stops: the manifest's stop strings.
        grammars: None where the vocabulary can not write JSON.
        infill: how the model fills gaps, None if it was not trained to.
        keeps: whether beginnings of prompts stay in the KV cache.
        opening: of an encoder-decoder, the token before every answer; None for other models.
        adapter: that changes the model, None where it answers as it is.
    """

    name: str
    digest: str
    build: str
    context: int
    sequences: int
    capabilities: tuple[str, ...]
    stops: tuple[str, ...]
    vocabulary: Vocabulary
    grammars: Grammars | None
    template: ChatTemplate | None
    infill: Infill | None = None
    keeps: bool = False
    opening: int | None = None
    adapter: Adapter | None = None

    def with_adapter(self, adapter: Adapter) -> Served:
        """The same model as an adapter changes it, under the adapter's name."""
        return replace(self, name=adapter.name, adapter=adapter)


@dataclass(frozen=True)
class Job:
    """One request ready to run."""

    answering: Answering
    groups: list[Group]
    identity: AnswerIdentity


def admit(served: Served, request: ChatRequest | CompletionRequest) -> Job:
    """Tokenise, check against the model's limits, and lay out sequences.

    Takes as long as its schema takes to compile, so it does not belong in the event loop.

    Raises:
        BadRequestError: names the field and the limit.
    """
    if request.choices > served.sequences:
        raise BadRequestError("n", f"n: this engine makes at most {served.sequences} choices.")
    sampling = request.sampling(served.vocabulary.size)
    schema = _schema(served, request)
    if isinstance(request, ChatRequest):
        param, prompts = "messages", [_chat_tokens(served, request.messages)]
    else:
        param = "prompt"
        prompts = [_completion_tokens(served, request, prompt) for prompt in request.prompts()]
    limits = [_limit(served, request, prompt, param) for prompt in prompts]
    seed = secrets.randbits(32) if request.seed is None else request.seed
    chat = isinstance(request, ChatRequest)
    answering = Answering(
        id=("chatcmpl-" if chat else "cmpl-") + secrets.token_hex(12),
        model=request.model,
        chat=chat,
        vocabulary=served.vocabulary,
        prompt_tokens=sum(map(len, prompts)),
        schema=schema,
        wants_logprobs=sampling.top_logprobs is not None,
    )
    maker = _Maker(served, request, answering, sampling, schema, seed)
    pairs = zip(prompts, limits, strict=True)
    groups = [group for prompt, limit in pairs for group in maker.groups(prompt, limit)]
    digest = served.template.digest if chat and served.template else NO_TEMPLATE
    identity = AnswerIdentity(
        model=served.name,
        model_digest=served.digest,
        template_digest=digest,
        build=served.build,
        seed=seed,
        asked=request.model,
        adapter_digest=served.adapter.digest if served.adapter else None,
    )
    return Job(answering, groups, identity)


def beginning(served: Served, samples: Messages[ChatRequest]) -> list[int]:
    """What two requests of one kind begin with; compiles their schema too, for the first of them.

    Returns:
        Tokens; none where keeping them would serve nobody.

    Raises:
        BadRequestError: as in `admit`.
    """
    first, second = (_chat_tokens(served, sample.messages) for sample in samples)
    for sample in samples:
        _schema(served, sample)
    common = first[: common_prefix(first, second)]
    kept = served.keeps and SHORTEST <= len(common) < served.context
    return common if kept else []


@dataclass(frozen=True)
class _Maker:
    served: Served
    request: ChatRequest | CompletionRequest
    answering: Answering
    sampling: Sampling
    schema: CompiledSchema | None
    seed: int

    def groups(self, prompt: list[int], limit: int) -> list[Group]:
        """All choices for one prompt; an encoder-decoder makes one after the other."""
        choices = self.request.choices
        opening = self.served.opening
        if opening is not None:
            members = [self._sequence([opening], limit, source=prompt) for _ in range(choices)]
            return [Group([member], 1) for member in members]
        return [Group([self._sequence(prompt, limit) for _ in range(choices)], len(prompt))]

    def _sequence(self, prompt: list[int], limit: int, source: list[int] | None = None) -> Sequence:
        index = len(self.answering.choices)
        # A schema says itself where the answer ends; a stop string could only damage it.
        stops = () if self.schema else (*self.served.stops, *self.request.stops)
        choice = Choice(
            index, self.served.vocabulary, stops, self.answering.changed, source is not None
        )
        grammar, forced = None, []
        if self.schema is not None:
            grammar = GrammarState(self.schema, self.served.vocabulary.size)
            forced = grammar.forced()
        choice.sequence = Sequence(
            sink=choice,
            sampling=self.sampling,
            seed=self.seed + index,
            tokens=prompt + forced,
            limit=limit,
            source=source or [],
            grammar=grammar,
            adapter=self.served.adapter,
        )
        self.answering.choices.append(choice)
        return choice.sequence


def _schema(served: Served, request: ChatRequest | CompletionRequest) -> CompiledSchema | None:
    if request.response_format is None:
        return None
    schema = request.response_format.schema_to_enforce()
    if schema is None:
        return None
    if served.grammars is None:
        raise BadRequestError(
            "response_format",
            f"response_format: model {served.name!r} answers in words only; ask for JSON from a"
            " model that can chat, or leave it out.",
        )
    if request.stops:
        raise BadRequestError("stop", "stop: a stop string would cut an answer that has a schema.")
    return served.grammars.compile(schema, "response_format.json_schema.schema")


def _chat_tokens(served: Served, messages: Messages[Message]) -> list[int]:
    if served.opening is not None:
        raise IncapableModelError(served.name, "chat", served.capabilities)
    if served.template is None:
        raise BadRequestError(
            "model", f"Model {served.name!r} has no chat template; use /v1/completions."
        )
    plain = [message.plain() for message in messages]
    _check_length(served, sum(len(each["content"]) for each in plain), "messages")
    text, guard = served.template.render(plain)
    tokens = served.vocabulary.templated(text, guard)
    return _with_bos(served.vocabulary, tokens)


def _completion_tokens(
    served: Served, request: CompletionRequest, prompt: str | list[int]
) -> list[int]:
    tokens = _prompt_tokens(served, prompt)
    if request.suffix:
        if served.infill is None:
            raise BadRequestError(
                "suffix",
                f"suffix: model {served.name!r} was not trained to fill gaps; leave it out, or ask"
                " a model with the capability 'infill'.",
            )
        _check_length(served, len(request.suffix), "suffix")
        behind = served.vocabulary.continuing(request.suffix)
        tokens = served.infill.prompt(tokens, behind)
    elif isinstance(prompt, list):
        return tokens
    if served.opening is None:
        tokens = _with_bos(served.vocabulary, tokens)
    if not tokens:
        raise BadRequestError("prompt", "prompt: it must not be empty.")
    return tokens


def _prompt_tokens(served: Served, prompt: str | list[int]) -> list[int]:
    if isinstance(prompt, str):
        _check_length(served, len(prompt), "prompt")
        if served.opening is not None:
            return served.vocabulary.source(prompt) if prompt.strip() else []
        return served.vocabulary.plain(prompt)
    if max(prompt) >= served.vocabulary.size:
        raise BadRequestError(
            "prompt", f"prompt: token ids must be below {served.vocabulary.size}."
        )
    return prompt


def _with_bos(vocabulary: Vocabulary, tokens: list[int]) -> list[int]:
    if vocabulary.adds_bos and tokens[:1] != [vocabulary.bos]:
        return [vocabulary.bos, *tokens]
    return tokens


def _check_length(served: Served, characters: int, param: str) -> None:
    """Refuse, before any work, what can not fit however well it tokenises."""
    if characters > served.context * served.vocabulary.longest_piece:
        raise ContextOverflowError(
            param,
            f"{param}: {characters} characters can not fit the model's context of"
            f" {served.context} tokens; shorten the text.",
        )


def _limit(
    served: Served, request: ChatRequest | CompletionRequest, prompt: list[int], param: str
) -> int:
    """Tokens that prompt and answer may have together."""
    wanted = request.token_limit()
    if served.opening is not None:
        return _answer_limit(served, request, prompt, wanted or 1)
    if len(prompt) >= served.context:
        raise ContextOverflowError(
            param,
            f"{param}: {len(prompt)} tokens leave no room for an answer in the model's context"
            f" of {served.context} tokens; shorten the text.",
        )
    if request.max_tokens is not None or isinstance(request, ChatRequest):
        asked = len(prompt) + (wanted or 1)
        if asked > served.context:
            name = _limit_name(request)
            raise ContextOverflowError(
                name,
                f"{name}: {len(prompt)} tokens of {param} and {wanted} of answer pass the"
                f" model's context of {served.context} tokens.",
            )
    return min(served.context, len(prompt) + (wanted or served.context))


def _answer_limit(
    served: Served, request: ChatRequest | CompletionRequest, source: list[int], wanted: int
) -> int:
    """Tokens of an answer and the one before it; what was read takes none of their room."""
    if len(source) > served.context:
        raise ContextOverflowError(
            "prompt",
            f"prompt: {len(source)} tokens pass the {served.context} that model {served.name!r}"
            " reads at once; shorten the text, or send it in parts.",
        )
    if wanted >= served.context:
        name = _limit_name(request)
        raise ContextOverflowError(
            name,
            f"{name}: {wanted} tokens pass the {served.context - 1} that model {served.name!r}"
            " answers at most; ask for less.",
        )
    return 1 + wanted


def _limit_name(request: ChatRequest | CompletionRequest) -> str:
    new = isinstance(request, ChatRequest) and request.max_completion_tokens is not None
    return "max_completion_tokens" if new else "max_tokens"
