"""Signatures over manifests: OpenSSH's SSHSIG, made and checked by `ssh-keygen` itself.

So that anybody can check a bundle with a program that is on every Linux host, before a line of
ours runs. Format: PROTOCOL.sshsig of OpenSSH.
"""

from __future__ import annotations

import base64
import binascii
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from appliance.bundle.errors import BuildError, SignatureError, ToolError

NAMESPACE: Final = "cloister-bundle@v1"
IDENTITY: Final = "cloister-release"
_GOOD = re.compile(r'^Good "[^"]*" signature for \S+ with (?P<key>.+)$', re.MULTILINE)
_SECONDS: Final = 60  # to check a signature; signing may wait for a person's passphrase
_UNTRUSTED: Final = (
    "The bundle is not signed with a key of {}, or was changed since. Nothing of it was used. Get"
    " bundle and key again, each from its source."
)
_BEGIN, _END = b"-----BEGIN SSH SIGNATURE-----\n", b"-----END SSH SIGNATURE-----\n"
_COLUMNS: Final = 70  # of the armour that ssh-keygen writes


def check_signature(raw: bytes, signature: bytes, signers: Path) -> str:
    """The key that signed, once it is known to be a trusted one.

    Args:
        raw: the manifest's bytes.
        signature: SSHSIG in its armour.
        signers: file of trusted keys, in the format ALLOWED SIGNERS of ssh-keygen(1).

    Raises:
        SignatureError: it is none of theirs, or not over these bytes, or there is no such file.
    """
    if not signers.is_file():
        raise SignatureError(
            f"There is no file of trusted release keys at {signers}. Write the key that you were"
            f" given by another way than the bundle into it, as one line: {IDENTITY} ssh-ed25519"
            " AAAA…"
        )
    if not _is_armour(signature):
        raise SignatureError(_UNTRUSTED.format(signers))
    with tempfile.TemporaryDirectory(prefix="cloister-") as folder:
        file = Path(folder) / "signature"
        file.write_bytes(signature)
        done = _ssh_keygen(
            ["-Y", "verify", "-f", signers, "-I", IDENTITY, "-n", NAMESPACE, "-s", file],
            raw,
            _SECONDS,
        )
    good = _GOOD.search(done.stdout.decode(errors="replace"))
    if done.returncode != 0 or good is None:
        raise SignatureError(_UNTRUSTED.format(signers))
    return good["key"]


def sign(raw: bytes, key: Path) -> bytes:
    """A signature over a manifest.

    Args:
        raw: the manifest's bytes.
        key: private key file, or the public one of a key that ssh-agent holds; a passphrase is
            asked for on the terminal.

    Raises:
        BuildError: the key can not be used.
    """
    with tempfile.TemporaryDirectory(prefix="cloister-") as folder:
        file = Path(folder) / "manifest"
        file.write_bytes(raw)
        done = _ssh_keygen(["-Y", "sign", "-q", "-f", key, "-n", NAMESPACE, file], b"", None)
        if done.returncode != 0:
            why = done.stderr.decode(errors="replace").strip().splitlines()
            raise BuildError(
                f"The key {key} does not sign ({why[-1] if why else 'no reason given'}). Make one"
                " with: ssh-keygen -t ed25519 -f release-key"
            )
        return file.with_name("manifest.sig").read_bytes()


def _is_armour(signature: bytes) -> bool:
    """Whether the armour is the one that ssh-keygen writes; it also reads others."""
    if not (signature.startswith(_BEGIN) and signature.endswith(_END)):
        return False
    body = signature[len(_BEGIN) : -len(_END)]
    try:
        text = base64.b64encode(base64.b64decode(body.replace(b"\n", b""), validate=True))
    except binascii.Error:
        return False
    lines = [text[at : at + _COLUMNS] for at in range(0, len(text), _COLUMNS)]
    return body == b"".join(line + b"\n" for line in lines)


def _ssh_keygen(
    arguments: list[str | Path], given: bytes, seconds: int | None
) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(  # noqa: S603 - fixed program, arguments of ours
            ["ssh-keygen", *arguments],  # noqa: S607 - wherever the system has it
            input=given,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError as error:
        raise ToolError(
            "ssh-keygen is missing. Install Debian's package openssh-client."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ToolError("ssh-keygen did not end. Run the same command again.") from error
