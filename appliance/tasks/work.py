"""A request on its way through the pipeline, and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from appliance.engine.identity import AnswerIdentity
from appliance.tasks.checks import Check
from appliance.tasks.task import Task
from audit.client import Receipt
from audit.uuid7 import uuid7


class Source(StrEnum):
    """The way by which a request came in."""

    WEB = "web"
    API = "api"
    CLI = "cli"


class Kind(StrEnum):
    """Which request of the API it is."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"
    CLASSIFICATION = "classification"

    @property
    def is_read(self) -> bool:
        """Whether the texts are only read: the answer comes whole, and has no text."""
        return self in {Kind.EMBEDDING, Kind.CLASSIFICATION}


def new_record_id() -> str:
    """A fresh record id: a UUIDv7, which sorts by time."""
    return str(uuid7())


@dataclass(frozen=True)
class Work:
    """One request that may run: who asked is known and was allowed to.

    Args:
        actor: Account's name, `key:<prefix>`, or `cli:<user>`.
        source: The way by which it came in.
        body: The request in OpenAI's shape, checked; `stream` in it does not matter here.
        kind: Chat, plain completion, vectors or classes.
        task: The task that made the body, or None.
        inputs: The task's inputs, for its checks.
        key: Prefix of the API key, where one was used.
        address: Network address of the client, where there is one.
        record_id: Id of the record; the caller makes it, so that it can name it from the start.
        subject: Whom or which case it is about, or None: its contents can be erased by that.
    """

    actor: str
    source: Source
    body: Mapping[str, Any]
    kind: Kind = Kind.CHAT
    task: Task | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    key: str | None = None
    address: str | None = None
    record_id: str = field(default_factory=new_record_id)
    subject: str | None = None

    @classmethod
    def for_task(
        cls,
        task: Task,
        inputs: Mapping[str, object],
        *,
        actor: str,
        source: Source,
        key: str | None = None,
        address: str | None = None,
        record_id: str | None = None,
        subject: str | None = None,
    ) -> Work:
        """The work of one run of a task; raises TaskInputError for wrong inputs.

        A `subject` that the caller names goes before the one that an input of the task names.
        """
        checked = task.check_inputs(inputs)
        return cls(
            actor=actor,
            source=source,
            body=task.request(inputs),
            task=task,
            inputs=checked,
            key=key,
            address=address,
            record_id=record_id or new_record_id(),
            subject=subject or task.subject_of(checked),
        )

    @property
    def retention(self) -> str | None:
        """How long the log keeps its contents: the task's class, or None for the usual one."""
        return self.task.retention if self.task else None

    @property
    def model(self) -> str:
        """The model as asked for: its own name, or an alias."""
        return str(self.body.get("model", ""))


@dataclass(frozen=True)
class Began:
    """The prompt's record is durable and the engine has taken the request."""

    record_id: str
    identity: AnswerIdentity


@dataclass(frozen=True)
class Delta:
    """A piece of the answer, as it comes.

    `text` may be empty (a role, a finish reason); `index` is the choice; `body` is OpenAI's chunk.
    """

    text: str
    index: int
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Finished:
    """The answer's record is durable: the answer may be shown.

    Args:
        text: The first choice's whole text; empty where texts were only read.
        finish_reason: `stop`, `length`, or `cancelled` where somebody stopped it; empty where texts
            were only read.
        usage: `prompt_tokens`, `total_tokens`, and `completion_tokens` of a completion.
        checks: What the task's checks said; empty without a task or after a stop.
        receipt: The log's receipt of the answer's record.
        body: The whole answer in OpenAI's shape, all choices.
    """

    text: str
    finish_reason: str
    usage: Mapping[str, Any]
    checks: tuple[Check, ...]
    receipt: Receipt
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Failed:
    """There is no answer, or what came of it must not be shown as one.

    Args:
        status: HTTP status.
        code: Machine-readable cause.
        message: For people: what happened and what to do; no prompt, no answer.
        retry_after: Seconds after which another try makes sense, if one does.
        param: Field of the request that is wrong, if one is.
    """

    status: int
    code: str
    message: str
    retry_after: int | None = None
    param: str | None = None


Event = Began | Delta | Finished | Failed
