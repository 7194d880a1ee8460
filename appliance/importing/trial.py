"""Load a model that nobody vouches for in a runner of its own, and have it say something."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from appliance.catalogue.errors import ModelMemoryError
from appliance.catalogue.facts import ModelFacts
from appliance.catalogue.manifest import ModelManifest, read_manifest
from appliance.catalogue.memory import MemoryPlan
from appliance.engine.budget import fits, planned
from appliance.engine.errors import SmokeError
from appliance.engine.launch import (
    LoadRefusedError,
    Runner,
    RunnerCrashedError,
    describe,
    launch,
)
from appliance.engine.options import EngineOptions
from appliance.engine.smoke import smoke
from appliance.importing.errors import RefusedError, TrialError

_CONTEXT = 1024  # tokens; a greeting with the longest system message that a template brings along
_STEP = 128
_ANSWER = 16
_ANSWER_SECONDS = 300.0  # a large model that is read from a slow disk meanwhile
_END_SECONDS = 10.0
# The kernel ends processes so where memory runs out; it says nothing against the file.
_NO_FAULT = -signal.SIGKILL


def try_out(
    manifest: Path,
    facts: ModelFacts,
    options: EngineOptions,
    free: Callable[[], int],
    socket: Path,
    log: Path,
    adapter: ModelManifest | None = None,
) -> None:
    """Return only if the model loads and answers.

    Args:
        manifest: of the model, beside its weights.
        facts: of its file.
        options: sizes that it would be served with; one request takes much less.
        free: says how many bytes of memory are left.
        socket: a path for the runner's socket, which only this process uses.
        log: takes what the runner writes.
        adapter: to answer with; its manifest and its file lie beside the model's.

    Raises:
        ModelMemoryError: not even one request fits into the memory that is left.
        RefusedError: llama.cpp refuses the file, or the file ends its process.
        TrialError: the model gives no answer.
    """
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    small = replace(
        options, sequences=1, context=_CONTEXT, queue=1, step_tokens=_STEP, prefixes=0, draft=0
    )
    try:
        promised = read_manifest(manifest)
        asyncio.run(_try(promised, manifest, facts, small, free, socket, descriptor, adapter))
    finally:
        os.close(descriptor)


async def _try(
    promised: ModelManifest,
    manifest: Path,
    facts: ModelFacts,
    options: EngineOptions,
    free: Callable[[], int],
    socket: Path,
    log: int,
    adapter: ModelManifest | None,
) -> None:
    _check_memory(planned(facts, promised.context, options), free())
    try:
        runner = await launch(manifest, socket, options, log)
    except LoadRefusedError as error:
        raise RefusedError(f"{error}.") from error
    except RunnerCrashedError as error:
        if describe(_NO_FAULT) in str(error):
            raise TrialError(f"It was not loaded: {error}. {_BUSY}") from error
        raise RefusedError(f"Loading it crashes llama.cpp ({error}); {_DAMAGED}") from error
    try:
        await smoke(promised, runner, _ANSWER, _ANSWER_SECONDS, adapter)
    except SmokeError as error:
        raise await _fault(runner, error, adapter) from error
    finally:
        await runner.stop()
        socket.unlink(missing_ok=True)


def _check_memory(plan: MemoryPlan, free: int) -> None:
    if not fits(plan, free):
        raise ModelMemoryError(
            f"Trying it out takes {plan.needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are"
            " free. Stop another model (cloister model alias remove, or rm), then run the same"
            " command again; or take a smaller quantisation."
        )


_BUSY = "See that memory is free, then run the same command again."
_DAMAGED = "the file is damaged, or was made to do that. Bring it in again from its publisher."


async def _fault(runner: Runner, error: SmokeError, adapter: ModelManifest | None) -> Exception:
    """What a missing answer means: an ended process is the file's fault.

    With an adapter whatever the runner says against it is, too: its base answers without.
    """
    if "its process ended" in error.message:
        with suppress(TimeoutError):
            code = await asyncio.wait_for(runner.process.wait(), _END_SECONDS)
            if code != _NO_FAULT:
                return RefusedError(f"Its first answer crashes llama.cpp; {_DAMAGED}")
    if adapter is not None:
        slow = "none came in" in error.message
        return TrialError(f"{error.message} {_BUSY}") if slow else RefusedError(error.message)
    return TrialError(
        f"{error.message} Where its chat template is at fault, name the known model that it derives"
        " from with --known; all of them: cloister model known."
    )
