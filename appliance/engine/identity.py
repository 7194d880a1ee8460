"""What an answer came from: carried in headers before the first token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MODEL = "X-Model"
MODEL_DIGEST = "X-Model-Digest"
ADAPTER_DIGEST = "X-Adapter-Digest"
ADAPTER = "X-Adapter"  # from the supervisor to a runner: which one to answer with
TEMPLATE_DIGEST = "X-Template-Digest"
ENGINE_BUILD = "X-Engine-Build"
SEED = "X-Seed"
REQUEST_ID = "X-Request-Id"
NO_TEMPLATE = "none"


@dataclass(frozen=True)
class Chosen:
    """The adapter that a request is for, as the supervisor knows it.

    Args:
        name: of its manifest.
        digest: SHA-256 of its file that the manifest promises.
    """

    name: str
    digest: str

    def header(self) -> str:
        """The choice as the value of a header."""
        return f"{self.name} {self.digest}"

    @classmethod
    def from_header(cls, value: str) -> Chosen:
        """Read `header` back."""
        name, _, digest = value.partition(" ")
        return cls(name, digest)


@dataclass(frozen=True)
class AnswerIdentity:
    """Everything needed to name what produced an answer.

    Args:
        model: name of the model that answers, never an alias.
        model_digest: SHA-256 of the weights file, lower-case hex.
        template_digest: SHA-256 of the chat template, or `none` for a plain completion.
        build: versions of llama.cpp, its binding and llguidance.
        seed: seed of the request's first choice; choice i uses seed + i.
        asked: the name that the request asked for: the model's own, or an alias of it.
        adapter_digest: where `model` is an adapter, SHA-256 of its file; `model_digest` is its
            base's then.
    """

    model: str
    model_digest: str
    template_digest: str
    build: str
    seed: int
    asked: str
    adapter_digest: str | None = None

    def headers(self) -> dict[str, str]:
        """The identity as HTTP answer headers."""
        adapter = {} if self.adapter_digest is None else {ADAPTER_DIGEST: self.adapter_digest}
        return {
            MODEL: self.model,
            MODEL_DIGEST: self.model_digest,
            **adapter,
            TEMPLATE_DIGEST: self.template_digest,
            ENGINE_BUILD: self.build,
            SEED: str(self.seed),
        }

    @classmethod
    def from_headers(cls, asked: str, headers: Mapping[str, str]) -> AnswerIdentity:
        """Read the identity of the answer to a request for `asked` from its headers.

        `headers` is a map that does not tell upper from lower case.
        """
        return cls(
            model=headers[MODEL],
            model_digest=headers[MODEL_DIGEST],
            template_digest=headers[TEMPLATE_DIGEST],
            build=headers[ENGINE_BUILD],
            seed=int(headers[SEED]),
            asked=asked,
            adapter_digest=headers.get(ADAPTER_DIGEST),
        )
