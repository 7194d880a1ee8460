"""A task as its file declares it: inputs, prompt, sampling and the shape of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from jinja2 import TemplateError
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from appliance.engine.errors import BadRequestError
from appliance.engine.schema import check_schema
from appliance.tasks.checks import Check, check_answer
from appliance.tasks.errors import TaskInputError
from appliance.tasks.subject import clean_subject
from appliance.tasks.template import compile_template, names_in

_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
_InputName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
MAX_INPUT_CHARS = 200_000


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class TaskInput(_Part):
    """One field of the task's form."""

    name: _InputName
    label: str = Field(min_length=1, max_length=80)
    kind: Literal["text"] = "text"
    required: bool = True
    max_chars: int = Field(default=6000, ge=1, le=MAX_INPUT_CHARS)
    placeholder: str = Field(default="", max_length=200)
    example: str = ""


class Prompt(_Part):
    """Templates of the two messages; only the inputs are known in them."""

    system: str = ""
    user: str = Field(min_length=1)

    @field_validator("system", "user")
    @classmethod
    def _is_template(cls, text: str) -> str:
        try:
            compile_template(text)
        except TemplateError as error:
            raise ValueError(f"is not a Jinja template: {error}") from None
        return text


class Sampling(_Part):
    """Sampling parameters, named and meant as in OpenAI's API."""

    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=0)
    min_p: float | None = Field(default=None, ge=0, le=1)
    max_tokens: int = Field(default=512, ge=1)
    seed: int | None = Field(default=None, ge=0)
    stop: list[str] | None = None


class Output(_Part):
    """What the answer looks like."""

    kind: Literal["text", "json"]
    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    labels: tuple[str, ...] = Field(default=(), strict=False)
    """Labels that the answer may hold, for marking them; text only."""
    verbatim: bool = False
    """Whether each text in a JSON answer has to occur in the input; reported as a check."""

    @model_validator(mode="after")
    def _fits_kind(self) -> Self:
        if (self.kind == "json") != (self.json_schema is not None):
            raise ValueError("kind json needs a schema, and kind text has none")
        if self.kind == "text" and self.verbatim:
            raise ValueError("verbatim is for kind json")
        if self.json_schema is not None:
            try:
                check_schema(self.json_schema)
            except BadRequestError as error:
                raise ValueError(error.message) from None
        return self


class Task(_Part):
    """Declared, versioned work for a model."""

    name: _Name
    version: int = Field(ge=1)
    title: str = Field(min_length=1, max_length=80)
    summary: str = Field(default="", max_length=300)
    model: str = Field(min_length=1, max_length=128)
    roles: tuple[Literal["user", "operator", "officer", "admin"], ...] = Field(
        default=("user", "operator"), strict=False
    )
    """Who may run it: accounts with one of these roles."""
    inputs: tuple[TaskInput, ...] = Field(min_length=1, strict=False)
    subject: _InputName | None = None
    """The input that names whom or which case it is about, for the log; or none."""
    retention: Literal["short", "standard", "long", "permanent"] = "standard"
    """How long the log keeps what was asked and answered; the days are settings."""
    prompt: Prompt
    sampling: Sampling = Sampling()
    output: Output

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [field.name for field in self.inputs]
        if len(set(names)) < len(names):
            raise ValueError("two inputs have the same name")
        unknown = names_in(self.prompt.system, self.prompt.user) - set(names)
        if unknown:
            raise ValueError(f"the prompt uses {sorted(unknown)}, which is no input")
        if self.subject is not None and self.subject not in names:
            raise ValueError(f"subject is {self.subject!r}, which is no input")
        return self

    def check_inputs(self, inputs: Mapping[str, object]) -> dict[str, str]:
        """The inputs as the templates take them, once they are what the task declares.

        Args:
            inputs: Values by input name; an input that is not required may be left out.

        Raises:
            TaskInputError: Names the input and the limit.
        """
        known = {field.name for field in self.inputs}
        for name in inputs:
            if name not in known:
                raise TaskInputError(
                    f"inputs.{name[:64]}",
                    f"Task {self.name!r} has no such input; it has: {', '.join(sorted(known))}.",
                )
        return {field.name: _value(field, inputs.get(field.name)) for field in self.inputs}

    def render(self, inputs: Mapping[str, object]) -> list[dict[str, str]]:
        """The messages of the prompt.

        Raises:
            TaskInputError: An input is not what the task declares, or the template refuses it.
        """
        values = self.check_inputs(inputs)
        try:
            system, user = (template.render(values) for template in self._templates)
        except TemplateError as error:
            raise TaskInputError("inputs", f"The task's template refuses this: {error}") from None
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            # What an expression raises may quote the input, so only its kind is told.
            kind = type(error).__name__
            raise TaskInputError(
                "inputs", f"The task's template can not compute with this ({kind})."
            ) from None
        messages = [{"role": "user", "content": user}]
        return [{"role": "system", "content": system}, *messages] if system else messages

    def request(self, inputs: Mapping[str, object]) -> dict[str, Any]:
        """The whole chat completion request, in OpenAI's shape.

        Raises:
            TaskInputError: As `render`.
        """
        body: dict[str, Any] = {"model": self.model, "messages": self.render(inputs)}
        body |= self.sampling.model_dump(exclude_none=True)
        if self.output.json_schema is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {
                    "name": self.name,
                    "schema": self.output.json_schema,
                    "strict": True,
                },
            }
        return body

    def subject_of(self, inputs: Mapping[str, str]) -> str | None:
        """Whom or which case a run is about, by the input that says so.

        Raises:
            TaskInputError: That input is no name.
        """
        if self.subject is None:
            return None
        return clean_subject(inputs.get(self.subject), f"inputs.{self.subject}")

    def checks(
        self, answer: str, inputs: Mapping[str, object], finish_reason: str
    ) -> tuple[Check, ...]:
        """What was checked about an answer, and how it came out."""
        source = "\n".join(str(value) for value in inputs.values())
        return check_answer(
            answer,
            finish_reason,
            self.output.json_schema,
            source if self.output.verbatim else None,
        )

    @cached_property
    def _templates(self) -> tuple[Any, Any]:
        return compile_template(self.prompt.system), compile_template(self.prompt.user)


def _value(field: TaskInput, given: object) -> str:
    path = f"inputs.{field.name}"
    if given is None:
        given = ""
    if not isinstance(given, str):
        raise TaskInputError(path, f"{path} must be text, not {type(given).__name__}.")
    if field.required and not given.strip():
        raise TaskInputError(path, f"{path} is required and is empty.")
    if len(given) > field.max_chars:
        raise TaskInputError(
            path,
            f"{path} has {len(given)} characters; this task takes at most {field.max_chars}.",
        )
    return given
