"""Which systems a bundle can be made for, and which one this is."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.bundle.errors import TargetError

_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64"}

_ELF: Final = b"\x7fELF\x02\x01"  # 64 bits, little end first
_ELF_MACHINES: Final = {62: "x86_64", 183: "aarch64"}


@dataclass(frozen=True)
class Target:
    """A system that a bundle is made for.

    Args:
        name: as in the manifest and on the command line.
        codename: Debian's name of the release.
        architecture: as Debian names it.
        machine: as the kernel names it.
        python: version of the system's own Python.
        glibc: minor version of glibc 2, which decides which wheels load.
    """

    name: str
    codename: str
    architecture: str
    machine: str
    python: str
    glibc: int


def _targets() -> dict[str, Target]:
    releases = (("debian13", "trixie", "3.13", 41), ("debian12", "bookworm", "3.11", 36))
    found = {}
    for release, codename, python, glibc in releases:
        for machine, architecture in _MACHINES.items():
            name = f"{release}-{architecture}"
            found[name] = Target(name, codename, architecture, machine, python, glibc)
    return found


TARGETS: Final = _targets()


def this_host(root: Path = Path("/")) -> str:
    """The name that a target of this machine would have, whether we make bundles for it or not.

    Args:
        root: of the system whose os-release is read.
    """
    facts = {}
    for file in (root / "etc/os-release", root / "usr/lib/os-release"):
        if file.is_file():
            facts = _facts(file.read_text(encoding="utf-8", errors="replace"))
            break
    machine = platform.machine()
    release = facts.get("ID", "linux") + facts.get("VERSION_ID", "").split(".")[0]
    return f"{release}-{_MACHINES.get(machine, machine)}"


def check_target(wanted: str, host: str) -> None:
    """Return only if a bundle's target is this host.

    Raises:
        TargetError: it is another one.
    """
    if wanted != host:
        raise TargetError(
            f"The bundle is for {wanted}, and this is {host}. Get the bundle for {host}."
            if host in TARGETS
            else f"The bundle is for {wanted}, and this is {host}, for which there are no bundles."
            f" There are for: {', '.join(TARGETS)}."
        )


def processor_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """What this machine's processor can do, as the kernel names it; empty where it does not say."""
    text = cpuinfo.read_text(encoding="ascii", errors="replace") if cpuinfo.is_file() else ""
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return frozenset(found[1].split()) if found else frozenset()


def elf_machine(file: Path) -> str | None:
    """The machine that a library or program is for, as the kernel names it; None for all others.

    Args:
        file: its first bytes are read (elf(5): e_ident, e_type, e_machine).
    """
    try:
        with file.open("rb") as opened:
            head = opened.read(20)
    except OSError:
        return None
    if len(head) < 20 or head[:6] != _ELF:
        return None
    return _ELF_MACHINES.get(int.from_bytes(head[18:20], "little"))


def memory_mib() -> int:
    """Memory of this machine in MiB."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1024 * 1024)


def _facts(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name: value.strip("\"'") for name, _, value in pairs}
