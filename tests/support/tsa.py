"""A real time stamp authority (RFC 3161), made with openssl."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_CONFIG = """
[req]
distinguished_name = name
x509_extensions = tsa
prompt = no
[name]
CN = {name}
[tsa]
extendedKeyUsage = critical,{usage}
[ts]
default_tsa = authority
[authority]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/tsa.pem
certs = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
ess_cert_id_alg = sha256
"""
_KEYS = {
    "rsa": ["rsa:2048"],
    "ec": ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
}


@dataclass(frozen=True)
class TimeStampAuthority:
    """The folder of an authority."""

    folder: Path

    @classmethod
    def make(
        cls, folder: Path, kind: str = "rsa", name: str = "ward time", usage: str = "timeStamping"
    ) -> TimeStampAuthority:
        """Make one with a certificate of its own, which any verifier takes for its root."""
        folder.mkdir()
        (folder / "conf").write_text(_CONFIG.format(folder=folder, name=name, usage=usage))
        _openssl(
            "req", "-x509", "-config", folder / "conf", "-nodes", "-days", "2",
            "-newkey", *_KEYS[kind], "-keyout", folder / "tsa.key", "-out", folder / "tsa.pem",
        )  # fmt: skip
        return cls(folder)

    @property
    def certificate(self) -> Path:
        """Its certificate, PEM."""
        return self.folder / "tsa.pem"

    def answer(self, query: Path, response: Path) -> None:
        """Answer a query, as its web service would."""
        _openssl(
            "ts", "-reply", "-config", self.folder / "conf", "-section", "authority",
            "-queryfile", query, "-out", response,
        )  # fmt: skip

    def check(self, query: Path, response: Path) -> str:
        """What `openssl ts -verify` says of an answer to a query."""
        return _openssl(
            "ts", "-verify", "-queryfile", query, "-in", response, "-CAfile", self.certificate
        )

    def check_data(self, data: Path, response: Path) -> str:
        """What `openssl ts -verify` says of an answer about a file."""
        return _openssl(
            "ts", "-verify", "-data", data, "-in", response, "-CAfile", self.certificate
        )


def _openssl(*arguments: str | Path) -> str:
    done = subprocess.run(
        ["openssl", *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
