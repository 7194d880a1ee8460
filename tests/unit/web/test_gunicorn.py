"""gunicorn's configuration as gunicorn reads it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

CONFIG = "python:appliance.web.gunicorn_conf"


def _printed(tmp_path: Path, **environment: str) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "gunicorn", "--print-config", "-c", CONFIG],
        env={**os.environ, "CLOISTER_STATE": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return dict(re.findall(r"^(\w+) += (.*)$", done.stdout, re.MULTILINE))


def test_threads_answer_nothing_is_logged_and_no_control_socket_opens(tmp_path: Path) -> None:
    config = _printed(tmp_path)
    assert config["bind"] == "['127.0.0.1:8080']"
    assert config["worker_class"] == "gthread"
    assert (config["workers"], config["threads"]) == ("1", "32")
    assert config["accesslog"] == "None"
    assert config["control_socket_disable"] == "True"
    assert config["wsgi_app"] == "appliance.web.wsgi:app"


def test_the_settings_reach_it(tmp_path: Path) -> None:
    config = _printed(tmp_path, CLOISTER_HOST="::1", CLOISTER_PORT="8443", CLOISTER_WEB_WORKERS="2")
    assert config["bind"] == "['[::1]:8443']"
    assert config["workers"] == "2"
