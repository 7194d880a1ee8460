"""Evaluates the shipped GGUF through llama.cpp: held-out examples and the hand-written texts.

Runs in the run-time environment (`.venv`); decoding is greedy and unconstrained.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml

from models.demo.recipe import dataset, metrics, tasks
from models.demo.recipe.generate import held_out

GGUF = tasks.ROOT / "models" / "demo" / "demo-q8_0.gguf"
HANDWRITTEN = tasks.ROOT / "models" / "demo" / "handwritten"
MARK = re.compile(r"<<([A-Z]+) ([^>]+)>>")
LOOKED_AT = {"deidentify": 24, "triage": 25, "extract": 22}
"""Leading hand-written texts whose results were read while the recipe was made; none after them."""
CONTEXT = 4096
SLACK = 64
"""Tokens that an answer may be longer than its prompt before it counts as running away."""


def handwritten(name: str) -> list[dataset.Example]:
    """The hand-written examples of a task."""
    cases = yaml.safe_load((HANDWRITTEN / f"{name}.yaml").read_text(encoding="utf-8"))
    return [dataset.Example(name, *text_and_gold(case)) for case in cases]


def text_and_gold(case: dict[str, Any]) -> tuple[str, str]:
    """Text and gold answer of a case: a marked note, or a text with its JSON facts."""
    if "note" in case:
        note = case["note"]
        return MARK.sub(r"\2", note), MARK.sub(r"[\1]", note)
    return case["text"], json.dumps(case["gold"], separators=(",", ":"), ensure_ascii=False)


def decoder(path: Path) -> Callable[[dataset.Example], str]:
    """A function that answers an example greedily."""
    import llama_cpp

    model = llama_cpp.Llama(str(path), n_ctx=CONTEXT, n_threads=1, verbose=False)
    end = model.tokenize(dataset.END.encode(), add_bos=False, special=True)[0]

    def answer(item: dataset.Example) -> str:
        prompt, _ = dataset.render(item)
        ids = model.tokenize(prompt.encode(), add_bos=False, special=True)
        longest = CONTEXT - len(ids) - 1
        room = min(tasks.task(item.task).max_tokens, len(ids) + SLACK, longest)
        produced: list[int] = []
        model.reset()
        for token in model.generate(ids, temp=0.0, repeat_penalty=1.0):
            if token == end or len(produced) >= room:
                break
            produced.append(token)
        return model.detokenize(produced).decode("utf-8", errors="replace")

    return answer


def _labels(
    items: list[dataset.Example], answer: Callable[[dataset.Example], str]
) -> tuple[list[str], list[str]]:
    score = metrics.LabelScore()
    failures = []
    for item in items:
        given = answer(item)
        metrics.score_note(score, item.text, item.answer, given)
        if given != item.answer:
            failures.append(
                f"--- text\n{item.text}\n--- gold\n{item.answer}\n--- answer\n{given}\n"
            )
    rows = [
        f"notes {score.notes}, labels {score.gold.total()}",
        f"recall {score.recall:.3f}",
        f"precision {score.precision:.3f}",
        f"copy rate {score.copy_rate:.4f}",
        f"identifiers left in full {score.leaked} of {score.identifiers}",
        f"notes exactly right {score.exact} of {score.notes}",
    ]
    for label in sorted(score.gold):
        found, gold = score.found[label], score.gold[label]
        precision = found / max(1, score.given[label])
        rows.append(f"{label} recall {found / gold:.3f} precision {precision:.3f} ({gold})")
    return rows, failures


def _fields(
    items: list[dataset.Example], answer: Callable[[dataset.Example], str]
) -> tuple[list[str], list[str]]:
    score = metrics.FieldScore()
    failures = []
    for item in items:
        given = answer(item)
        wrong = metrics.score_fields(score, json.loads(item.answer), given)
        if wrong:
            failures.append(
                f"--- text\n{item.text}\n--- wrong {', '.join(wrong)}\n{item.answer}\n{given}\n"
            )
    rows = [
        f"texts {score.answers}",
        f"fields right {score.accuracy:.3f}",
        f"valid JSON {score.valid} of {score.answers}",
        f"answers exactly right {score.exact} of {score.answers}",
    ]
    rows += [f"{name} {score.right[name] / score.seen[name]:.3f}" for name in score.seen]
    return rows, failures


def _section(
    title: str, items: Iterable[dataset.Example], answer: Callable[[dataset.Example], str]
) -> str:
    parts = [f"# {title}"]
    everything = list(items)
    for name in tasks.NAMES:
        chosen = [item for item in everything if item.task == name]
        rows, failures = (_labels if name == "deidentify" else _fields)(chosen, answer)
        parts.append(f"## {name}\n\n" + "\n".join(f"- {row}" for row in rows))
        parts.append(f"{len(failures)} not exactly right:\n\n" + "\n".join(failures))
        print(title, name, "; ".join(rows), flush=True)
    return "\n\n".join(parts)


def report(build: Path, limit: int | None = None, path: Path = GGUF) -> None:
    """Evaluate and write `report.md` with the numbers and everything that was wrong."""
    answer = decoder(path)
    known = [item for name in tasks.NAMES for item in handwritten(name)[: LOOKED_AT[name]]]
    unseen = [item for name in tasks.NAMES for item in handwritten(name)[LOOKED_AT[name] :]]
    text = "\n\n".join(
        (
            _section("by hand, looked at", known, answer),
            _section("by hand, unseen", unseen, answer),
            _section("held out", held_out(build / "examples")[:limit], answer),
        )
    )
    (build / "report.md").write_text(text, encoding="utf-8")
    print(f"everything that was wrong: {build / 'report.md'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=Path)
    parser.add_argument("--limit", type=int, help="number of held-out examples")
    chosen = parser.parse_args(sys.argv[1:])
    report(chosen.build, chosen.limit)
