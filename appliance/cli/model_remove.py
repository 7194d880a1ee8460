"""`cloister model rm`: a model that nobody needs goes, with its weights."""

from __future__ import annotations

import click

from appliance.catalogue.errors import ManifestError
from appliance.catalogue.folder import Catalogue, read_catalogue
from appliance.catalogue.manifest import ModelManifest
from appliance.cli.common import actor, open_log, size
from appliance.engine.admin_client import EngineAdmin
from appliance.importing.errors import InUseError
from appliance.importing.publishing import withdraw
from appliance.importing.quarantine import unfinished
from appliance.settings import Settings
from audit.client import AuditClient, RecordType

_ASK_SECONDS = 10.0


@click.command("rm")
@click.argument("name")
def remove(name: str) -> None:
    """Remove a model and its weights, or what an import that ended early has left of it.

    A model that an alias points at, or that has requests, is not removed.

    \b
    Example:
      cloister model rm letters
    """
    settings = Settings()
    with (
        open_log(settings) as log,
        EngineAdmin(settings.engine_socket, timeout=_ASK_SECONDS) as engine,
    ):
        catalogue = read_catalogue(settings.models)
        _check_no_base(name, catalogue)
        manifest = catalogue.manifests.pop(name, None)
        if manifest is None:
            click.echo(_given_up(name, settings))
            return
        _check_unused(name, engine)
        back = _ways_back(name, engine)
        _record(log, manifest)
        weights = manifest.weights(settings.models)
        freed = weights.stat().st_size if weights.exists() else 0
        deleted = withdraw(manifest, settings.models, catalogue.manifests.values())
        # An import that was cut off at its very end has left a second name of the same weights.
        _empty_quarantine(name, settings)
        engine.models()  # the engine looks into the folder, and ends the model's process
    kept = "" if deleted else "; another model uses the same weights, so they stay"
    click.echo(f"Removed {name} ({size(freed)}){kept}.")
    if back:
        click.echo(f"There is no way back to it any more for: {', '.join(back)}", err=True)


def _given_up(name: str, settings: Settings) -> str:
    """Delete what an import has left; what to say of it."""
    freed = _empty_quarantine(name, settings)
    if freed is None:
        raise ManifestError(f"There is no model {name!r} here; see: cloister model list")
    return f"Deleted what an import of {name} had left ({size(freed)})."


def _empty_quarantine(name: str, settings: Settings) -> int | None:
    """Empty the quarantine of a name; bytes that it had, None where there is none."""
    found = next((one for one in unfinished(settings.quarantine) if one.name == name), None)
    if found is None:
        return None
    with found.held():
        freed = found.size()
        found.empty()
    return freed


def _check_no_base(name: str, catalogue: Catalogue) -> None:
    """Return only if no adapter needs the model.

    Raises:
        InUseError: one does.
    """
    adapters = [one.name for one in catalogue.adapters_of(name)]
    if adapters:
        raise InUseError(
            f"{name!r} is the base of {', '.join(adapters)}. Remove what works on it first:"
            f" cloister model rm {adapters[0]}"
        )


def _check_unused(name: str, engine: EngineAdmin) -> None:
    """Return only if no alias points at the model and nobody asks it.

    Raises:
        InUseError: somebody does.
    """
    aliases = [one["alias"] for one in engine.aliases() if one["model"] == name]
    if aliases:
        raise InUseError(
            f"{', '.join(aliases)} {'point' if len(aliases) > 1 else 'points'} at {name!r}. Point"
            f" {'them' if len(aliases) > 1 else 'it'} at another model first (cloister model"
            f" activate MODEL --alias {aliases[0]}), or: cloister model alias remove {aliases[0]}"
        )
    busy = sum(one.in_use + one.queued for one in engine.models() if one.id == name)
    if busy:
        raise InUseError(f"{name!r} has {busy} requests now. Wait until they have ended.")


def _ways_back(name: str, engine: EngineAdmin) -> list[str]:
    """Aliases that could be rolled back to the model."""
    aliases = engine.aliases()
    return [one["alias"] for one in aliases if name in {each["model"] for each in one["earlier"]}]


def _record(log: AuditClient, manifest: ModelManifest) -> None:
    about = {"model": manifest.name, "model_digest": manifest.sha256}
    log.append(RecordType.ADMIN, actor=actor(), meta={"event": "engine:model:removed"} | about)
