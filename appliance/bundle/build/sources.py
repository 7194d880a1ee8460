"""Where the packages of another Debian release are: on the mirrors that this machine uses itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.bundle.errors import BuildError
from appliance.bundle.targets import Target

_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_LINE = re.compile(r"^deb(?:\s+\[(?P<options>[^]]*)\])?\s+(?P<uri>\S+)\s+(?P<suite>\S+)")


@dataclass(frozen=True)
class Source:
    """A suite of a mirror.

    Args:
        uri: of the mirror.
        suite: as its folder under `dists` is called.
        signed_by: keyring or key that the machine asks for there; empty where it names none.
    """

    uri: str
    suite: str
    signed_by: str


def sources_for(target: Target, root: Path = Path("/")) -> str:
    """A deb822 file for a target, from the mirrors of this machine's own Debian.

    Args:
        target: whose packages are wanted.
        root: of the system whose configuration is read.

    Raises:
        BuildError: this machine has no Debian mirror.
    """
    own = _codename(root)
    found = {source.suite: source for source in _configured(root / "etc/apt")}
    wanted = {own: target.codename, f"{own}-security": f"{target.codename}-security"}
    stanzas = [
        _stanza(found[here], there) for here, there in wanted.items() if own and here in found
    ]
    if own not in found:
        raise BuildError(
            "This machine's apt has no mirror of Debian. Build on a Debian machine, or name a"
            " sources file with --sources FILE."
        )
    return "\n".join(stanzas)


def _stanza(source: Source, suite: str) -> str:
    lines = ["Types: deb", f"URIs: {source.uri}", f"Suites: {suite}", "Components: main"]
    return "\n".join([*lines, f"Signed-By: {source.signed_by or _KEYRING}", ""])


def _codename(root: Path) -> str:
    file = root / "etc/os-release"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    found = re.search(r"^VERSION_CODENAME=\"?(\w+)", text, re.MULTILINE)
    return found[1] if found and re.search(r"^ID=\"?debian", text, re.MULTILINE) else ""


def _configured(folder: Path) -> Iterator[Source]:
    """What sources.list(5) says, in both of its formats; the first of a suite comes last."""
    files = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]
    for file in reversed([file for file in files if file.is_file()]):
        text = file.read_text(encoding="utf-8", errors="replace")
        if file.suffix == ".sources":
            yield from _stanzas(text)
        elif file.suffix == ".list":
            yield from _lines(text)


def _stanzas(text: str) -> Iterator[Source]:
    for block in re.split(r"\n\s*\n", re.sub(r"(?m)^#.*\n?", "", text)):
        fields = {
            name.lower(): value
            for name, value in re.findall(r"(?m)^([\w-]+):[ \t]*(\S.*(?:\n[ \t]+.*)*)$", block)
        }
        if "deb" not in fields.get("types", "").split() or fields.get("enabled") == "no":
            continue
        for uri in fields.get("uris", "").split()[:1]:
            for suite in fields.get("suites", "").split():
                yield Source(uri, suite, fields.get("signed-by", ""))


def _lines(text: str) -> Iterator[Source]:
    for line in text.splitlines():
        if found := _LINE.match(line.strip()):
            signed = re.search(r"signed-by=(\S+)", found["options"] or "")
            yield Source(found["uri"], found["suite"], signed[1] if signed else "")
