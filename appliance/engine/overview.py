"""What the engine says of its models, as callers read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ModelStatus:
    """One model, or one alias of a model, as `GET /v1/models` shows it.

    `state` is `starting`, `ready`, `backoff`, `failed`, `stopped` or `imported`; `context` is in
    tokens, `memory_bytes` is the runner's resident set, `error` says why a model is not ready,
    `alias_of` names the model that an alias points at.
    """

    id: str
    state: str
    sha256: str
    context: int
    sequences: int
    in_use: int
    queued: int
    memory_bytes: int
    error: str | None
    alias_of: str | None
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Overview:
    """All that can be asked for, and the memory that it shares, from one reading.

    `held_bytes` is what the loaded models take by their plans, `limit_bytes` what they may take
    together, and `limit_set` whether that is `engine_memory_mib` or what the machine can give.
    """

    names: tuple[ModelStatus, ...]
    held_bytes: int
    limit_bytes: int
    limit_set: bool

    @property
    def models(self) -> tuple[ModelStatus, ...]:
        """The models alone, without their aliases."""
        return tuple(one for one in self.names if one.alias_of is None)


def read_overview(body: Mapping[str, Any]) -> Overview:
    """The answer to `GET /v1/models` as an overview."""
    names = tuple(_model_status(entry) for entry in body["data"])
    return Overview(names, **body["cloister"]["memory"])


def _model_status(entry: Mapping[str, Any]) -> ModelStatus:
    own = entry["cloister"]
    return ModelStatus(
        id=entry["id"],
        state=own["state"],
        sha256=own["sha256"],
        context=own["context"],
        sequences=own["sequences"],
        in_use=own["in_use"],
        queued=own["queued"],
        memory_bytes=own["memory_bytes"],
        error=own["error"],
        alias_of=own["alias_of"],
        body=entry,
    )
