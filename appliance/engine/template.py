"""Chat templates: Jinja in a sandbox, with a guard so that no message can forge a control token."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, NoReturn

from jinja2 import Template, TemplateError
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from appliance.engine.errors import BadRequestError, ModelLoadError
from appliance.engine.options import LIMITS

_REPEAT = 65_536  # characters or items that `*` may make
_POWER = 64  # largest exponent of `**`
_GUARDS = range(0xF0000, 0xFFFFE)  # a private-use plane: no text means anything by it


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja without attributes that lead out, and without operators that eat memory."""

    intercepted_binops = frozenset(("*", "**"))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401 - Jinja's signature
        """Compute `left operator right` if the result stays small."""
        if operator == "**" and not (abs(left) <= _REPEAT and abs(right) <= _POWER):
            raise SecurityError("the power is too large")
        sized = [len(side) for side in (left, right) if hasattr(side, "__len__")]
        if operator == "*" and sized:
            times = max((side for side in (left, right) if isinstance(side, int)), default=1)
            if sized[0] * times > _REPEAT:
                raise SecurityError("the repetition is too long")
        return super().call_binop(context, operator, left, right)


class ChatTemplate:
    """A model's chat template.

    Args:
        source: Jinja text, from the manifest or the GGUF.
        markers: matches every spelling of a control token; such text in a message is split by a
            guard character, so that tokenisation keeps it apart from the template's own.
        bos: spelling of the beginning-of-sequence token.
        eos: spelling of the end-of-sequence token.

    Raises:
        ModelLoadError: the template is no valid Jinja.
    """

    def __init__(self, source: str, markers: re.Pattern[str], bos: str, eos: str) -> None:
        """Compile the template."""
        self.digest = hashlib.sha256(source.encode()).hexdigest()
        self._starts = re.compile(f"(?=({markers.pattern}))", re.DOTALL)
        self._source = source
        environment = _Sandbox(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals.update(bos_token=bos, eos_token=eos, raise_exception=_refuse)
        try:
            self._template: Template = environment.from_string(source)
        except TemplateError as error:
            raise ModelLoadError(f"The chat template is no valid Jinja: {error}") from error

    def render(
        self, messages: Iterable[Mapping[str, str]], *, generation_prompt: bool = True
    ) -> tuple[str, str]:
        """Render a chat.

        Args:
            messages: role and content of each.
            generation_prompt: go on up to where the assistant speaks; False writes down only what
                was said.

        Returns:
            The text, and the guard character that splits what looked like control tokens in it.

        Raises:
            BadRequestError: the template refuses these messages, or its output is too long.
        """
        given = list(messages)
        guard = self._guard(given)
        guarded = [
            {key: self._split(text, guard) if key != "role" else text for key, text in each.items()}
            for each in given
        ]
        pieces: list[str] = []
        size = 0
        try:
            for piece in self._template.generate(
                messages=guarded, add_generation_prompt=generation_prompt
            ):
                pieces.append(piece)
                size += len(piece)
                if size > LIMITS.rendered_chars:
                    raise SecurityError(f"its output passes {LIMITS.rendered_chars} characters")
        except TemplateError as error:
            raise BadRequestError(
                "messages", f"The model's chat template refuses these messages: {error}"
            ) from error
        except (TypeError, ValueError, ArithmeticError, LookupError, MemoryError) as error:
            raise BadRequestError(
                "messages",
                f"The model's chat template fails on these messages ({type(error).__name__}).",
            ) from error
        return "".join(pieces), guard

    def _guard(self, messages: list[Mapping[str, str]]) -> str:
        used = set(self._source)
        for message in messages:
            for text in message.values():
                used.update(text)
        for code in _GUARDS:
            if chr(code) not in used:
                return chr(code)
        raise BadRequestError("messages", "The messages use up a whole private-use plane.")

    def _split(self, text: str, guard: str) -> str:
        """Put the guard behind the first character of every control token spelled in `text`."""
        starts = [match.start() + 1 for match in self._starts.finditer(text)]
        borders = [0, *starts, len(text)]
        return guard.join(text[a:b] for a, b in pairwise(borders))


def _refuse(message: str) -> NoReturn:
    raise TemplateError(str(message)[:300])


def _to_json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)
