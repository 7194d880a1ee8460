"""The Python packages: wheels only, each one pinned by its SHA-256, for the target's Python."""

from __future__ import annotations

import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.bundle.build.lock import Locked, locked, platforms, rank
from appliance.bundle.build.own import own_wheel
from appliance.bundle.build.piece import Piece
from appliance.bundle.build.program import run
from appliance.bundle.errors import BuildError
from appliance.bundle.targets import Target
from appliance.bundle.telling import Teller
from appliance.catalogue.digest import file_digest

FOLDER: Final = "wheels"
LLAMA: Final = "llama-cpp-python"
_COLLECTED = re.compile(r"^\s*(Collecting|Saved) ")


@dataclass(frozen=True)
class WheelWish:
    """Where wheels come from.

    Args:
        source: a checkout of Cloister.
        target: where they are to be installed.
        cache: folder that fetched wheels are kept in.
        given: folder to take them from instead of an index; or None.
        llama: the wheel of llama-cpp-python; None where `given` has it.
    """

    source: Path
    target: Target
    cache: Path
    given: Path | None
    llama: Path | None


@dataclass(frozen=True)
class Wheels:
    """The wheels of a bundle.

    Args:
        runtime: of the appliance, Cloister's own among them.
        ansible: of what runs the playbooks.
        llama: that of llama-cpp-python.
    """

    runtime: tuple[Path, ...]
    ansible: tuple[Path, ...]
    llama: Path

    def pieces(self, work: Path) -> list[Piece]:
        """The wheels, and requirements files that name their very hashes.

        Args:
            work: folder for what is generated.
        """
        folder = work / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        sets = {"runtime.txt": self.runtime, "ansible.txt": self.ansible}
        for name, wheels in sets.items():
            lines = sorted(_pin(wheel) for wheel in wheels)
            (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        files = {wheel.name: wheel for wheel in (*self.runtime, *self.ansible)}
        return [
            *(Piece(f"{FOLDER}/{name}", folder / name) for name in sets),
            *(Piece(f"{FOLDER}/{name}", file) for name, file in files.items()),
        ]


def gather(wish: WheelWish, work: Path, teller: Teller) -> Wheels:
    """Find, fetch or build every wheel.

    Args:
        wish: which ones, and from where.
        work: folder for what is generated.
        teller: watches.

    Raises:
        BuildError: one is not to be had for this target.
        ToolError: pip failed.
    """
    llama = _llama(wish)
    sets = {
        name: locked(wish.source / f"requirements/{name}.txt", wish.target)
        for name in ("runtime", "ansible")
    }
    folder = wish.given or wish.cache
    if wish.given is None:
        _fetch([one for some in sets.values() for one in some], wish, teller)
    found = {name: tuple(_choose(one, folder, wish) for one in some) for name, some in sets.items()}
    own = own_wheel(wish.source, work / "own")
    return Wheels((*found["runtime"], llama, own), found["ansible"], llama)


def _fetch(wanted: list[Locked], wish: WheelWish, teller: Teller) -> None:
    """Have pip fetch what the cache lacks; it keeps what it has when it is interrupted."""
    wish.cache.mkdir(parents=True, exist_ok=True)
    lacking = {one.name: one for one in wanted if _best(one, wish.cache, wish.target) is None}
    if not lacking:
        return
    with (
        tempfile.TemporaryDirectory(prefix="cloister-") as folder,
        teller.bar("Fetching wheels", 2 * len(lacking)) as progress,
    ):
        asked = Path(folder) / "requirements.txt"
        asked.write_text("".join(f"{one.line()}\n" for one in lacking.values()), encoding="utf-8")
        run(
            [*_pip(), *_only_for(wish.target), "--dest", wish.cache, "-r", asked],
            "See that this machine reaches its Python index, then run the same command again.",
            line=lambda line: _COLLECTED.match(line) and progress(1),
        )


def _pip() -> list[str | Path]:
    quiet = ("--disable-pip-version-check", "--no-input", "--no-deps")
    return [sys.executable, "-m", "pip", "download", *quiet]


def _only_for(target: Target) -> list[str]:
    version = target.python.replace(".", "")
    return [
        "--require-hashes",
        "--only-binary=:all:",
        "--implementation=cp",
        f"--python-version={target.python}",
        *(f"--abi={abi}" for abi in (f"cp{version}", "abi3", "none")),
        *(f"--platform={platform}" for platform in platforms(target)),
    ]


def _choose(wanted: Locked, folder: Path, wish: WheelWish) -> Path:
    found = _best(wanted, folder, wish.target)
    if found is None:
        raise BuildError(
            f"There is no wheel of {wanted.name} {wanted.version} for {wish.target.name} in"
            f" {folder} with a hash that requirements/ allows. Put it there, or build without"
            " --wheels."
        )
    return found


def _best(wanted: Locked, folder: Path, target: Target) -> Path | None:
    ranked = [
        (found, file.name, file)
        for file in folder.glob("*.whl")
        if (found := rank(file, wanted.name, wanted.version, target)) is not None
        and file_digest(file) in wanted.hashes
    ]
    return min(ranked)[2] if ranked else None


def _llama(wish: WheelWish) -> Path:
    """The one wheel that no index has: it is compiled, so it has no hash that could be pinned."""
    pin = locked(wish.source / "requirements/llama.txt", wish.target)[0]
    given = [wish.llama] if wish.llama else sorted((wish.given or wish.cache).glob("*.whl"))
    for file in given:
        if file.is_file() and rank(file, pin.name, pin.version, wish.target) is not None:
            return file
    raise BuildError(
        f"A wheel of {LLAMA} {pin.version} for {wish.target.name} is needed:"
        f" {', '.join(str(file) for file in given if file == wish.llama) or 'none was given'}. Build"
        " one as docs/bundle.md says, and name it with --llama-wheel."
    )


def _pin(wheel: Path) -> str:
    name, version = wheel.name.split("-")[:2]
    return f"{name.replace('_', '-').lower()}=={version} --hash=sha256:{file_digest(wheel)}"
