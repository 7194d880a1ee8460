"""Writes the synthetic examples to disk: for reading, and for a held-out split without repeats."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from models.demo.recipe import dataset

TRAIN = 300_000
HELD_OUT = 900


def held_out(folder: Path) -> list[dataset.Example]:
    """Read the held-out examples back."""
    with (folder / "heldout.jsonl").open(encoding="utf-8") as lines:
        return [dataset.Example(**json.loads(line)) for line in lines]


def write(folder: Path, train: int = TRAIN, count: int = HELD_OUT) -> None:
    """Write `train.jsonl` and `heldout.jsonl`; texts of the first are left out of the second.

    The training draws the same examples by index (split `train-full`) instead of reading the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    seen: set[int] = set()
    with (folder / "train.jsonl").open("w", encoding="utf-8") as out:
        for item in dataset.examples("train-full", 0, train):
            seen.add(hash(item.text))
            out.write(json.dumps(asdict(item), ensure_ascii=False) + "\n")
    fresh = [item for item in dataset.examples("held-out", 0, count) if hash(item.text) not in seen]
    with (folder / "heldout.jsonl").open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(asdict(item), ensure_ascii=False) + "\n" for item in fresh)
    print(f"{train:,} examples, {len(fresh)} held out ({count - len(fresh)} repeats dropped)")
