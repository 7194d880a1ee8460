"""Start the engine: `python -m appliance.engine --socket S --models DIR --run-dir DIR`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from appliance.engine.asgi import bind_socket, server
from appliance.engine.errors import AliasFileError, OptionsError, SocketInUseError
from appliance.engine.options import (
    add_option_arguments,
    add_residency_arguments,
    options_from,
    residency_from,
)
from appliance.engine.supervisor import Supervisor

_GRACE_SECONDS = 5


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; then end all runners and leave."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="engine %(levelname)s %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    given.run_dir.mkdir(parents=True, exist_ok=True)
    state_dir = given.state_dir or given.run_dir
    try:
        supervisor = Supervisor(
            given.models, given.run_dir, state_dir, options_from(given), residency_from(given)
        )
        listener = bind_socket(given.socket)
    except (AliasFileError, OptionsError, SocketInUseError, OSError) as error:
        print(f"engine: {error}", file=sys.stderr)
        return 1
    # uvicorn raises the signals that it took once more when it is done; we end in our own way.
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: None)
    asyncio.run(server(supervisor.app(), _GRACE_SECONDS).serve(sockets=[listener]))
    given.socket.unlink(missing_ok=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m appliance.engine", description="Serves the models of a folder on a socket."
    )
    parser.add_argument("--socket", type=Path, required=True, help="AF_UNIX socket to open")
    parser.add_argument("--models", type=Path, required=True, help="folder of model manifests")
    parser.add_argument("--run-dir", type=Path, required=True, help="folder for runners' sockets")
    parser.add_argument(
        "--state-dir", type=Path, help="folder for the aliases, which outlast a restart (run-dir)"
    )
    add_option_arguments(parser)
    add_residency_arguments(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
