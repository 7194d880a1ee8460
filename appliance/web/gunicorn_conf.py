"""gunicorn's configuration, from the settings.

`gunicorn -c python:appliance.web.gunicorn_conf`. Where systemd passes a socket, gunicorn takes that
one instead of `bind`.
"""

from __future__ import annotations

import os
import shutil
from typing import Any, Final

from appliance.settings import Settings

_settings = Settings()
_SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108 - only for the empty heartbeat file below


def _bind(settings: Settings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{host}:{settings.port}"


wsgi_app = "appliance.web.wsgi:app"
proc_name = "cloister-web"
bind = _bind(_settings)
workers = _settings.web_workers
worker_class = "gthread"
threads = _settings.web_threads

# A stopping worker lets running answers end for so long, in seconds; less than the 10 seconds that
# `cloister run` gives the web process.
graceful_timeout = 8
# A worker whose main loop is silent for so long, in seconds, is replaced; answers do not count.
timeout = 60
keepalive = 5

# The heartbeat file is touched every second; on a disk, a busy disk would look like a dead worker.
worker_tmp_dir = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK | os.X_OK) else None

# No access log: an address can carry what somebody typed into it.
accesslog = None
errorlog = "-"
loglevel = "info"

control_socket_disable = True
umask = 0o077


def on_starting(server: object) -> None:
    """Before the first worker: several of them count in files that each of them can add up.

    prometheus_client looks for the variable when it is imported, which only workers do.
    """
    if workers > 1:
        folder = _settings.web / "metrics"
        # Counters begin at 0 with the process, as those of a single worker do.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700, parents=True)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)


def post_worker_init(_worker: Any) -> None:  # noqa: ANN401 - gunicorn has no types
    """Begin, in a worker that has just been forked, to have the tasks' beginnings decoded ahead."""
    # Imported in the worker: what the first process holds, every worker would inherit.
    from appliance.tasks.library import TaskLibrary
    from appliance.web.warmer import Warmer

    Warmer(_settings.engine_socket, TaskLibrary.load()).start()
