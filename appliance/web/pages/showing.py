"""A finished answer as the page shows it: how it ended, what was checked, and its receipt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final

from appliance.engine.identity import AnswerIdentity
from appliance.tasks.checks import Check
from appliance.tasks.task import Task
from appliance.tasks.work import Finished, Work
from appliance.web.pages.answer import Piece, Row, mark_labels, read_rows
from appliance.web.receipts import LogPlace, TaskReceipt
from appliance.web.state import Standing

_ENDINGS: Final = {
    "stop": Standing("ok", "Complete"),
    "length": Standing(
        "warn",
        "Cut short",
        "The answer reached the task's limit of tokens, so its end is missing. "
        "Run the task with a shorter text.",
    ),
    "cancelled": Standing(
        "warn",
        "Stopped",
        "It was stopped before its end. What had been written is in the log as well.",
    ),
}
_CHECKS: Final = {
    "schema": ("Schema check passed", "Schema check failed"),
    "verbatim": ("Word for word in the text", "Not word for word"),
}


@dataclass(frozen=True)
class ShownAnswer:
    """What the template of an answer needs; `rows` is None for a text."""

    task: str
    text: str
    is_json: bool
    ending: Standing
    checks: tuple[Standing, ...]
    advice: str
    rows: list[Row] | None
    pieces: list[Piece]


def shown_answer(task: Task, finished: Finished) -> ShownAnswer:
    """The answer, cut into what the page shows."""
    ending = _ENDINGS.get(finished.finish_reason, Standing("warn", "Ended"))
    is_json = task.output.kind == "json"
    return ShownAnswer(
        task=task.name,
        text=finished.text,
        is_json=is_json,
        ending=ending,
        checks=tuple(_standing(check) for check in finished.checks if check.name in _CHECKS),
        # A cut answer fails its checks because it was cut; one reason is enough.
        advice=ending.advice or _what_failed(finished.checks),
        rows=read_rows(finished.text, task.output.json_schema) if is_json else None,
        pieces=mark_labels(finished.text, task.output.labels),
    )


def receipt_of(
    appliance: str, task: Task, work: Work, identity: AnswerIdentity, finished: Finished
) -> TaskReceipt:
    """The receipt of an answer; its leaf and checkpoint are those of the answer's record."""
    return TaskReceipt(
        record_id=work.record_id,
        appliance=appliance,
        task=task.name,
        task_version=task.version,
        model=work.model,
        answered_by=identity.model,
        model_digest=identity.model_digest,
        template_digest=identity.template_digest,
        engine_build=identity.build,
        seed=identity.seed,
        outcome=finished.finish_reason,
        ended_at=datetime.now(UTC).isoformat(timespec="seconds"),
        answer=LogPlace(**asdict(finished.receipt)),
        adapter_digest=identity.adapter_digest,
    )


def _standing(check: Check) -> Standing:
    good, bad = _CHECKS[check.name]
    return Standing("ok", good) if check.passed else Standing("bad", bad)


def _what_failed(checks: Sequence[Check]) -> str:
    return " ".join(check.detail for check in checks if not check.passed)
