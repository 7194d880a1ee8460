"""`cloister model import`: a model from a disk that somebody carried in."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from appliance.catalogue.room import available_memory
from appliance.cli.common import actor, json_option, open_log, print_json, size
from appliance.cli.telling import TerminalTeller
from appliance.engine.admin_client import EngineAdmin
from appliance.engine.budget import fits
from appliance.host.programs import engine_options
from appliance.importing.adapters import bring_adapter
from appliance.importing.bringing import bring_in
from appliance.importing.errors import ImportingError
from appliance.importing.quantising import TYPES
from appliance.importing.terms import Imported, Place, Wish
from appliance.settings import Settings
from audit.client import AuditClient, RecordType

_ASK_SECONDS = 10.0
# llama.cpp's threads wait for each other: whoever takes the processor from one of them stops all.
_NICE = 10


@click.command("import")
@click.argument("path", metavar="FILE|FOLDER", type=click.Path(path_type=Path))
@click.option("--name", help="What requests will call it; without it, the file's name.")
@click.option("--known", metavar="MODEL", help="The known model that it is or derives from.")
@click.option("--quantise", type=click.Choice(list(TYPES)), help="Write the weights smaller.")
@click.option("--base", metavar="MODEL", help="The file is a LoRA adapter of this model.")
@json_option
def import_model(
    path: Path,
    name: str | None,
    known: str | None,
    quantise: str | None,
    base: str | None,
    as_json: bool,
) -> None:
    """Bring a model in: a GGUF file, any part of a split one, or the folder that it lies in.

    A Hugging Face folder (config.json, *.safetensors, tokenizer) is converted, where this machine
    has llama.cpp's converter (setting converter).

    With --base it is a LoRA adapter in GGUF. It gets a name of its own, by which its base answers
    with it; nothing is loaded twice.

    It is copied into quarantine, checked, tried out in a process of its own, and then listed. It
    answers nobody before `cloister model activate`. If the copy is interrupted, the same command
    goes on where it stood.

    \b
    Examples:
      cloister model import /media/usb/mistral-7b-instruct-v0.2.Q4_K_M.gguf
      cloister model import /media/usb/mistral --name letters --json
      cloister model import /media/usb/model-f16.gguf --quantise Q4_K_M
      cloister model import /media/usb/letters-lora.gguf --base cloister-demo --name letters
    """
    if base is not None and (known or quantise):
        raise click.UsageError("An adapter takes neither --known nor --quantise.")
    settings = Settings()
    os.nice(_NICE)
    began = time.monotonic()
    with (
        open_log(settings) as log,
        EngineAdmin(settings.engine_socket, timeout=_ASK_SECONDS) as engine,
    ):
        place = _place(settings, engine)
        wish, teller = Wish(path, name, known, quantise), _Teller(log)
        if base is None:
            imported = bring_in(wish, place, teller)
        else:
            imported = bring_adapter(wish, base, place, teller)
        free = place.free()
    _tell(imported, free, time.monotonic() - began, as_json=as_json)


def _place(settings: Settings, engine: EngineAdmin) -> Place:
    return Place(
        models=settings.models,
        quarantine=settings.quarantine,
        run=settings.run,
        log=settings.logs / "import.log",
        spare_mib=settings.disk_minimum_mib,
        options=engine_options(settings),
        free=lambda: _free(engine),
        aliases=frozenset(one["alias"] for one in engine.aliases()),
        converter=Path(settings.converter) if settings.converter else None,
    )


def _free(engine: EngineAdmin) -> int:
    """Memory for one more model: mapped weights of loaded ones are only free to the kernel."""
    loaded = [one for one in engine.models() if one.memory_bytes]
    mapped = sum(int(one.body["cloister"]["weights_bytes"]) for one in loaded)
    return max(0, available_memory() - mapped)


class _Teller(TerminalTeller):
    """Says on standard error how it goes, and records what happened."""

    def __init__(self, log: AuditClient) -> None:
        """Nothing is under way."""
        super().__init__()
        self._log = log

    @contextmanager
    def publishing(self, imported: Imported) -> Iterator[None]:
        """Record the import before the model is listed; and that it failed, where it does."""
        manifest = imported.manifest
        about = {
            "model": manifest.name,
            "model_digest": manifest.sha256,
            "base": manifest.base,
            "bytes": imported.size,
            "files": [Path(stamp.file).name for stamp in imported.source.stamps],
            "known": imported.known,
        }
        receipt = self._record("imported", about)
        try:
            yield
        except ImportingError as error:
            why = {"instead_of": receipt, "reason": type(error).__name__}
            self._record("not-imported", about | why)
            raise

    def refused(self, name: str, sha256: str, reason: str) -> None:
        """Record that a file was refused."""
        self._record("refused", {"model": name, "model_digest": sha256, "reason": reason})

    def kept(self, folder: Path, size_bytes: int) -> None:
        """Say what is left, and how to go on or give up."""
        click.echo(
            f"{size(size_bytes)} wait in {folder}; the same command goes on from there. To give the"
            f" import up: cloister model rm {folder.name}",
            err=True,
        )

    def _record(self, what: str, about: dict[str, Any]) -> str:
        meta = {"event": f"engine:model:{what}"} | about
        return self._log.append(RecordType.ADMIN, actor=actor(), meta=meta).event


def _tell(imported: Imported, free: int, seconds: float, *, as_json: bool) -> None:
    manifest, plan = imported.manifest, imported.plan
    room = fits(plan, free)
    if as_json:
        shown = manifest.model_dump(mode="json", exclude={"template", "infill"})
        memory = {"needed": plan.needed, "available": free, "fits": room}
        more = {"known": imported.known, "bytes": imported.size, "state": "imported"}
        print_json(shown | more | {"memory": memory, "seconds": round(seconds, 1)})
        return
    what = f"it is {imported.known}" if imported.known else "Cloister does not know it"
    what = f"an adapter of {manifest.base}" if manifest.base else what
    click.echo(f"Imported {manifest.title} ({size(imported.size)}, {what}).")
    click.echo(f"SHA-256 {manifest.sha256}")
    told = "it fits" if room else "it does not fit now: stop another, or lower engine_context"
    when = "beside its base" if manifest.base else "when it is served"
    click.echo(f"Memory {when}: {size(plan.needed)}, {size(free)} are free; {told}.")
    if manifest.notice:
        click.echo(f"Note: {manifest.notice}")
    click.echo("It answers nobody yet. Next, point the name that applications ask for at it:")
    click.echo(f"  cloister model activate {manifest.name} --alias NAME")
    click.echo(manifest.name)
