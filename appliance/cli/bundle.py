"""`cloister bundle`: everything that a host without a network is installed from, in one file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from appliance.bundle.installed import Installed, check_follows, read_installed
from appliance.bundle.manifest import Manifest
from appliance.bundle.targets import TARGETS, check_target
from appliance.bundle.unpack import unpack
from appliance.bundle.verify import Opened, opened, read_all
from appliance.cli.bundle_build import build_bundle
from appliance.cli.common import json_option, print_json, print_list, size, words
from appliance.cli.telling import TerminalTeller
from appliance.settings import Settings

_BUNDLE = click.argument("bundle", type=click.Path(path_type=Path))
_COLUMNS: Mapping[str, Callable[[Any], str]] = {
    "path": str,
    "size": size,
    "mode": str,
    "held": words,
    "sha256": str,
}
_SIGNERS = click.option(
    "--signers",
    type=click.Path(path_type=Path),
    help="Trusted release keys; without it, etc/cloister/release-signers of the state tree.",
)
_TARGET = click.option("--target", type=click.Choice(list(TARGETS)), help="Refuse it for another.")
_INSTALLED = click.option(
    "--installed",
    type=click.Path(path_type=Path),
    help="Folder of the release that runs: refuse an older bundle, find what a delta leaves out.",
)


@click.group("bundle")
def command() -> None:
    """Bundles: build, verify, inspect, unpack."""


command.add_command(build_bundle)


@command.command("verify")
@_BUNDLE
@_SIGNERS
@_TARGET
@_INSTALLED
@json_option
def verify_bundle(
    bundle: Path, signers: Path | None, target: str | None, installed: Path | None, as_json: bool
) -> None:
    """Check signature, manifest and every byte of a bundle. Writes nothing.

    Of a split bundle name any part; all parts lie in one folder.

    \b
    Examples:
      cloister bundle verify cloister-0.1.0.tar --signers release-signers
      cloister bundle verify /media/usb/cloister-0.1.0.tar.001 --installed /opt/cloister/current
    """
    with opened(bundle, _signers(signers)) as found:
        if target is not None:
            check_target(found.manifest.target, target)
        if installed is not None:
            check_follows(found.manifest, read_installed(installed))
        read_all(found, TerminalTeller(), "Checking every byte")
        facts = _facts(found)
    if as_json:
        print_json(facts)
        return
    click.echo(f"Good: {found.manifest.title}, {facts['files']} files, {size(facts['bytes'])}.")
    click.echo(f"Signed with {found.signer}.")
    if facts["left_out"]:
        click.echo(f"A delta: {facts['left_out']} files come from the release that is installed.")


@command.command("inspect")
@_BUNDLE
@click.option("--files", "list_files", is_flag=True, help="List every file.")
@json_option
def inspect_bundle(bundle: Path, list_files: bool, as_json: bool) -> None:
    """Say what a bundle claims to be. Quick, and trusts it with nothing: see `verify`.

    \b
    Examples:
      cloister bundle inspect cloister-0.1.0.tar
      cloister bundle inspect cloister-0.1.0.tar --files --json
    """
    with opened(bundle, None) as found:
        facts, manifest = _facts(found), found.manifest
    listed = [entry.model_dump() for entry in manifest.files]
    if as_json:
        print_json(facts | ({"listed": listed} if list_files else {}))
        return
    for name, value in facts.items():
        if name != "signer":
            click.echo(f"{name.replace('_', ' ') + ':':<22} {_plain(name, value)}")
    click.echo(f"{'signature:':<22} not checked; run: cloister bundle verify {bundle}")
    if list_files:
        click.echo()
        print_list(listed, _COLUMNS, as_json=False)


@command.command("unpack")
@_BUNDLE
@click.argument("folder", type=click.Path(path_type=Path))
@_SIGNERS
@_TARGET
@_INSTALLED
def unpack_bundle(
    bundle: Path, folder: Path, signers: Path | None, target: str | None, installed: Path | None
) -> None:
    """Check a bundle wholly, then unpack it into a new folder, which comes whole or not at all.

    Refused before anything is written: a bundle for another system, one older than the release
    that runs, one that needs more than this machine has. --target names the system instead of
    looking which one this is.

    \b
    Examples:
      cloister bundle unpack cloister-0.1.0.tar /opt/cloister/releases/100000
      cloister bundle unpack delta.tar /tmp/next --installed /opt/cloister/current
    """
    os.umask(0o022)
    release = _installed(installed)
    folder = folder.absolute()
    manifest = unpack(bundle, _signers(signers), folder, release, target, TerminalTeller())
    click.echo(f"Unpacked {manifest.title} into {folder}.")


def _signers(given: Path | None) -> Path:
    return given or Settings().etc / "release-signers"


def _installed(folder: Path | None) -> Installed | None:
    return None if folder is None else read_installed(folder)


def _facts(found: Opened) -> dict[str, Any]:
    manifest = found.manifest
    return {
        "version": manifest.version,
        "release_counter": manifest.counter,
        "target": manifest.target,
        "created": datetime.fromtimestamp(manifest.created, UTC),
        "files": len(manifest.files),
        "bytes": found.length,
        "packages": _count(manifest, "debs/pool/"),
        "wheels": _count(manifest, "wheels/", ".whl"),
        "models": _count(manifest, "models/", ".gguf"),
        "left_out": len(manifest.files) - len(manifest.carried),
        "follows_on": manifest.requires.counter,
        "needs_disk_mib": manifest.requires.disk_mib,
        "needs_memory_mib": manifest.requires.memory_mib,
        "needs_processor": manifest.requires.processor,
        "manifest_sha256": found.digest,
        "signer": found.signer,
    }


def _count(manifest: Manifest, beginning: str, end: str = "") -> int:
    return sum(e.path.startswith(beginning) and e.path.endswith(end) for e in manifest.files)


def _plain(name: str, value: object) -> str:
    return size(value) if name == "bytes" and isinstance(value, int) else words(value)
