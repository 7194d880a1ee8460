"""Chat templates: Jinja in a sandbox, with a guard so that no message can forge a control token."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise

from jinja2 import Template, TemplateError
from jinja2.exceptions import SecurityError

from appliance.catalogue.sandbox import Sandbox
from appliance.engine.errors import BadRequestError, ModelLoadError
from appliance.engine.options import LIMITS

_GUARDS = range(0xF0000, 0xFFFFE)  # a private-use plane: no text means anything by it


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
        environment = Sandbox()
        environment.globals.update(bos_token=bos, eos_token=eos)
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
