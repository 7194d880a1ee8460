"""Training boxed in wall-clock time: stages and learning rate follow the clock, not the step.

The recipe runs on shared machines; a busy neighbour costs steps, never the end of the schedule.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.nn import functional

from models.demo.recipe import circuit, dataset
from models.demo.recipe.batches import Batch, Source, collate
from models.demo.recipe.network import Network, Shape
from models.demo.recipe.tokenizer import Tokenizer

CHECKPOINT = "checkpoint.pt"
RUN_END = re.compile(r"run-(\d+)\.pt")
PEAK_RATE = 2e-3
EMBEDDING_RATE = 0.6
"""Of the rate of the matrices: the token codes of the circuit should move more slowly."""
WARM_STEPS = 60
HOLD = 0.25
RESUMED = 0.3
"""A resumed training begins in the stage that this fraction belongs to."""
RESUMED_RATE = 0.6
FLOOR = 0.01


@dataclass(frozen=True)
class Budget:
    """How long to train, and how often to look."""

    minutes: float
    save_seconds: float = 150.0
    look_seconds: float = 300.0
    threads: int = 2


def rate_at(fraction: float, step: int) -> float:
    """Learning-rate factor: warm up by steps, hold, then fall linearly by the clock."""
    warm = min(1.0, (step + 1) / WARM_STEPS)
    fall = 1.0 if fraction < HOLD else 1.0 - (1.0 - FLOOR) * (fraction - HOLD) / (1.0 - HOLD)
    return warm * max(FLOOR, fall)


def optimisers(network: Network) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for embedding and gains."""
    matrices, others = [], []
    for name, parameter in network.named_parameters():
        inside = parameter.ndim == 2 and name != "embedding.weight"
        (matrices if inside else others).append(parameter)
    chosen: list[torch.optim.Optimizer] = [
        torch.optim.Muon(matrices, lr=PEAK_RATE, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(
            others, lr=EMBEDDING_RATE * PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.0, fused=True
        ),
    ]
    for optimiser in chosen:
        for group in optimiser.param_groups:
            group["initial"] = group["lr"]
    return chosen


def loss_of(network: Network, batch: Batch) -> torch.Tensor:
    """Weighted mean cross-entropy over the answer tokens of a batch."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(batch.ids, batch.positions, batch.rows)
        each = functional.cross_entropy(logits.float(), batch.targets, reduction="none")
    return (each * batch.weights).sum() / batch.weights.sum()


@torch.no_grad()
def look(network: Network, tokenizer: Tokenizer, count: int = 80) -> str:
    """Share of held-out answers that greedy decoding would give exactly, by task."""
    right: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    generator = torch.Generator().manual_seed(0)
    for item in dataset.examples("look", 0, count):
        batch = collate([tokenizer.encode_example(item)], generator, stretch=False)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            guess = network(batch.ids, batch.positions, batch.rows).argmax(-1)
        seen[item.task] += 1
        right[item.task] += bool((guess == batch.targets).all())
    return " ".join(f"{name}={right[name]}/{seen[name]}" for name in sorted(seen))


def save(network: Network, folder: Path, progress: dict[str, float]) -> None:
    """Write a checkpoint atomically."""
    state = {"shape": asdict(network.shape), "weights": network.state_dict(), "progress": progress}
    torch.save(state, folder / f"{CHECKPOINT}.tmp")
    (folder / f"{CHECKPOINT}.tmp").replace(folder / CHECKPOINT)


def load(*checkpoints: Path) -> tuple[Network, dict[str, float]]:
    """Read a checkpoint, or the mean of the weights of several, with the progress of the last.

    Runs that were resumed from one another end at different places of the same basin, and the mean
    generalises better than each (Izmailov et al. 2018, arXiv:1803.05407).
    """
    states = [torch.load(path, weights_only=True) for path in checkpoints]
    last = states[-1]
    network = Network(Shape(**last["shape"]))
    weights = [state["weights"] for state in states]
    network.load_state_dict(
        {name: torch.stack([each[name] for each in weights]).mean(0) for name in last["weights"]}
    )
    return network, last["progress"]


def ends(folder: Path) -> list[Path]:
    """The checkpoints that ended runs left in `folder`, the oldest first."""
    found = {path: RUN_END.fullmatch(path.name) for path in folder.iterdir()}
    numbers = {path: int(match[1]) for path, match in found.items() if match}
    return sorted(numbers, key=lambda path: numbers[path])


def keep_end(folder: Path) -> None:
    """Keep the latest checkpoint as the end of one more run."""
    shutil.copyfile(folder / CHECKPOINT, folder / f"run-{len(ends(folder)) + 1}.pt")


def begin(folder: Path, tokenizer: Tokenizer, *, resume: bool) -> tuple[Network, Source]:
    """A fresh network with the copying circuit, or the checkpoint and the examples after it."""
    torch.manual_seed(dataset.SEED)
    if resume:
        network, progress = load(folder / CHECKPOINT)
        return network, Source(tokenizer, dataset.SEED, used=int(progress["examples"]))
    for end in ends(folder):
        end.unlink()
    network = Network(Shape(vocabulary=tokenizer.model.vocab_size()))
    circuit.install(network, dataset.SEED)
    return network, Source(tokenizer, dataset.SEED)


def train(folder: Path, tokenizer: Tokenizer, budget: Budget, *, resume: bool = False) -> None:
    """Train for the budget, leaving checkpoints in `folder`."""
    torch.set_num_threads(budget.threads)
    network, source = begin(folder, tokenizer, resume=resume)
    steps = optimisers(network)
    strength = RESUMED_RATE if resume else 1.0
    size = sum(parameter.numel() for parameter in network.parameters())
    print(f"{size:,} parameters, {budget.minutes:g} minutes, pid {os.getpid()}", flush=True)
    begun = saved = looked = time.monotonic()
    step = tokens = 0
    running = 9.0
    while (fraction := (time.monotonic() - begun) / (60 * budget.minutes)) < 1.0:
        batch = source.next(max(fraction, RESUMED) if resume else fraction)
        loss = loss_of(network, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for optimiser in steps:
            for group in optimiser.param_groups:
                group["lr"] = group["initial"] * strength * rate_at(fraction, step)
            optimiser.step()
            optimiser.zero_grad()
        step, tokens = step + 1, tokens + batch.ids.numel()
        running = 0.94 * running + 0.06 * loss.item()
        now = time.monotonic()
        if step % 50 == 0:
            pace = tokens / (now - begun)
            print(
                f"{fraction:.3f} step {step} loss {running:.4f} {tokens / 1e6:.2f}M tokens "
                f"{pace:.0f}/s",
                flush=True,
            )
        if now - saved > budget.save_seconds:
            save(network, folder, {"step": step, "tokens": tokens, "examples": source.used})
            saved = now
        if now - looked > budget.look_seconds:
            print(f"held-out exact: {look(network, tokenizer)}", flush=True)
            looked = time.monotonic()
    save(network, folder, {"step": step, "tokens": tokens, "examples": source.used})
    keep_end(folder)
    print(f"done: {step} steps, {tokens:,} tokens; {look(network, tokenizer, 400)}", flush=True)
