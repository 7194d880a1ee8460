"""How the models run at one moment, as the live part of their page shows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from appliance.engine.overview import ModelStatus, Overview
from appliance.web import drawing, state
from appliance.web.drawing import Curve, Part
from appliance.web.state import Standing

SECONDS: Final = 60
"""Span of the curves; the engine keeps one value a second."""


@dataclass(frozen=True)
class Running:
    """One model, as it runs.

    Args:
        base: Of an adapter, the model whose process it is in, and which counts its requests.
        standing: Its state in words, and the reason where it can not run.
        speed: Tokens per second of its answers, over the last ten seconds.
        curve: The same for each second of the last minute; None where too little is known.
        size: Bytes of its process in memory.
        planned: Bytes that it counts for in the limit.
        weights: Bytes of its file.
        measured: Whether its process told its numbers; else those are not known.
    """

    name: str
    base: str | None
    aliases: list[str]
    standing: Standing
    processor: str
    in_use: int
    sequences: int
    queued: int
    speed: float
    curve: Curve | None
    prefix_hits: int
    requests: int
    size: int
    planned: int
    weights: int
    measured: bool


@dataclass(frozen=True)
class Memory:
    """What the loaded models take of what they may.

    Args:
        parts: One of each model that is loaded, in order.
        is_set: Whether an operator set the limit, or the machine has it.
    """

    held: int
    limit: int
    is_set: bool
    parts: list[Part]

    @property
    def free(self) -> int:
        """Bytes that are left."""
        return max(0, self.limit - self.held)


@dataclass(frozen=True)
class Board:
    """All models at one moment, and the memory that they share."""

    read_at: datetime
    models: list[Running]
    memory: Memory

    @property
    def summary(self) -> str:
        """Every model's state in one sentence; changes only where a state does."""
        return "; ".join(f"{model.name}: {model.standing.words}" for model in self.models)


def board(overview: Overview) -> Board:
    """The board of what the engine said just now."""
    models = [_running(model) for model in overview.models]
    return Board(datetime.now(UTC), models, _memory(overview, models))


def _running(model: ModelStatus) -> Running:
    own = model.body["cloister"]
    return Running(
        name=model.id,
        base=own["base"],
        aliases=own["aliases"],
        standing=state.of_model(model),
        processor=own["processor"],
        in_use=model.in_use,
        sequences=model.sequences,
        queued=model.queued,
        speed=own["tokens_per_second"],
        curve=drawing.curve(own["pace"], SECONDS),
        prefix_hits=own["prefix_hits"],
        requests=own["requests"],
        size=model.memory_bytes,
        planned=own["held_bytes"],
        weights=own["weights_bytes"],
        measured=own["measured"],
    )


def _memory(overview: Overview, models: list[Running]) -> Memory:
    sizes = [(model.name, model.planned) for model in models]
    # A runner that takes over from another, or ends, is of a model that has one already.
    others = overview.held_bytes - sum(size for _, size in sizes)
    parts = drawing.parts([*sizes, ("runners that come or go", others)], overview.limit_bytes)
    return Memory(overview.held_bytes, overview.limit_bytes, overview.limit_set, parts)
