"""Start one runner process, learn whether its model loaded, and end it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import Process
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.engine.options import EngineOptions

_LOAD_SECONDS = 900.0
_STOP_SECONDS = 5.0
_REPORT_BYTES = 64 * 1024
RUNNER_ENVIRONMENT = {
    # libgomp's threads spin at every barrier for some milliseconds by default. On a core that
    # another process wants too, a step of the demo model took 50 ms instead of 6; docs/engine.md.
    "GOMP_SPINCOUNT": "1000",
    # When ggml gives up on a hostile file it would start a debugger on itself.
    "GGML_NO_BACKTRACE": "1",
}
_PAGE = os.sysconf("SC_PAGE_SIZE")


class LoadRefusedError(Exception):
    """The runner said why the model can not be loaded; the same file will fail again."""


class RunnerCrashedError(Exception):
    """The runner ended without a word."""


@dataclass(frozen=True)
class Runner:
    """A running process with its model loaded.

    Args:
        socket: where it takes requests.
        context: tokens of one request at most.
        build: versions that it runs with.
    """

    process: Process
    socket: Path
    context: int
    build: str

    def memory_bytes(self) -> int:
        """Resident set of the process in bytes; 0 when it has ended."""
        try:
            fields = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        except OSError:
            return 0
        return int(fields[1]) * _PAGE

    async def ended(self) -> str:
        """Wait for the process to end; says how it did."""
        return describe(await self.process.wait())

    async def stop(self) -> None:
        """Ask the process to end, and make it end."""
        await _stop(self.process)


async def launch(
    manifest: Path, socket: Path, options: EngineOptions, log: int | None = None
) -> Runner:
    """Start a runner and wait until its model is loaded.

    Args:
        manifest: of the model; its weights have been verified.
        socket: a path for its socket.
        options: sizes.
        log: file descriptor for what the process writes; None for where this one does.

    Raises:
        LoadRefusedError: the runner reported why it can not load the model.
        RunnerCrashedError: it ended, or took too long, without a report.
    """
    reading, writing = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "appliance.engine.runner",
            f"--manifest={manifest}",
            f"--socket={socket}",
            f"--ready={writing}",
            f"--parent={os.getpid()}",
            *options.arguments(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=RUNNER_ENVIRONMENT | os.environ,
            pass_fds=(writing,),
            start_new_session=True,
        )
    finally:
        os.close(writing)
    try:
        return await _judge(process, socket, await _report(reading))
    except BaseException:
        await _stop(process)
        raise


async def _judge(process: Process, socket: Path, report: dict[str, Any] | None) -> Runner:
    if report is None:
        # Signalling a process that has just ended would take its exit status from the event loop.
        raise RunnerCrashedError(f"its process {describe(await _end(process))} while loading")
    if "error" in report:
        await process.wait()
        raise LoadRefusedError(report["error"])
    return Runner(process, socket, report["context"], report["build"])


async def _report(reading: int) -> dict[str, Any] | None:
    """What the runner says about its load; None if it ends first or takes too long."""
    stream = asyncio.StreamReader(limit=_REPORT_BYTES)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(reading, "rb")
    )
    try:
        raw = await asyncio.wait_for(stream.read(), _LOAD_SECONDS)
    except TimeoutError:
        return None
    finally:
        transport.close()
    try:
        report: dict[str, Any] = json.loads(raw)
    except ValueError:
        return None
    return report


async def _stop(process: Process) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    await _end(process)


async def _end(process: Process) -> int:
    """Wait a while for a process to end by itself, then make it end; its exit status."""
    try:
        return await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        return await process.wait()


def describe(code: int) -> str:
    """An exit status in words."""
    if code >= 0:
        return f"ended with exit status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was ended by {name}"
