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
from audit.errors import LogFormatError, NoteFormatError, WitnessRefusedError
from audit.keyfile import read_witness_key, witness_key_text
from audit.known import parse_witness
from audit.note import VerifierKey, read_checkpoint
from audit.officers import load_officers, save_officers
from audit.reader import open_rows
from audit.timestamp import Authority, make_query, with_stamp
from audit.witness import Memory, WitnessRequest, judge

_KEY: Final = "witness.key"
_DER: Final = b"\x30"  # how a time stamp begins, and no note


@click.command("witness")
@click.argument(
    "file", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=False
)
@click.option("--add", metavar="VKEY|FILE", help="Take the word of this witness from now on.")
@click.option("--query", type=click.Path(path_type=Path), help="Ask a time stamp authority (.tsq).")
@json_option
def witness(file: Path | None, add: str | None, query: Path | None, as_json: bool) -> None:
    """Take a witness's answer into the log: a signed note, or a time stamp (RFC 3161).

    A new witness is taken into officers.json by its key, or an authority by its certificate.

    \b
    Examples:
      cloister audit witness cosigned.note
      cloister audit witness --add ward-8/witness+8f6840fd+BB…=
      cloister audit witness --add tsa.pem
      cloister audit witness --query checkpoint.tsq
      cloister audit witness checkpoint.tsr
    """
    if [file, add, query].count(None) != 2:
        raise click.UsageError("Give the witness's answer, or --add VKEY, or --query FILE.")
    settings = Settings()
    if query is not None:
        _ask(settings, query)
        return
    with open_log(settings) as log:
        if add is not None:
            _add(settings, log, add)
            return
        found = log.witness(_note(settings, Path(str(file))))
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


def _ask(settings: Settings, query: Path) -> None:
    with open_rows(settings.audit) as rows:
        size, note = rows.last_checkpoint() or (0, "")
        if not size:
            raise LogFormatError("The log has no checkpoint yet.")
    _write_bytes(query, make_query(note, size))
    click.echo(
        f"{query}: {size} records. Have the authority answer it (application/timestamp-query), "
        "then: cloister audit witness FILE.tsr"
    )


def _note(settings: Settings, file: Path) -> str:
    """What the log takes: the note as it is, or the checkpoint that a time stamp is of."""
    data = _read_bytes(file)
    if not data.startswith(_DER):
        return _text(file, data)
    witnesses = load_officers(settings.officers).witnesses
    with open_rows(settings.audit) as rows:
        return with_stamp(rows, data, witnesses)


def _add(settings: Settings, log: AuditClient, vkey: str) -> None:
    if (file := Path(vkey)).is_file():
        known: Witness = Authority.of_certificate(_read_bytes(file))
    else:
        known = parse_witness(vkey)
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
    return _text(path, _read_bytes(path))


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise click.FileError(str(path), str(error.strerror)) from error


def _text(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise click.FileError(str(path), "it is neither text nor a time stamp") from error


def _write(path: Path, text: str) -> None:
    _write_bytes(path, text.encode())


def _write_bytes(path: Path, data: bytes) -> None:
    try:
        with tempfile.NamedTemporaryFile("wb", dir=path.parent, delete=False) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(path)
    except OSError as error:
        raise click.FileError(str(path), str(error.strerror)) from error
