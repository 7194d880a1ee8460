"""Batches of examples of similar length, with the curriculum of the training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from models.demo.recipe import dataset
from models.demo.recipe.dataset import END, START
from models.demo.recipe.tokenizer import Tokenizer

TOKENS = 4096
CHUNK = 1536
MARGIN = 2048


@dataclass(frozen=True)
class Batch:
    """Token ids, their rotary positions, and where and what to predict."""

    ids: torch.Tensor
    positions: torch.Tensor
    rows: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor


@dataclass(frozen=True)
class Stage:
    """A stretch of the training, up to a fraction of its time."""

    until: float
    kind: str
    longest: int
    copies: float
    """Share of batches that are random copies, so that copying is not unlearnt."""
    stretch: bool


STAGES = (
    Stage(0.06, "short", 160, 0.05, stretch=False),
    Stage(0.30, "full", 256, 0.04, stretch=False),
    Stage(0.55, "full", 448, 0.03, stretch=True),
    Stage(1.01, "full", 1600, 0.02, stretch=True),
)
COPY_LONGEST = 160


def stage_at(fraction: float) -> Stage:
    """The stage for a fraction of the training time."""
    return next(stage for stage in STAGES if fraction < stage.until)


def random_copy(generator: torch.Generator, tokenizer: Tokenizer, longest: int) -> Batch:
    """Random tokens in a user message and the same tokens as the answer.

    Nothing but copying lowers its loss; it keeps the circuit exact for words never seen.
    """
    length = int(torch.randint(6, longest // 2, (1,), generator=generator))
    start, middle, end = (
        torch.tensor(tokenizer.encode(text))
        for text in (f"{START}user\n", f"{END}\n{START}assistant\n", END)
    )
    fixed = len(start) + len(middle) + len(end)
    count = max(1, TOKENS // 2 // (2 * length + fixed))
    words = torch.randint(3, tokenizer.model.vocab_size(), (count, length), generator=generator)
    parts = [start.expand(count, -1), words, middle.expand(count, -1), words, end.expand(count, -1)]
    ids = torch.cat(parts, dim=1)
    grid = torch.arange(ids.numel()).view(ids.shape)
    rows = grid[:, len(start) + length + len(middle) - 1 : -1].reshape(-1)
    positions = torch.arange(ids.shape[1]).expand(count, -1)
    return Batch(ids, positions, rows, ids.view(-1)[rows + 1], torch.ones(len(rows)))


def _positions(
    generator: torch.Generator, starts: list[int], width: int, *, stretch: bool
) -> torch.Tensor:
    """Positions 0..width-1; half the rows jump before the answer, as if the text had been longer.

    Copying then works over distances that the training never pays for.
    """
    positions = torch.arange(width).repeat(len(starts), 1)
    if not stretch:
        return positions
    for row, start in enumerate(starts):
        if torch.rand(1, generator=generator) < 0.5:
            jump = int(MARGIN ** float(torch.rand(1, generator=generator)))
            cut = int(torch.randint(start // 3, start, (1,), generator=generator))
            positions[row, cut:] += jump
    return positions


def collate(
    encoded: list[tuple[list[int], int]], generator: torch.Generator, *, stretch: bool
) -> Batch:
    """Pad encoded examples on the right; only the answers are trained."""
    width = -(-max(len(ids) for ids, _ in encoded) // 16) * 16
    ids = torch.zeros(len(encoded), width, dtype=torch.long)
    rows, weights = [], []
    for row, (tokens, start) in enumerate(encoded):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        rows.append(torch.arange(row * width + start - 1, row * width + len(tokens) - 1))
        # A short JSON answer must not drown among the many copied words of the long ones.
        size = len(tokens) - start
        weights.append(torch.full((size,), size**-0.5))
    flat = torch.cat(rows)
    positions = _positions(generator, [start for _, start in encoded], width, stretch=stretch)
    return Batch(ids, positions, flat, ids.view(-1)[flat + 1], torch.cat(weights))


def grouped(encoded: list[tuple[list[int], int]]) -> Iterator[list[tuple[list[int], int]]]:
    """Split a chunk, sorted by length, into groups of about TOKENS padded tokens."""
    group: list[tuple[list[int], int]] = []
    for item in sorted(encoded, key=lambda pair: len(pair[0])):
        if group and (len(group) + 1) * len(item[0]) > TOKENS:
            yield group
            group = []
        group.append(item)
    if group:
        yield group


class Source:
    """Endless batches; asks the clock which stage it is in whenever a chunk begins."""

    def __init__(self, tokenizer: Tokenizer, seed: int, used: int = 0) -> None:
        """Start at the example number `used`."""
        self.tokenizer = tokenizer
        self.generator = torch.Generator().manual_seed(seed)
        self.used = used
        self._queue: list[Batch] = []
        self._stage: Stage | None = None

    def next(self, fraction: float) -> Batch:
        """The next batch at a fraction of the training time."""
        stage = stage_at(fraction)
        if float(torch.rand(1, generator=self.generator)) < stage.copies:
            return random_copy(self.generator, self.tokenizer, COPY_LONGEST)
        if not self._queue or stage != self._stage:
            self._stage = stage
            self._refill(stage)
        return self._queue.pop()

    def _refill(self, stage: Stage) -> None:
        short = stage.kind == "short"
        drawn = dataset.examples(f"train-{stage.kind}", self.used, CHUNK, short=short)
        self.used += CHUNK
        encoded = [self.tokenizer.encode_example(item) for item in drawn]
        kept = [pair for pair in encoded if len(pair[0]) <= stage.longest]
        built = [collate(g, self.generator, stretch=stage.stretch) for g in grouped(kept)]
        order = torch.randperm(len(built), generator=self.generator).tolist()
        self._queue = [built[index] for index in order]
