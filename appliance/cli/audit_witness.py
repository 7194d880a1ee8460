"""`cloister audit witness` and `cosign`: words of witnesses come in, and this one gives its own."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.cli.common import actor, json_option, open_log, print_json
from appliance.settings import Settings
from audit.client import AuditClient, RecordType
from audit.cosign import Witness, cosign
from audit.errors import NoteFormatError, WitnessRefusedError
from audit.keyfile import read_witness_key, witness_key_text
from audit.note import VerifierKey, read_checkpoint
from audit.officers import load_officers, save_officers
from audit.witness import Memory, WitnessRequest, judge

_KEY: Final = "witness.key"


@click.command("witness")
@click.argument(
    "file", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=False
)
@click.option("--add", metavar="VKEY", help="Take the word of this witness from now on.")
@json_option
def witness(file: Path | None, add: str | None, as_json: bool) -> None:
    """Take a witness's answer into the log, or a new witness into officers.json.

    \b
    Examples:
      cloister audit witness cosigned.note
      cloister audit witness --add ward-8/witness+8f6840fd+BB…=
    """
    if (file is None) == (add is None):
        raise click.UsageError("Give the witness's answer, or --add VKEY for a new witness.")
    settings = Settings()
    with open_log(settings) as log:
        if add is not None:
            _add(settings, log, add)
            return
        note = _read(Path(str(file)))
        found = log.witness(note)
    if as_json:
        print_json(asdict(found))
    else:
        click.echo(f"Witnessed: {found.witnessed} of {found.size} records.")


@click.command("cosign")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("-o", "output", required=True, type=click.Path(path_type=Path), help="Signed note.")
@click.option(
    "--vkey-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Verifier key of the other log, commissioned; needed the first time.",
)
def cosign_other(file: Path, output: Path, vkey_file: Path | None) -> None:
    """Be a witness for another appliance: check its checkpoint and sign it.

    It must go on from what this appliance has seen of it before. What was seen becomes a record of
    this appliance's own log before the signature leaves. Files go both ways, so two appliances
    can witness each other.

    \b
    Examples:
      cloister audit cosign ward-8.json --vkey-file ward-8.vkey -o ward-8.note
      cloister audit cosign ward-8.json -o ward-8.note
    """
    settings = Settings()
    request = WitnessRequest.parse(_read(file))
    try:
        origin = read_checkpoint(request.checkpoint).origin
    except NoteFormatError as error:
        raise WitnessRefusedError(f"{file} holds no checkpoint: {error}.") from error
    folder = settings.witness
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    place, now = folder / f"{origin.replace('/', '_')}.seen", int(time.time())
    memory = _memory(place, origin, vkey_file)
    seen = judge(request, memory, now)
    me = _myself(settings)
    with open_log(settings) as log:
        facts = {"origin": origin, "size": seen.size, "root": seen.root.hex()}
        meta = {"event": "audit:witness:signed", "source": "cli", **facts}
        log.append(RecordType.ADMIN, actor=actor(), meta=meta)
    # What was signed must never be forgotten, so the memory comes before the signature.
    _write(place, seen.to_json())
    _write(output, cosign(request.checkpoint, me.name, read_witness_key(folder / _KEY), now))
    click.echo(
        f"{output}: signed {seen.size} records of {origin}.\n"
        f"There: cloister audit witness {output}\n"
        f"Once before that, there: cloister audit witness --add {me}"
    )


def _add(settings: Settings, log: AuditClient, vkey: str) -> None:
    known = Witness.parse(vkey)
    officers = load_officers(settings.officers).with_witness(known)
    meta = {"event": "audit:witness:added", "source": "cli", "witness": str(known)}
    log.append(RecordType.ADMIN, actor=actor(), meta=meta)
    save_officers(settings.officers, officers)
    click.echo(f"The word of {known.name} counts from now on.")


def _memory(place: Path, origin: str, vkey_file: Path | None) -> Memory:
    with suppress(FileNotFoundError):
        return Memory.parse(place.read_text(encoding="utf-8"))
    if vkey_file is None:
        raise WitnessRefusedError(
            f"This appliance has not seen the log {origin} before. Give its key with --vkey-file: "
            "the line that was printed when it was commissioned."
        )
    return Memory(VerifierKey.parse(_read(vkey_file)))


def _myself(settings: Settings) -> Witness:
    """This appliance as a witness; its key is made at the first time."""
    path = settings.witness / _KEY
    if not path.exists():
        _write(path, witness_key_text(Ed25519PrivateKey.generate()))
    public = read_witness_key(path).public_key().public_bytes_raw()
    return Witness(f"{settings.appliance_id}/witness", public)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.FileError(str(path), str(error)) from error


def _write(path: Path, text: str) -> None:
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(path)
    except OSError as error:
        raise click.FileError(str(path), str(error.strerror)) from error
