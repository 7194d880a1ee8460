"""What a scheduler counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Tally:
    """Counts since the start, for metrics; written by the scheduler's thread alone."""

    steps: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    forced_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    shared_tokens: int = 0
    prefix_hits: int = 0
    requests: int = 0
    preemptions: int = 0
    decode_seconds: float = 0.0
    busy_seconds: float = 0.0
