"""From a request for vectors or classes to texts that the encoder reads, and to its answer."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, cast

from pydantic import Field

from appliance.engine.encoding import Floats, Reading
from appliance.engine.errors import (
    BadRequestError,
    ContextOverflowError,
    DecodeError,
    IncapableModelError,
)
from appliance.engine.heads import Head, Pooling, embedding
from appliance.engine.identity import NO_TEMPLATE, AnswerIdentity
from appliance.engine.llama import tokenise
from appliance.engine.options import LIMITS
from appliance.engine.protocol import Strict, TokenId

_LONGEST_PIECE = 256  # bytes of one token at most; no vocabulary of an encoder comes near it


class _InputRequest(Strict):
    model: str = Field(min_length=1, max_length=256)
    input: (
        str
        | Annotated[list[str], Field(min_length=1)]
        | Annotated[list[TokenId], Field(min_length=1)]
        | Annotated[list[Annotated[list[TokenId], Field(min_length=1)]], Field(min_length=1)]
    )
    user: str | None = None

    def inputs(self) -> list[str | list[int]]:
        """Every text, as text or as tokens.

        Raises:
            BadRequestError: there are too many.
        """
        given = self.input
        if isinstance(given, str) or isinstance(given[0], int):
            return [given]
        if len(given) > LIMITS.inputs:
            raise BadRequestError(
                "input", f"input: {len(given)} texts; at most {LIMITS.inputs} fit into one request."
            )
        return cast("list[str | list[int]]", given)


class EmbeddingsRequest(_InputRequest):
    """Body of `POST /v1/embeddings`."""

    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None


class ClassifyRequest(_InputRequest):
    """Body of `POST /v1/classify`."""


InputRequest = EmbeddingsRequest | ClassifyRequest


@dataclass(frozen=True)
class ServedEncoder:
    """What the runner of an encoder serves.

    Args:
        context: tokens of one text at most, the model's marks included.
        capabilities: as the manifest says.
        vocab: llama.cpp's vocabulary.
        width: elements of a vector.
        head: what tells classes apart; None if the model only embeds.
    """

    name: str
    digest: str
    build: str
    context: int
    capabilities: tuple[str, ...]
    vocab: Any
    vocabulary_size: int
    width: int
    pooling: Pooling
    head: Head | None

    def identity(self, asked: str) -> AnswerIdentity:
        """What an answer comes from; nothing is drawn, so the seed is 0."""
        return AnswerIdentity(self.name, self.digest, NO_TEMPLATE, self.build, 0, asked)


def admit_texts(served: ServedEncoder, request: InputRequest) -> Reading:
    """Tokenise, and check against the model's limits.

    Takes a while for many texts, so it does not belong in the event loop.

    Raises:
        BadRequestError: names the text and the limit.
        IncapableModelError: the model can not do this.
    """
    make = _maker(served, request)
    given = request.inputs()
    texts = []
    for number, text in enumerate(given):
        param = "input" if len(given) == 1 else f"input.{number}"
        tokens = _tokens(served, text, param)
        if len(tokens) > served.context:
            raise ContextOverflowError(
                param,
                f"{param}: {len(tokens)} tokens pass the {served.context} that model"
                f" {served.name!r} reads at once; shorten the text, or send it in parts.",
            )
        texts.append(tokens)
    return Reading(texts, make)


def written(served: ServedEncoder, request: InputRequest, reading: Reading) -> bytes:
    """The answer to a request whose texts have all been read.

    Raises:
        DecodeError: the model gave no usable numbers.
    """
    if not reading.is_sound:
        raise DecodeError("The model gave no usable numbers for a text.")
    if isinstance(request, EmbeddingsRequest):
        entry = partial(_embedded, request.encoding_format == "base64")
    else:
        head = cast("Head", served.head)
        entry = partial(_classified, head.labels)
    data = [{"index": index, **entry(vector)} for index, vector in enumerate(reading.vectors)]
    count = sum(map(len, reading.texts))
    answer: dict[str, Any] = {
        "object": "list",
        "model": request.model,
        "data": data,
        "usage": {"prompt_tokens": count, "total_tokens": count},
    }
    if isinstance(request, ClassifyRequest):
        answer["created"] = int(time.time())
    return json.dumps(answer).encode()


def _maker(served: ServedEncoder, request: InputRequest) -> Callable[[Floats], Floats]:
    wanted = "embed" if isinstance(request, EmbeddingsRequest) else "classify"
    if wanted not in served.capabilities:
        raise IncapableModelError(served.name, wanted, served.capabilities)
    if isinstance(request, EmbeddingsRequest):
        if request.dimensions not in {None, served.width}:
            raise BadRequestError(
                "dimensions",
                f"dimensions: vectors of model {served.name!r} have {served.width} elements, and"
                " can not be cut; leave the field out.",
            )
        return partial(embedding, pooling=served.pooling)
    return cast("Head", served.head).probabilities


def _tokens(served: ServedEncoder, text: str | list[int], param: str) -> list[int]:
    if isinstance(text, list):
        if max(text) >= served.vocabulary_size:
            raise BadRequestError(
                param, f"{param}: token ids must be below {served.vocabulary_size}."
            )
        return text
    if not text:
        raise BadRequestError(param, f"{param}: it must not be empty.")
    if len(text) > served.context * _LONGEST_PIECE:
        raise ContextOverflowError(
            param,
            f"{param}: {len(text)} characters can not fit the {served.context} tokens that model"
            f" {served.name!r} reads at once; shorten the text, or send it in parts.",
        )
    return tokenise(served.vocab, text, with_marks=True)


def _embedded(as_base64: bool, vector: Floats) -> dict[str, Any]:
    if as_base64:
        raw = base64.b64encode(vector.astype("<f4").tobytes()).decode()
        return {"object": "embedding", "embedding": raw}
    return {"object": "embedding", "embedding": vector.tolist()}


def _classified(labels: tuple[str, ...], shares: Floats) -> dict[str, Any]:
    ranked = [
        {"label": labels[number], "probability": float(shares[number])}
        for number in sorted(range(len(labels)), key=lambda each: (-shares[each], each))
    ]
    return {"object": "classification", **ranked[0], "classes": ranked}
