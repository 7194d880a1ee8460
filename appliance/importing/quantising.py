"""Have a model quantised by a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from appliance.engine.launch import RUNNER_ENVIRONMENT
from appliance.importing.errors import QuantiseError

# Bits of a weight on average, with the scales and the tensors that stay larger; a little more than
# published files take, since they say how much room the disk must have.
TYPES: Final = {"Q4_K_M": 5.4, "Q5_K_M": 6.2, "Q6_K": 7.0, "Q8_0": 8.8}
WHOLE: Final = frozenset(("F32", "F16", "BF16"))
"""Formats that may be quantised: of others too much is lost already."""


def room_for(size: int, quantisation: str) -> int:
    """Bytes that weights of so many bytes, sixteen bits each, take at most when quantised."""
    return int(size / 16 * TYPES[quantisation]) + 64 * 1024 * 1024


def quantise(
    source: Path,
    target: Path,
    quantisation: str,
    threads: int,
    log: Path,
    progress: Callable[[int], object],
) -> None:
    """Write `source` to `target` in another number format.

    Args:
        source: a checked GGUF.
        target: the new file; one that is there is written over.
        quantisation: one of `TYPES`.
        threads: to compute with; 0 means all cores.
        log: takes what llama.cpp writes.
        progress: told how many tensors are done.

    Raises:
        QuantiseError: llama.cpp could not; nothing is left of the target.
    """
    command = [sys.executable, "-m", "appliance.engine.quantiser", str(source), str(target)]
    command += [f"--type={quantisation}", f"--threads={threads}", f"--parent={os.getpid()}"]
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (
        open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as errors,
        subprocess.Popen(  # noqa: S603 - our own module, and paths of our own
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=RUNNER_ENVIRONMENT | os.environ,
            text=True,
        ) as process,
    ):
        try:
            for line in process.stdout or ():
                progress(int(line))
        except BaseException:
            process.kill()
            target.unlink(missing_ok=True)
            raise
    if process.returncode != 0:
        target.unlink(missing_ok=True)
        raise QuantiseError(
            f"llama.cpp could not write it as {quantisation} (exit status {process.returncode}); it"
            f" says why in {log}. Import it without --quantise, or see that the disk has room."
        )
