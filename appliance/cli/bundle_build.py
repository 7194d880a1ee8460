"""`cloister bundle build`, on a machine that reaches a Debian mirror and a Python index."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, time
from pathlib import Path

import click

import appliance
from appliance.bundle.build.make import Built, Wish, build
from appliance.bundle.targets import TARGETS
from appliance.cli.common import json_option, print_json, size
from appliance.cli.telling import TerminalTeller
from appliance.host.preflight import RELEASED

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
_SIZE = re.compile(r"(?P<number>[1-9]\d{0,5})(?P<unit>[KMG])")
_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3}
_SMALLEST_PART = 1024**2


@click.command("build")
@click.option("--target", required=True, type=click.Choice(list(TARGETS)), help="System of hosts.")
@click.option("--model", "models", multiple=True, metavar="NAME=FILE", help="A GGUF to carry.")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="File to write.")
@click.option("--key", required=True, type=_FILE, help="SSH key that signs; Ed25519 repeats.")
@click.option("--counter", type=click.IntRange(1), help="Release counter; else of the version.")
@click.option("--split", metavar="SIZE", help="Write parts of so many bytes, as 4G or 700M.")
@click.option("--since", type=click.Path(path_type=Path), help="Leave out what this bundle has.")
@click.option("--llama-wheel", type=_FILE, help="Compiled wheel of llama-cpp-python.")
@click.option("--same-processor", is_flag=True, help="Hosts can all that this processor can.")
@click.option("--libffi", required=True, type=_FILE, help="libffi.so.8 with static trampolines.")
@click.option("--debs", type=_FOLDER, help="Take packages from here; no mirror is asked.")
@click.option("--sources", type=_FILE, help="Mirrors (deb822) instead of this machine's own.")
@click.option("--wheels", type=_FOLDER, help="Take wheels from here; no index is asked.")
@click.option("--repository-key", type=_FILE, help="OpenPGP key of the packages' index.")
@click.option("--source", type=_FOLDER, help="Checkout of Cloister; else the one that runs this.")
@click.option("--cache", type=click.Path(path_type=Path), help="Folder of what was fetched.")
@json_option
def build_bundle(
    target: str,
    models: tuple[str, ...],
    out: Path,
    key: Path,
    counter: int | None,
    split: str | None,
    since: Path | None,
    llama_wheel: Path | None,
    same_processor: bool,
    libffi: Path,
    debs: Path | None,
    sources: Path | None,
    wheels: Path | None,
    repository_key: Path | None,
    source: Path | None,
    cache: Path | None,
    as_json: bool,
) -> None:
    """Make a bundle: packages, wheels, models, playbooks, a bill of materials, and a signature.

    Interrupted, the same command goes on. Equal inputs give equal bytes: build again with --debs
    and --wheels from an unpacked bundle, and compare.

    \b
    Examples:
      cloister bundle build --target debian13-amd64 --key release-key --llama-wheel llama.whl \\
          --libffi libffi.so.8 --model letters=mistral-7b.Q4_K_M.gguf -o cloister-0.1.0.tar
      cloister bundle build --target debian13-amd64 --key release-key --llama-wheel llama.whl \\
          --libffi libffi.so.8 --since cloister-0.1.0.tar --counter 100001 -o delta.tar
    """
    wish = Wish(
        target=TARGETS[target],
        out=out.absolute(),
        key=key,
        counter=counter or _counter(appliance.__version__),
        created=_created(),
        models=tuple(_model(text) for text in models),
        part_size=0 if split is None else _part_size(split),
        since=since,
        source=source or Path(appliance.__file__).parents[1],
        cache=(cache or _default_cache()).absolute(),
        debs=debs,
        sources=sources,
        wheels=wheels,
        llama=llama_wheel,
        same_processor=same_processor,
        libffi=libffi,
        repository_key=repository_key,
    )
    _tell(build(wish, TerminalTeller()), key, as_json=as_json)


def _counter(version: str) -> int:
    """Rises with the version, and leaves room for 99 bundles of each."""
    major, minor, patch = (int(part) for part in version.split("."))
    return (major * 1_000_000 + minor * 1_000 + patch) * 100


def _created() -> int:
    """SOURCE_DATE_EPOCH, as reproducible-builds.org has it, or the day of this release."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if given and not re.fullmatch(r"\d{1,10}", given):
        raise click.UsageError("SOURCE_DATE_EPOCH: seconds since 1970, as `date +%s` prints them.")
    return int(given) if given else int(datetime.combine(RELEASED, time(), UTC).timestamp())


def _default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cloister/bundle"


def _model(text: str) -> tuple[str, Path]:
    name, given, file = text.partition("=")
    if not given:
        raise click.BadParameter(f"{text!r}: give NAME=FILE.", param_hint="--model")
    return name, Path(file)


def _part_size(text: str) -> int:
    found = _SIZE.fullmatch(text)
    size_bytes = int(found["number"]) * _UNITS[found["unit"]] if found else 0
    if size_bytes < _SMALLEST_PART:
        raise click.BadParameter(
            f"{text!r}: a number of at least a mebibyte with K, M or G behind it, as 4G.",
            param_hint="--split",
        )
    # FAT holds files of 4 GiB less one byte.
    return size_bytes - 512 if size_bytes == _UNITS["G"] * 4 else size_bytes


def _tell(built: Built, key: Path, *, as_json: bool) -> None:
    manifest, written = built.manifest, sum(file.stat().st_size for file in built.files)
    if as_json:
        facts = manifest.model_dump(exclude={"files"})
        listed = [str(file) for file in built.files]
        print_json(facts | {"files": len(manifest.files), "bytes": written, "written": listed})
        return
    click.echo(f"Built {manifest.title}: {len(manifest.files)} files, {size(written)}.")
    for file in built.files:
        click.echo(f"  {file}")
    click.echo(
        f"Next: give its receiver the public key ({key.name.removesuffix('.pub')}.pub) by another"
        " way than the bundle, and have the bundle checked there: docs/bundle.md."
    )
