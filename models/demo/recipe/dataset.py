"""Examples by index: the same split, task and index always give the same example."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from models.demo.recipe import letters, messages, notes, tasks

SHARES = {"deidentify": 0.5, "extract": 0.2, "triage": 0.3}
START, END = "<|im_start|>", "<|im_end|>"
SEED = 20261123


@dataclass(frozen=True)
class Example:
    """One supervised example."""

    task: str
    text: str
    answer: str


def draw(rng: Random, name: str, *, short: bool = False) -> Example:
    """Draw an example of a task."""
    if name == "deidentify":
        return Example(name, *notes.deidentify_example(rng, short=short))
    make = messages.triage_example if name == "triage" else letters.extract_example
    return Example(name, *make(rng))


def example(split: str, index: int, *, short: bool = False) -> Example:
    """The example number `index` of a split; splits never share a seed."""
    rng = Random(f"{SEED}/{split}/{index}")  # noqa: S311 - synthetic text, not secrets
    name = rng.choices(list(SHARES), list(SHARES.values()))[0]
    return draw(rng, name, short=short)


def examples(split: str, start: int, count: int, *, short: bool = False) -> Iterator[Example]:
    """A run of examples of a split."""
    return (example(split, index, short=short) for index in range(start, start + count))


def render(item: Example) -> tuple[str, str]:
    """The prompt as the chat template writes it, and the completion with its end token."""
    system, user = tasks.task(item.task).messages(item.text)
    prompt = f"{START}system\n{system}{END}\n{START}user\n{user}{END}\n{START}assistant\n"
    return prompt, item.answer + END
