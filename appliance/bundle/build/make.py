"""Build a bundle: gather, list, sign, write."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Final
from zipfile import ZipFile

from appliance import __version__
from appliance.bundle.build.apt import Apt
from appliance.bundle.build.models import model_pieces
from appliance.bundle.build.piece import Piece, folder_pieces
from appliance.bundle.build.repository import repository
from appliance.bundle.build.sbom import NAME as SBOM
from appliance.bundle.build.sbom import bill
from appliance.bundle.build.wheels import Wheels, WheelWish, gather
from appliance.bundle.build.writing import Content, write
from appliance.bundle.errors import BuildError
from appliance.bundle.limits import LIMITS
from appliance.bundle.manifest import FORMAT, Base, FileEntry, Manifest, Requirements, encode
from appliance.bundle.signing import sign
from appliance.bundle.targets import Target, elf_machine, processor_flags
from appliance.bundle.telling import Teller
from appliance.bundle.verify import opened
from appliance.catalogue.digest import file_digest

LIBFFI: Final = "lib/libffi.so.8"
_MIB: Final = 1024 * 1024
_SYSTEM_MIB: Final = 1024  # memory of everything but the models
# What llama.cpp's compiler may have used of a processor; of the rest of the flags it knows nothing.
_USED: Final = re.compile(r"avx|fma$|f16c$|bmi|sse4|ssse3|asimd|sve|i8mm|bf16|fphp")
_VARIANT: Final = re.compile(r"/libggml-cpu-[a-z0-9_.]+\.so$")


@dataclass(frozen=True)
class Wish:
    """What somebody wants in a bundle.

    Args:
        target: system that it is for.
        out: its file.
        key: that signs it.
        counter: release counter.
        created: its moment, seconds since 1970.
        models: names, and GGUF files; none stands for the demo model.
        part_size: bytes of each part; 0 for one file.
        since: the bundle that a delta builds upon; or None.
        source: a checkout of Cloister.
        cache: folder of what was fetched.
        debs: folder of packages to take instead of a mirror's; or None.
        sources: deb822 file instead of this machine's mirrors; or None.
        wheels: folder of wheels to take instead of an index's; or None.
        llama: wheel of llama-cpp-python; None where `wheels` has it.
        same_processor: the target's processor can all that this machine's can.
        libffi: libffi.so.8 with static trampolines.
        repository_key: OpenPGP key of the packages' index; None for the one in the cache.
    """

    target: Target
    out: Path
    key: Path
    counter: int
    created: int
    models: tuple[tuple[str, Path], ...]
    part_size: int
    since: Path | None
    source: Path
    cache: Path
    debs: Path | None
    sources: Path | None
    wheels: Path | None
    llama: Path | None
    same_processor: bool
    libffi: Path
    repository_key: Path | None


@dataclass(frozen=True)
class Built:
    """A bundle that was made.

    Args:
        manifest: what it says.
        files: that it is in.
    """

    manifest: Manifest
    files: list[Path]


def build(wish: Wish, teller: Teller) -> Built:
    """Make a bundle.

    Args:
        wish: what is wanted in it.
        teller: watches.

    Raises:
        BundleError: it can not be made; its class says why.
        CatalogueError: a model can not be served.
    """
    _check(wish)
    work = wish.cache / wish.target.name
    with _alone(work):
        pieces, floor = _gather(wish, work, teller)
        base = None if wish.since is None else _base(wish.since)
        manifest = _manifest(wish, _entries(pieces, base, teller), floor, base)
        raw = encode(manifest)
        with teller.step("Signing"):
            signature = sign(raw, wish.key)
        sources = {piece.path: piece.source for piece in pieces}
        content = Content(manifest, raw, signature, sources)
        return Built(manifest, write(content, wish.out, wish.part_size, teller))


def _check(wish: Wish) -> None:
    """What would else be found out only after everything was fetched."""
    if not (wish.source / "requirements/runtime.txt").is_file():
        raise BuildError(
            f"{wish.source} is no checkout of Cloister. Build in one, or name one with --source."
        )
    if not wish.key.is_file():
        raise BuildError(
            f"There is no key {wish.key}. Make one with: ssh-keygen -t ed25519 -f {wish.key}"
        )
    if elf_machine(wish.libffi) != wish.target.machine:
        raise BuildError(
            f"{wish.libffi} is no library for {wish.target.name}. Build libffi as docs/bundle.md says,"
            " and name its libffi.so.8 with --libffi."
        )


@contextmanager
def _alone(work: Path) -> Iterator[None]:
    """Two builds in one cache would write the same files."""
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as lock:
        try:
            flock(lock, LOCK_EX | LOCK_NB)
        except BlockingIOError as error:
            raise BuildError(
                f"Another build works in {work}. Wait for it, or name another folder with --cache."
            ) from error
        yield


@dataclass(frozen=True)
class _Floor:
    """What the contents ask of a machine."""

    memory_mib: int
    processor: list[str]


def _gather(wish: Wish, work: Path, teller: Teller) -> tuple[list[Piece], _Floor]:
    models, manifests = model_pieces(wish.models, wish.source, work, teller)
    wheels = gather(_wheel_wish(wish, work), work, teller)
    processor = _processor(wheels, wish)
    debs = _debs(wish, work, teller)
    key = wish.repository_key or wish.cache / "repository-key.asc"
    with teller.step("Indexing the packages"):
        packages = repository(debs, wish.target.architecture, wish.created, key, work)
        listed = [*wheels.runtime, *wheels.ansible]
        text = bill(__version__, wish.created, debs, sorted(set(listed)), manifests)
    (work / SBOM).write_bytes(text)
    pieces = [*packages, *wheels.pieces(work), *models, Piece(SBOM, work / SBOM)]
    pieces += [_placed(piece) for piece in folder_pieces(wish.source / "playbooks", "playbooks")]
    pieces.append(Piece(LIBFFI, wish.libffi, "0755"))
    largest = max(p.source.stat().st_size for p in models)
    return pieces, _Floor(_SYSTEM_MIB + -(-largest // _MIB), processor)


def _placed(piece: Piece) -> Piece:
    """What a person starts lies at the top."""
    return replace(piece, path="install") if piece.path == "playbooks/install" else piece


def _wheel_wish(wish: Wish, work: Path) -> WheelWish:
    cache = work / "fetched-wheels"
    return WheelWish(wish.source, wish.target, cache, wish.wheels, wish.llama)


def _debs(wish: Wish, work: Path, teller: Teller) -> list[Path]:
    if wish.debs is not None:
        found = sorted(wish.debs.glob("*.deb"))
        if not found:
            raise BuildError(f"{wish.debs} has no packages (*.deb).")
        return found
    listed = (wish.source / "requirements/debian-host.txt").read_text(encoding="utf-8").splitlines()
    names = [line for line in listed if line and not line.startswith("#")]
    return Apt(work / "apt", wish.target).fetch(names, wish.sources, teller)


def _processor(wheels: Wheels, wish: Wish) -> list[str]:
    """Flags without which llama.cpp would end with an unknown instruction."""
    with ZipFile(wheels.llama) as wheel:
        if any(_VARIANT.search(name) for name in wheel.namelist()):
            return []
    if not wish.same_processor:
        raise BuildError(
            f"{wheels.llama.name} holds llama.cpp for one kind of processor. Build it with variants"
            " for all (docs/bundle.md), or say --same-processor: then the bundle asks the host for"
            " every instruction that this machine has."
        )
    return sorted(flag for flag in processor_flags() if _USED.match(flag))


def _base(since: Path) -> tuple[Base, frozenset[tuple[str, int]]]:
    with opened(since, None) as old:
        held = frozenset((entry.sha256, entry.size) for entry in old.manifest.files)
        return Base(counter=old.manifest.counter, manifest=old.digest), held


def _entries(
    pieces: Iterable[Piece],
    base: tuple[Base, frozenset[tuple[str, int]]] | None,
    teller: Teller,
) -> list[FileEntry]:
    """Every file with its digest, in the order of the manifest."""
    ordered = sorted(pieces, key=lambda piece: piece.path.split("/"))
    held = frozenset() if base is None else base[1]
    found = []
    with teller.bar(
        "Reading every file", sum(one.source.stat().st_size for one in ordered)
    ) as progress:
        for piece in ordered:
            digest, size = file_digest(piece.source, progress), piece.source.stat().st_size
            found.append(_entry(piece, size, digest, held=(digest, size) in held))
    return found


def _entry(piece: Piece, size: int, digest: str, *, held: bool) -> FileEntry:
    if len(piece.path) > LIMITS.path:
        raise BuildError(f"{piece.path} is too long a name: at most {LIMITS.path} characters.")
    return FileEntry(path=piece.path, size=size, mode=piece.mode, sha256=digest, held=held)


def _manifest(
    wish: Wish,
    entries: list[FileEntry],
    floor: _Floor,
    base: tuple[Base, frozenset[tuple[str, int]]] | None,
) -> Manifest:
    if base is not None and wish.counter <= base[0].counter:
        raise BuildError(
            f"A delta on release counter {base[0].counter} needs a higher one than {wish.counter}:"
            " name it with --counter."
        )
    total = sum(entry.size for entry in entries)
    requires = Requirements(
        counter=0 if base is None else base[0].counter,
        # Unpacked once, and once more while it is installed from.
        disk_mib=2 * -(-total // _MIB),
        memory_mib=floor.memory_mib,
        processor=floor.processor,
    )
    return Manifest(
        format=FORMAT,
        name="cloister",
        version=__version__,
        counter=wish.counter,
        created=wish.created,
        target=wish.target.name,
        requires=requires,
        base=None if base is None else base[0],
        files=entries,
    )
