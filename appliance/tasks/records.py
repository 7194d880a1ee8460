"""What the two records of an answer hold: facts in the metadata, words in the content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from appliance.engine.identity import AnswerIdentity
from appliance.tasks.checks import Check
from appliance.tasks.found import Found
from appliance.tasks.gathering import Gathering
from appliance.tasks.work import Work

# RFC 8785 knows no larger integers than those that a double holds exactly.
_LARGEST = 2**53
_SHOWN = 32  # characters of a number that is larger

_SAMPLING = (
    "temperature", "top_p", "top_k", "min_p", "max_tokens", "max_completion_tokens", "seed",
    "n", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs",
)  # fmt: skip


def begin_meta(work: Work) -> dict[str, Any]:
    """Metadata of the prompt's record."""
    return {
        **_common(work),
        "request": work.kind.value,
        "schema_sha256": _schema_digest(work.body),
        "chars": sum(len(text) for text in _texts(work.body)),
    }


def begin_content(work: Work) -> dict[str, Any]:
    """Content of the prompt's record: the request as the engine gets it."""
    return dict(work.body)


def part_meta(work: Work, number: int) -> dict[str, Any]:
    """Metadata of the record of one piece of an answer; the first has the number 1."""
    return {**_common(work), "begin": work.record_id, "part": number, "outcome": "part"}


def end_meta(
    work: Work,
    gathered: Gathering | Found,
    identity: AnswerIdentity | None,
    outcome: str,
    checks: tuple[Check, ...],
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """Metadata of the answer's record.

    Args:
        work: The request.
        gathered: The answer so far.
        identity: What the answer came from; None where the engine never took the request.
        outcome: `answered`, `cancelled` or `error:<code>`.
        checks: What the task's checks said.
        seconds: `duration`, and `first_token` where there was one.
    """
    return {
        **_common(work),
        "begin": work.record_id,
        "answered_by": identity and identity.model,
        "model_digest": identity and identity.model_digest,
        "adapter_digest": identity and identity.adapter_digest,
        "template_digest": identity and identity.template_digest,
        "build": identity and identity.build,
        "seed": None if identity is None else _number(identity.seed),
        "prompt_tokens": gathered.usage.get("prompt_tokens"),
        "completion_tokens": gathered.usage.get("completion_tokens"),
        "finish_reason": gathered.finish_reason or None,
        "outcome": outcome,
        "checks": {check.name: check.passed for check in checks},
        **{f"{name}_ms": round(value * 1000) for name, value in seconds.items()},
    }


def _common(work: Work) -> dict[str, Any]:
    return {
        "source": work.source.value,
        "address": work.address,
        "key": work.key,
        "task": work.task and work.task.name,
        "task_version": work.task and work.task.version,
        "model": work.model[:256],
        "sampling": {name: _number(work.body[name]) for name in _SAMPLING if name in work.body},
    }


def _number(value: object) -> int | float | str | None:
    """A number as the log can hold it; what is no number, or too large, as a short text."""
    if isinstance(value, int):
        return value if abs(value) < _LARGEST else str(value)[:_SHOWN]
    return value if isinstance(value, float) or value is None else type(value).__name__


def _schema_digest(body: Mapping[str, Any]) -> str | None:
    form = body.get("response_format")
    wrapped = form.get("json_schema") if isinstance(form, Mapping) else None
    schema = wrapped.get("schema") if isinstance(wrapped, Mapping) else None
    if schema is None:
        return None
    text = json.dumps(schema, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _texts(value: object) -> list[str]:
    """All texts of the prompt, wherever OpenAI's shapes allow one."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        parts = (value.get(name) for name in ("messages", "prompt", "content", "text", "input"))
        return [text for part in parts for text in _texts(part)]
    if isinstance(value, list):
        return [text for part in value for text in _texts(part)]
    return []
