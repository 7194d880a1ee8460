"""A known model: one `known/<name>.toml` says what people need to know before they bring it in.

Facts only: what the publisher documents, and the sizes of its matrices. Prompt formats lie in
`known/formats/<name>.toml`, since several models share one.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from appliance.catalogue.manifest import Capability, InfillSection, Name

Quantisation = Literal["Q4_K_M", "Q5_K_M", "Q8_0", "F16", "MXFP4"]
COMMON: tuple[Quantisation, ...] = ("Q4_K_M", "Q5_K_M", "Q8_0", "F16")


def _regular(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
    return pattern


Pattern = Annotated[str, AfterValidator(_regular)]
Sentence = Annotated[str, Field(min_length=10, max_length=240, pattern=r"^[A-Z].*\.$")]
Text = Annotated[str, Field(min_length=1, max_length=120)]


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Shape(_Fact):
    """Sizes of a model's matrices; widths in elements.

    They tell its file's size, its cache's size, and one model from another.
    """

    layers: int = Field(gt=0)
    width: int = Field(gt=0, description="Of one position between the layers.")
    inner: int = Field(gt=0, description="Of the feed-forward part, of one expert where several.")
    heads: int = Field(gt=0)
    kv_heads: int = Field(gt=0)
    head_width: int = Field(gt=0)
    vocabulary: int = Field(gt=0)
    experts: int = Field(1, gt=0)
    tied: bool = Field(False, description="Output matrix and embeddings are one.")
    gated: bool = Field(True, description="The feed-forward part has a third matrix, the gate.")
    fused: bool = Field(False, description="Queries, keys and values come from one matrix.")
    encoder: bool = Field(False, description="Reads only; keeps no cache.")
    decoder_layers: int = Field(0, ge=0, description="Behind the encoder's `layers`, as in T5.")


class PromptFormat(_Fact):
    """How a publisher wants a chat written down."""

    name: Name
    documented: Text = Field(description="Where the publisher documents it.")
    system: Sentence = Field(description="What becomes of a system message.")
    bos: str = Field(description="How the vocabulary spells the beginning; empty for none.")
    eos: str = Field(min_length=1, description="How it spells the end.")
    stop: tuple[str, ...] = Field(max_length=8, strict=False)
    chat: str = Field(min_length=1, max_length=8_192, description="Chat template in Jinja.")


class KnownModel(_Fact):
    """One model that Cloister knows.

    Source of each fact: the publisher's model card, licence and configuration.
    """

    name: Name
    title: Text
    publisher: Text
    family: Text = Field(description="`general.architecture` of its GGUF.")
    parameters: int = Field(gt=0)
    licence: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]+$", description="SPDX identifier.")
    licence_text: str | None = Field(None, pattern="^https://", description="For a LicenseRef.")
    context: int = Field(ge=16, le=1_048_576, description="Tokens it was trained for.")
    capabilities: tuple[Capability, ...] = Field(min_length=1, strict=False)
    good_for: Sentence
    not_for: Sentence
    notice: str = Field("", max_length=500, description="What stands beside the model, always.")
    names: tuple[Pattern, ...] = Field(
        min_length=1, strict=False, description="Of the whole name in small letters."
    )
    quantisations: tuple[Quantisation, ...] = Field(COMMON, min_length=1, strict=False)
    shape: Shape
    format: PromptFormat | None = None
    infill: InfillSection | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.licence.startswith("LicenseRef-") != (self.licence_text is not None):
            raise ValueError("a LicenseRef, and only that, needs licence_text")
        if ("chat" in self.capabilities) != (self.format is not None):
            raise ValueError("capability chat, and only that, needs a format")
        if ("infill" in self.capabilities) != (self.infill is not None):
            raise ValueError("capability infill, and only that, needs infill tokens")
        return self
