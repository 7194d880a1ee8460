"""Debian's packages for another release than this machine's, fetched and checked by apt itself.

apt runs with folders of its own: it takes the machine's mirrors, keys and proxies, and touches none
of its lists, caches or packages. The package database is empty, so that what it takes is the whole
closure, whatever the host has already.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.bundle.build.program import run
from appliance.bundle.build.sources import sources_for
from appliance.bundle.errors import BuildError
from appliance.bundle.targets import Target
from appliance.bundle.telling import Progress, Teller

_REMEDY: Final = (
    "See that this machine reaches its Debian mirror, then run the same command again; what was"
    " fetched stays."
)
_INSTALLED = re.compile(r"^Inst (?P<name>\S+) \((?P<version>\S+) .*\[(?P<arch>\w+)\]\)")
_PERCENT = re.compile(r"^dlstatus:\d+:(?P<percent>[\d.]+):")


@dataclass(frozen=True)
class Apt:
    """apt with folders of its own.

    Args:
        folder: that it works in; kept from one build to the next.
        target: whose packages are wanted.
    """

    folder: Path
    target: Target

    def fetch(self, packages: list[str], sources: Path | None, teller: Teller) -> list[Path]:
        """The packages and all that they depend on, as files, sorted by name.

        Args:
            packages: names.
            sources: deb822 file to use instead of the machine's own mirrors, or None.
            teller: watches.

        Raises:
            BuildError: a package is unknown, or there is no mirror.
            ToolError: apt failed, or refused what the mirror gave.
        """
        self._write_configuration(sources)
        with teller.step("Reading Debian's list of packages"):
            self._run("apt-get", "update", "--error-on=any")
        with teller.bar("Fetching Debian packages", 100) as progress:
            self._download(packages, progress)
        planned = self._run("apt-get", "install", "--simulate", *packages)
        names = [found for line in planned.splitlines() if (found := _INSTALLED.match(line))]
        if not names:
            raise BuildError(f"apt planned nothing for {', '.join(packages)}. {_REMEDY}")
        return sorted(self._archive(found) for found in names)

    def _archive(self, found: re.Match[str]) -> Path:
        version = found["version"].replace(":", "%3a")
        name = found["name"].split(":")[0]
        file = self.folder / f"var/cache/apt/archives/{name}_{version}_{found['arch']}.deb"
        if not file.is_file():
            raise BuildError(f"apt did not leave {file.name}. {_REMEDY}")
        return file

    def _download(self, packages: list[str], progress: Progress) -> None:
        done = 0

        def follow(line: str) -> None:
            nonlocal done
            if (told := _PERCENT.match(line)) and (now := int(float(told["percent"]))) > done:
                progress(now - done)
                done = now

        self._run(
            "apt-get",
            "install",
            "--download-only",
            "--option=APT::Status-Fd=1",
            *packages,
            line=follow,
        )

    def _run(self, *words: str, line: Callable[[str], object] = lambda _line: None) -> str:
        configuration = {"APT_CONFIG": str(self.folder / "apt.conf")}
        return run(
            [words[0], "--assume-yes", "--no-install-recommends", *words[1:]],
            _REMEDY,
            variables=configuration,
            line=line,
        )

    def _write_configuration(self, sources: Path | None) -> None:
        """apt reads this before all else; its paths make it forget the machine's own."""
        for name in (
            "etc/apt/apt.conf.d",
            "etc/apt/preferences.d",
            "etc/apt/sources.list.d",
            "var/lib/apt/lists/partial",
            "var/cache/apt/archives/partial",
        ):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        text = sources_for(self.target) if sources is None else sources.read_text(encoding="utf-8")
        # Of a mirror on a disk apt would use the packages where they lie, and leave us none.
        text = re.sub(r"(?m)(?<=\s)file:(?=/)", "copy:", text)
        (self.folder / "etc/apt/sources.list.d/target.sources").write_text(text, encoding="utf-8")
        how = run(["apt-config", "dump", "Acquire"], "Build on a Debian machine.")
        own = {
            "Dir": f"{self.folder}/",
            "Dir::State::status": f"{self.folder}/status",
            "Dir::Etc::trustedparts": "/etc/apt/trusted.gpg.d/",
            "APT::Architecture": self.target.architecture,
            "APT::Architectures": self.target.architecture,
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
        }
        lines = [f'{name} "{value}";' for name, value in own.items()]
        (self.folder / "apt.conf").write_text("\n".join([how, *lines, ""]), encoding="utf-8")
