"""Command line of the recipe: `python -m models.demo.recipe all --minutes 75`."""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

BUILD = Path("build/demo-model")
STEPS = ("generate", "tokenizer", "train", "export", "evaluate")


def run(step: str, build: Path, minutes: float, *, resume: bool) -> None:
    """Run one step; heavy imports stay inside so that `generate` needs no torch."""
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
        train.train(build, trained, train.Budget(minutes), resume=resume)
    elif step == "export":
        from models.demo.recipe import export

        export.export(build)
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


def main() -> None:
    """Parse the command line and run the steps."""
    parser = argparse.ArgumentParser(prog="python -m models.demo.recipe", description=__doc__)
    parser.add_argument("step", choices=("all", *STEPS))
    parser.add_argument(
        "--build", type=Path, default=BUILD, help="folder for everything in between"
    )
    parser.add_argument(
        "--minutes", type=float, default=75.0, help="wall-clock time of the training"
    )
    parser.add_argument("--resume", action="store_true", help="train on from the last checkpoint")
    chosen = parser.parse_args()
    chosen.build.mkdir(parents=True, exist_ok=True)
    for step in STEPS if chosen.step == "all" else (chosen.step,):
        print(f"== {step}", flush=True)
        run(step, chosen.build, chosen.minutes, resume=chosen.resume)


if __name__ == "__main__":
    main()
