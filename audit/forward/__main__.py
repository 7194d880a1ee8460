"""`python -m audit.forward`: tells a log host what is added to the log."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from audit.forward.destination import Destination
from audit.forward.errors import DestinationError
from audit.forward.forwarder import Forwarder, ForwardSettings

EXIT_SETUP: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; returns the exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(name)s: %(message)s", level=logging.INFO, stream=sys.stderr)
    os.umask(0o077)
    try:
        to = Destination.parse(options.to)
        options.state.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (DestinationError, OSError) as error:
        logging.getLogger("audit-forward").error("%s", error)
        return EXIT_SETUP
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    settings = ForwardSettings(
        options.dir, options.state, to, options.ca, options.name, options.host
    )
    Forwarder(settings, stop).run()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m audit.forward",
        description="Tells a log host what is added to the log: metadata that stand in clear.",
    )
    add = parser.add_argument
    add("--dir", type=Path, required=True, help="folder of the log")
    add("--state", type=Path, required=True, help="file that keeps how far the host was told")
    add("--to", required=True, help="tcp://, tls:// or udp:// with an IP address and a port")
    add("--ca", type=Path, help="certificates that vouch for the host; default: the system's")
    add("--name", default="", help="name in the host's certificate; default: its address")
    add("--host", required=True, help="name of this machine in the lines")
    return parser


if __name__ == "__main__":
    sys.exit(main())
