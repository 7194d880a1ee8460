"""The first start on a machine: the state tree, its settings file, officers' keys, a model.

Each step looks first, so that an interrupted first run is finished by the next one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from appliance.catalogue.folder import read_catalogue
from appliance.host.errors import ModelFileError, PermissionsError
from appliance.host.preflight import private_folders
from appliance.identity import Accounts, Role
from appliance.settings import Settings
from audit.age import Identity
from audit.officers import GROUPS, Officer, Officers, save_officers
from audit.signer import signer_of

SHIPPED: Final = Path(__file__).resolve().parents[2] / "models"
ADMIN: Final = "admin"
_ACTOR: Final = "cli:first-run"
_NOTICE: Final = (
    "Demo keys of two officers are in {folder}. On a real host they never lie on the appliance: "
    "each officer makes a key on another machine with `cloister-audit keygen`."
)


def make_tree(settings: Settings) -> None:
    """Make the folders that are missing, for their owner only.

    Raises:
        PermissionsError: the state tree can not be made there.
    """
    try:
        for folder in [*private_folders(settings), settings.etc, settings.models]:
            inside = settings.root in folder.parents
            _make_private(folder, settings.root if inside else folder)
    except OSError as error:
        raise PermissionsError(
            f"{error.filename} can not be made: {error.strerror}.",
            "Set CLOISTER_STATE to a folder that this user may write to.",
        ) from error


def fill_tree(settings: Settings, say: Callable[[str], None]) -> None:
    """Give a new tree what it needs to start; `say` prints one line.

    Raises:
        ModelFileError: there is no demo model beside this program to install.
    """
    marker = settings.etc / "appliance.toml"
    if not settings.officers.exists():
        folder = settings.root / "officers"
        make_demo_officers(folder, settings.officers)
        say(_NOTICE.format(folder=folder))
    if not marker.exists():
        if not any(settings.models.glob("*.toml")):
            install_models(SHIPPED, settings.models)
        _write_new(marker, settings_file())


def make_demo_officers(folder: Path, officers_file: Path) -> None:
    """Make one key a group in `folder`, and name both in `officers_file`."""
    _make_private(folder, folder.parent)
    officers = Officers()
    for group in GROUPS:
        identity = Identity.generate()
        recipient = identity.recipient
        name = f"Demo {group} officer"
        _write_new(
            folder / f"{group}.key",
            f"# {name}, group {group}\n# public key: {recipient}\n{identity}\n",
        )
        officers = officers.with_member(group, Officer(name, recipient, str(signer_of(identity))))
    save_officers(officers_file, officers)


def install_models(source: Path, models: Path) -> None:
    """Copy every model of `source`: the weights first, so that a manifest never promises too much.

    Raises:
        ModelFileError: `source` has no model, or a manifest in it is wrong or lacks its file.
    """
    catalogue = read_catalogue(source)
    if not catalogue.manifests or catalogue.faults:
        faults = "; ".join(catalogue.faults.values()) or "there is none"
        raise ModelFileError(
            f"The demo model in {source} can not be installed: {faults}.",
            f"Put a GGUF file and its manifest into {models}, then start again.",
        )
    for manifest in catalogue.manifests.values():
        target = manifest.weights(models)
        _make_private(target.parent, models)
        for file, to in (
            (manifest.weights(source), target),
            (source / f"{manifest.name}.toml", models / f"{manifest.name}.toml"),
        ):
            _copy(file, to)


def first_admin(accounts: Accounts) -> str | None:
    """Make the first administrator where there is no account at all.

    Returns:
        The one-time password, or None where somebody is there already.
    """
    if accounts.list():
        return None
    return accounts.create(ADMIN, [Role.ADMIN, Role.OPERATOR, Role.USER], actor=_ACTOR)


def settings_file() -> str:
    """The text of a new `appliance.toml`: every setting with its meaning, none of them set."""
    lines = [
        "# Settings of this appliance. A line without its # takes effect at the next start.",
        "# The environment wins over this file: CLOISTER_PORT=8081 is the setting port.",
    ]
    for name, field in Settings.model_fields.items():
        if name == "state":
            continue
        default = json.dumps(field.get_default(call_default_factory=False))
        lines += ["", f"# {field.description}", f"# {name} = {default}"]
    return "\n".join(lines) + "\n"


def _make_private(folder: Path, top: Path) -> None:
    """Make a folder and its missing parents; those from `top` down get mode 0700."""
    missing = [folder, *folder.parents]
    for place in reversed([place for place in missing if not place.exists()]):
        inside = place == top or top in place.parents
        place.mkdir(mode=0o700 if inside else 0o755)


def _write_new(file: Path, text: str) -> None:
    _atomically(file, lambda new: new.write_text(text, encoding="utf-8"))


def _copy(source: Path, target: Path) -> None:
    try:
        _atomically(target, lambda new: shutil.copyfile(source, new))
    except FileNotFoundError as error:
        raise ModelFileError(
            f"The demo model's file {error.filename} is missing.", "Restore it from the repository."
        ) from error


def _atomically(file: Path, write: Callable[[Path], object]) -> None:
    new = file.with_name(f".{file.name}.new")
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    write(new)
    new.replace(file)


def keep_log_key(settings: Settings, vkey: str) -> None:
    """Write the log's verifier key down at the first start, as the root of later checks."""
    if not settings.log_vkey.exists():
        _write_new(settings.log_vkey, f"{vkey}\n")


def administrators(accounts: Accounts) -> Sequence[str]:
    """Names of the administrators who can sign in, by name."""
    return [one.name for one in accounts.list() if one.has(Role.ADMIN) and not one.disabled]
