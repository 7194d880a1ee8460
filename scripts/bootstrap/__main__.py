"""Make `.venv` ready: `python3 -m scripts.bootstrap {run,test}`. Standard library only.

Each step looks first and does nothing where nothing is missing, so a second run takes well under a
second. What was done is remembered in `.venv/stamp-*.json` by the digests of what it was done from.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from scripts.bootstrap.environment import Environment
from scripts.bootstrap.system import MissingPackagesError, ensure_packages, packages_needed
from scripts.bootstrap.terminal import say
from scripts.bootstrap.wheel import BuildError, cached_wheel

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Bring the environment up to what the named goal needs; 0 when it is there."""
    parser = argparse.ArgumentParser(prog="bootstrap", description=__doc__)
    parser.add_argument("goal", choices=["run", "test"], help="what will be done with it")
    goal = parser.parse_args().goal
    try:
        # Whoever named an interpreter (`make run PYTHON=…`) gets no environment of another.
        named = bool(os.environ.get("PYTHON"))
        prepare(Environment(ROOT, Path(sys.executable), insist=named), goal)
    except MissingPackagesError as error:
        print(error, file=sys.stderr)
        return 1
    except (BuildError, subprocess.CalledProcessError, OSError) as error:
        print(f"\nCould not prepare the environment: {error}", file=sys.stderr)
        print("Remedy: mend what the lines above name, then run the same command.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Run the same command again to go on.", file=sys.stderr)
        return 130
    return 0


def prepare(environment: Environment, goal: str) -> None:
    """Install packages, make the environment, compile what has to be compiled."""
    if goal == "test":
        ensure_packages(packages_needed(ROOT / "requirements/debian-test.txt"))
    if not environment.is_current("run"):
        wheel = cached_wheel(ROOT / "requirements/llama.txt")
        ensure_packages(
            packages_needed(ROOT / "requirements/debian-run.txt", compile_too=not wheel.exists())
        )
        environment.create()
        say("Python packages (pinned by hash)")
        environment.install("pip.txt")
        environment.install("runtime.txt")
        with environment.build_backends() as backends:
            if not wheel.exists():
                wheel.build(environment, backends)
            environment.install_wheel(wheel.path)
            environment.install_project(backends)
        environment.remember("run")
    if goal == "test" and not environment.is_current("test"):
        say("Test tools (pinned by hash)")
        environment.install("dev.txt")
        environment.remember("test")


if __name__ == "__main__":
    sys.exit(main())
