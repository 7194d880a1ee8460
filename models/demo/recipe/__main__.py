"""Command line of the recipe: `python -m models.demo.recipe all --minutes 90`.

`all` trains twice, two thirds of the time from nothing and then one third resumed, and exports the
mean of both ends.
"""

from __future__ import annotations

import argparse
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

BUILD = Path("build/demo-model")
STEPS = ("generate", "tokenizer", "train", "export", "evaluate")
FIRST_RUN = 2 / 3
"""Of the minutes of `all`; the resumed run has the rest."""


@dataclass(frozen=True)
class Chosen:
    """What the command line asks for; see its help."""

    build: Path
    minutes: float
    average: int
    resume: bool


def run(step: str, chosen: Chosen) -> None:
    """Run one step; heavy imports stay inside so that `generate` needs no torch."""
    print(f"== {step}", flush=True)
    build = chosen.build
    if step == "generate":
        from models.demo.recipe import generate

        generate.write(build / "examples")
    elif step == "tokenizer":
        from models.demo.recipe import tokenizer

        tokenizer.train(build / "tokenizer")
    elif step == "train":
        from models.demo.recipe import train
        from models.demo.recipe.tokenizer import MODEL, Tokenizer

        trained = Tokenizer(build / "tokenizer" / MODEL)
        train.train(build, trained, train.Budget(chosen.minutes), resume=chosen.resume)
    elif step == "export":
        from models.demo.recipe import export

        export.export(build, chosen.average)
    else:
        from models.demo.recipe import tasks

        # What is measured is what runs: the GGUF, in the llama.cpp of the run-time environment.
        command = [
            str(tasks.RUNTIME_PYTHON),
            "-m",
            "models.demo.recipe.evaluate",
            str(build.resolve()),
        ]
        subprocess.run(command, check=True, cwd=tasks.ROOT)  # noqa: S603 - fixed arguments


def everything(chosen: Chosen) -> None:
    """All steps, with the training in two runs."""
    first = replace(chosen, minutes=chosen.minutes * FIRST_RUN, resume=False)
    second = replace(chosen, minutes=chosen.minutes * (1 - FIRST_RUN), resume=True)
    run("generate", chosen)
    run("tokenizer", chosen)
    run("train", first)
    run("train", second)
    run("export", replace(chosen, average=2))
    run("evaluate", chosen)


def main() -> None:
    """Parse the command line and run the steps."""
    parser = argparse.ArgumentParser(prog="python -m models.demo.recipe", description=__doc__)
    parser.add_argument("step", choices=("all", *STEPS))
    parser.add_argument(
        "--build", type=Path, default=BUILD, help="folder for everything in between"
    )
    parser.add_argument(
        "--minutes", type=float, default=90.0, help="wall-clock time of the training"
    )
    parser.add_argument("--resume", action="store_true", help="train on from the last checkpoint")
    parser.add_argument(
        "--average",
        type=int,
        default=0,
        metavar="RUNS",
        help="export the mean of the ends of the last runs (default: the latest checkpoint)",
    )
    given = parser.parse_args()
    chosen = Chosen(given.build, given.minutes, given.average, given.resume)
    chosen.build.mkdir(parents=True, exist_ok=True)
    if given.step == "all":
        everything(chosen)
    else:
        run(given.step, chosen)


if __name__ == "__main__":
    main()
