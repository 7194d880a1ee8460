"""The playbooks as data, and their templates as a host gets them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tests.repository.tree import ROOT

PLAYBOOKS = ROOT / "playbooks"
ROLES = sorted(path.name for path in (PLAYBOOKS / "roles").iterdir())
UNITS = ("cloister-audit.service", "cloister-engine.service", "cloister-web.service")
# What a host gets from its inventory.
GIVEN: dict[str, Any] = {
    "ansible_managed": "Ansible managed",
    "audit_allowed": ["0", "990"],
    "base_memory_mib": 8192,
    "base_name": "ward-7",
    "base_release": "/opt/cloister/releases/100000",
    "base_web_names": ["cloister.example.internal"],
    "engine_memory_mib": 8192,
    "network_administrators": ["192.0.2.10/32"],
    "network_clients": ["192.0.2.0/24", "198.51.100.7"],
    "network_destinations": [
        {"name": "time", "address": "192.0.2.123", "protocol": "udp", "port": 123}
    ],
}


def read(path: Path) -> Any:  # noqa: ANN401 - whatever stands there
    """A YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def defaults(role: str) -> dict[str, Any]:
    """A role's own values."""
    file = PLAYBOOKS / f"roles/{role}/defaults/main.yml"
    found: dict[str, Any] = read(file) if file.exists() else {}
    return found


def tasks() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every task and handler, with the file that it stands in."""
    for file in sorted(PLAYBOOKS.glob("roles/*/[th]*/*.yml")):
        for task in read(file):
            yield str(file.relative_to(PLAYBOOKS)), task


def rendered(role: str, template: str, **more: Any) -> str:  # noqa: ANN401 - any value
    """A template of a role, with what an inventory and the role give it."""
    folder = PLAYBOOKS / f"roles/{role}/templates"
    environment = Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,  # noqa: S701 - configuration files, not HTML
    )
    environment.filters["regex_replace"] = lambda text, _pattern, new: f"{new}{text}"
    environment.filters["to_json"] = json.dumps
    return environment.get_template(template).render({**defaults(role), **GIVEN, **more})
