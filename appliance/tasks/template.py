"""Prompt templates: Jinja in its immutable sandbox, where an unknown name is an error."""

from __future__ import annotations

from functools import cache

from jinja2 import StrictUndefined, Template, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

# No autoescape: the result is a prompt, not a page. What people typed goes in as it is.
_environment = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined,
    keep_trailing_newline=True,
    autoescape=False,
)


@cache
def compile_template(text: str) -> Template:
    """The template; raises jinja2's TemplateSyntaxError where it is none."""
    return _environment.from_string(text)


def names_in(*texts: str) -> set[str]:
    """The names that templates take from outside."""
    return {name for text in texts for name in meta.find_undeclared_variables(_parse(text))}


def _parse(text: str) -> nodes.Template:
    return _environment.parse(text)
