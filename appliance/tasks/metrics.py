"""Numbers about answers, for /metrics: no name of a person, no text, few label values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram

REGISTRY: Final = CollectorRegistry()

_SECONDS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

ANSWERS: Final = Counter(
    "cloister_answers_total",
    "Requests that got an end record; outcome is answered, cancelled or failed.",
    ["source", "outcome"],
    registry=REGISTRY,
)
UNRECORDED: Final = Counter(
    "cloister_unrecorded_total",
    "Requests that were withheld because the log did not take a record; at is begin or end.",
    ["at"],
    registry=REGISTRY,
)
TOKENS: Final = Counter(
    "cloister_tokens_total",
    "Tokens of requests that were answered; kind is prompt or completion.",
    ["kind"],
    registry=REGISTRY,
)
DURATION: Final = Histogram(
    "cloister_answer_seconds",
    "Time from the begin record to the end record.",
    ["source"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
FIRST_TOKEN: Final = Histogram(
    "cloister_first_token_seconds",
    "Time from the begin record to the first token.",
    ["source"],
    buckets=_SECONDS,
    registry=REGISTRY,
)


def count(
    source: str, outcome: str, seconds: Mapping[str, float], usage: Mapping[str, Any]
) -> None:
    """Count one request that has its end record.

    Args:
        source: `web`, `api` or `cli`.
        outcome: As in the record; all errors count as `failed`.
        seconds: `duration`, and `first_token` where there was one.
        usage: OpenAI's token counts, empty where there was no answer.
    """
    ANSWERS.labels(source, "failed" if outcome.startswith("error:") else outcome).inc()
    DURATION.labels(source).observe(seconds["duration"])
    if "first_token" in seconds:
        FIRST_TOKEN.labels(source).observe(seconds["first_token"])
    for kind in ("prompt", "completion"):
        TOKENS.labels(kind).inc(usage.get(f"{kind}_tokens") or 0)
