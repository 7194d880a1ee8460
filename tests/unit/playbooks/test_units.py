"""The units: nothing that a service does not need is left open to it."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from appliance.settings import Settings
from tests.support.playbooks import UNITS, rendered

ROLE = {"cloister-audit.service": "audit", "cloister-engine.service": "engine"}
WORST = 5  # tenths of a point, as systemd-analyze takes its threshold


def unit(name: str) -> str:
    return rendered(ROLE.get(name, "web"), f"{name}.j2")


def directives(name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"(?m)^(\w+)=(.*)$", unit(name)):
        found.setdefault(key, []).append(value)
    return found


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_next_to_nothing_exposed(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text(unit(name))
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={WORST}", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


@pytest.mark.parametrize("name", UNITS)
def test_a_service_has_no_network_no_rights_and_no_memory_to_run_what_it_wrote(name: str) -> None:
    found = directives(name)
    assert found["PrivateNetwork"] == ["yes"]
    assert found["RestrictAddressFamilies"] == ["AF_UNIX"]
    assert found["CapabilityBoundingSet"] == [""]
    assert found["NoNewPrivileges"] == ["yes"]
    assert found["MemoryDenyWriteExecute"] == ["yes"]
    assert "memfd_create" in found["SystemCallFilter"][1]
    assert found["User"] == found["Group"] == [name.removesuffix(".service")]


@pytest.mark.parametrize("name", UNITS)
def test_whatever_a_service_may_write_to_it_may_not_run(name: str) -> None:
    found = directives(name)
    writable = {f"/var/lib/{path}" for path in found["StateDirectory"][0].split()}
    writable |= {"/tmp", "/var/tmp", "/dev/shm", "/run"}
    assert writable <= set(found["NoExecPaths"][0].split())
    assert found["ExecPaths"] == ["/usr /opt/cloister"]


def test_no_service_sees_what_belongs_to_another() -> None:
    for name, hidden in {
        "cloister-engine.service": {"-/var/lib/cloister/audit", "-/var/lib/cloister/web"},
        "cloister-web.service": {
            "-/var/lib/cloister/audit/keys",
            "-/var/lib/cloister/audit/shred",
            "-/var/lib/cloister-head",
            "-/srv",
        },
        "cloister-audit.service": {"-/srv"},
    }.items():
        assert hidden <= set(directives(name)["InaccessiblePaths"][0].split()), name


def test_only_the_engine_has_a_libffi_of_its_own() -> None:
    texts = {name: unit(name) for name in UNITS}
    using = [name for name, text in texts.items() if "LD_LIBRARY_PATH" in text]
    assert using == ["cloister-engine.service"]


def test_the_writer_takes_records_of_the_web_process_and_of_root_alone() -> None:
    (start,) = directives("cloister-audit.service")["ExecStart"]
    assert start.endswith("appliance.host writer --allow-uid=0 --allow-uid=990")
    # A user namespace would show it everybody else as one and the same user.
    assert "PrivateUsers" not in directives("cloister-audit.service")


def test_the_settings_file_is_one_that_cloister_reads(tmp_path: Path) -> None:
    (tmp_path / "etc/cloister").mkdir(parents=True)
    text = rendered("base", "appliance.toml.j2")
    (tmp_path / "etc/cloister/appliance.toml").write_text(text)
    settings = Settings(state=tmp_path)
    assert (settings.appliance_id, settings.https) == ("ward-7", True)
    assert settings.web_names == ("cloister.example.internal",)
    assert tomllib.loads(text)["engine_memory_mib"] == 8192


def test_programs_find_the_sockets_where_the_services_open_them() -> None:
    links = re.findall(r"(?m)^L\+ (\S+) - - - - (\S+)$", rendered("base", "tmpfiles.conf.j2"))
    settings = Settings(state=Path("/"))
    assert dict(links) == {
        str(settings.engine_socket): "/run/cloister-engine/engine.sock",
        str(settings.audit_socket): "/run/cloister-audit/audit.sock",
    }
    for name in ("engine", "audit"):
        assert directives(f"cloister-{name}.service")["RuntimeDirectory"] == [f"cloister-{name}"]
