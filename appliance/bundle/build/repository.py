"""A repository of the packages, signed, so that apt on the host checks them in its own way.

What is trusted is the bundle's signature; this key only lets apt work without an exception. It lives
beside the builder's cache, and its public half travels in the bundle.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Final

from appliance.bundle.build.piece import Piece
from appliance.bundle.build.program import run
from appliance.catalogue.digest import file_digest

FOLDER: Final = "debs"
KEY: Final = f"{FOLDER}/cloister-bundle.asc"
_REMEDY: Final = "Install Debian's packages dpkg and gnupg."
_OWNER: Final = "Cloister bundle repository"
_BEGINNING: Final = "20250101T000000!"  # of every key, so that it is older than what it signs


def repository(
    debs: list[Path], architecture: str, created: int, key: Path, work: Path
) -> list[Piece]:
    """The packages with an index and its signature.

    Args:
        debs: package files.
        architecture: as Debian names it.
        created: moment of the signature, seconds since 1970.
        key: OpenPGP secret key; made where there is none.
        work: folder for what is generated.

    Raises:
        ToolError: dpkg-deb or gpg failed.
    """
    folder = work / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    packages = "\n".join(_entry(deb) for deb in sorted(debs, key=lambda deb: deb.name))
    (folder / "Packages").write_text(packages, encoding="utf-8")
    (folder / "Release").write_text(_release(packages, architecture, created), encoding="utf-8")
    if not key.exists():
        _make_key(key)
    _sign(folder, key, created)
    generated = ("InRelease", "Packages", Path(KEY).name)
    pieces = [Piece(f"{FOLDER}/{name}", folder / name) for name in generated]
    return pieces + [Piece(f"{FOLDER}/pool/{deb.name}", deb) for deb in debs]


def fields(deb: Path) -> str:
    """The control fields of a package, as deb-control(5) has them.

    Raises:
        ToolError: it is no package.
    """
    return run(["dpkg-deb", "--field", deb], f"{deb} may be damaged: delete it, then build again.")


def _entry(deb: Path) -> str:
    place = f"Filename: pool/{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {file_digest(deb)}\n"
    return f"{fields(deb)}\n{place}"


def _release(packages: str, architecture: str, created: int) -> str:
    raw = packages.encode()
    when = format_datetime(datetime.fromtimestamp(created, UTC)).replace("+0000", "UTC")
    lines = [
        "Origin: Cloister",
        "Label: Cloister",
        "Suite: bundle",
        "Codename: bundle",
        f"Date: {when}",
        f"Architectures: {architecture}",
        "SHA256:",
        f" {hashlib.sha256(raw).hexdigest()} {len(raw)} Packages",
    ]
    return "\n".join(lines) + "\n"


@contextmanager
def _keys() -> Iterator[list[str]]:
    """gpg with an empty keyring; its agent ends with it."""
    # A short path: the agent's socket has to fit into sun_path (unix(7)).
    with tempfile.TemporaryDirectory(prefix="gpg-", ignore_cleanup_errors=True) as home:
        plain = ["--homedir", home, "--batch", "--quiet", "--no-tty", "--no-auto-check-trustdb"]
        try:
            yield ["gpg", *plain, "--pinentry-mode=loopback", "--passphrase="]
        finally:
            run(["gpgconf", "--homedir", home, "--kill", "all"], _REMEDY)


def _make_key(key: Path) -> None:
    key.parent.mkdir(parents=True, exist_ok=True)
    with _keys() as gpg:
        made = ["--faked-system-time", _BEGINNING, "--quick-generate-key", _OWNER, "ed25519"]
        run([*gpg, *made, "sign", "never"], _REMEDY)
        new = key.with_name(f"{key.name}.new")
        new.unlink(missing_ok=True)
        os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        run([*gpg, "--yes", "--armor", "--output", new, "--export-secret-keys"], _REMEDY)
        new.rename(key)


def _sign(folder: Path, key: Path, created: int) -> None:
    moment = f"{datetime.fromtimestamp(created, UTC):%Y%m%dT%H%M%S}!"
    remedy = f"See that {key} is an OpenPGP secret key without a passphrase. {_REMEDY}"
    with _keys() as gpg:
        run([*gpg, "--import", key], remedy)
        public = ["--armor", "--no-emit-version", "--export-options", "export-minimal", "--export"]
        run([*gpg, "--yes", "--output", folder / Path(KEY).name, *public], remedy)
        sign = ["--faked-system-time", moment, "--digest-algo", "SHA512", "--clearsign"]
        run([*gpg, "--yes", "--output", folder / "InRelease", *sign, folder / "Release"], remedy)
