"""A chat template is compiled and run without taking memory that nobody gave it."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest
from jinja2 import TemplateError

from appliance.catalogue.sandbox import Sandbox

GREEDY = [
    '{{ "x"|center(2000000000) }}',
    '{{ "x"|center(width=2000000000) }}',
    '{{ "a\\nb"|indent(2000000000) }}',
    '{{ "%2000000000d"|format(1) }}',
    '{{ "%*d"|format(2000000000, 1) }}',
    '{{ "%2000000000d" % 1 }}',
    '{{ "x" * 2000000000 }}',
    "{{ [1]|tojson(indent=2000000000) }}",
    '{{ ("x"|center(60000))|replace("x", "y"|center(60000))|replace(" ", "z"|center(60000)) }}',
    "{{ 9 ** 9 ** 9 ** 9 }}",
]


@pytest.fixture
def little_memory() -> Iterator[None]:
    """A gigabyte of address space beyond what this process has: what asks for two fails."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("source", GREEDY)
def test_a_greedy_template_is_refused_before_it_takes_memory(
    source: str, little_memory: None
) -> None:
    with pytest.raises(TemplateError, match=r"too|range"):
        Sandbox().from_string(source).render()


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ('{{ "x"|center(5) }}|', "  x  |"),
        ('{{ "a\nb"|indent(2) }}', "a\n  b"),
        ('{{ "%5d|%s"|format(1, "b") }}', "    1|b"),
        ('{{ "%02d" % 7 }}', "07"),
        ("{{ 7 % 4 }}", "3"),
        ('{{ "ab"|replace("a", "x") }}', "xb"),
        ('{{ {"a": [1, "ü"]}|tojson }}', '{"a": [1, "ü"]}'),
        ('{{ "ab" * 3 }}', "ababab"),
    ],
)
def test_an_honest_template_is_as_in_plain_jinja(source: str, text: str) -> None:
    assert Sandbox().from_string(source).render() == text


def test_a_template_refuses_a_chat_in_its_own_words() -> None:
    template = Sandbox().from_string('{{ raise_exception("no system message") }}')
    with pytest.raises(TemplateError, match="no system message"):
        template.render()


def test_attributes_that_lead_out_are_undefined() -> None:
    with pytest.raises(TemplateError):
        Sandbox().from_string('{{ "".__class__.__mro__[1].__subclasses__() }}').render()
