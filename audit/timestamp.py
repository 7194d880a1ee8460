"""Time stamps of an internal authority as words of a witness: RFC 3161 in a signed note.

An authority that stamps a checkpoint's text says that the log stood so at a time. Its answer
becomes a line of the note, as a cosignature is one: the authority's name, then key id and response
in base64 (C2SP signed-note, type 0xff, which the name `rfc3161` follows). What counts is the
authority's own certificate, taken over from outside; nothing is believed for a chain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from audit import der
from audit.cosign import Witness
from audit.errors import DerFormatError, NoteFormatError, NoteSignatureError
from audit.note import is_origin, signature_line, split_note
from audit.rows import LogRows
from audit.secret import random_secret

KIND: Final = b"\xffrfc3161"

_SIGNED_DATA: Final = bytes.fromhex("2a864886f70d010702")
_STAMP: Final = bytes.fromhex("2a864886f70d0109100104")  # id-ct-TSTInfo
_CONTENT_TYPE: Final = bytes.fromhex("2a864886f70d010903")
_DIGEST: Final = bytes.fromhex("2a864886f70d010904")
_SHA256: Final = bytes.fromhex("608648016503040201")
_HASHES: Final[dict[bytes, type[Any]]] = {
    _SHA256: hashes.SHA256,
    bytes.fromhex("608648016503040202"): hashes.SHA384,
    bytes.fromhex("608648016503040203"): hashes.SHA512,
}
_SIZE_BITS: Final = 64  # of the nonce: the log's size; the bits above are random
_ACCEPTED: Final = (0, 1)  # PKIStatus: granted, granted with modifications


@dataclass(frozen=True, slots=True)
class Authority(Witness):
    """A time stamp authority; `public` is its certificate, DER."""

    @property
    def kind(self) -> bytes:
        """What its vkey and key id begin with."""
        return KIND

    @classmethod
    def of_certificate(cls, data: bytes) -> Authority:
        """An authority by its certificate.

        Args:
            data: the certificate, PEM or DER.

        Raises:
            NoteFormatError: if it is none, or not one for time stamps.
        """
        try:
            pem = b"-----BEGIN" in data
            found = x509.load_pem_x509_certificate(data) if pem else _certificate(data)
            usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
            names = found.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
            name = "-".join(str(names[0].value).split())
        except (ValueError, IndexError, x509.ExtensionNotFound) as error:
            raise NoteFormatError(
                "This is not the certificate of a time stamp authority."
            ) from error
        if ExtendedKeyUsageOID.TIME_STAMPING not in usage or not is_origin(name):
            raise NoteFormatError("This certificate is not for time stamps (RFC 3161, 2.3).")
        return cls(name, found.public_bytes(Encoding.DER))

    def _check(self, text: str, stamped: bytes) -> int:
        """When the text was stamped, seconds since 1970.

        Raises:
            NoteSignatureError: if it is no stamp of this authority over this text.
        """
        try:
            stamp = read_stamp(stamped)
            if stamp.imprint != hashlib.sha256(text.encode()).digest():
                raise NoteSignatureError(f"the time stamp of {self.name} is of another checkpoint")
            self._check_signature(stamp)
        except (DerFormatError, ValueError, KeyError) as error:
            raise NoteSignatureError(f"the time stamp of {self.name} is malformed") from error
        except InvalidSignature as error:
            raise NoteSignatureError(f"the time stamp of {self.name} does not match") from error
        return int(stamp.when.timestamp())

    def _check_signature(self, stamp: Stamp) -> None:
        certificate = _certificate(self.public)
        made = certificate.not_valid_before_utc <= stamp.when <= certificate.not_valid_after_utc
        if not made:
            raise NoteSignatureError(f"the certificate of {self.name} was not valid then")
        key, method = certificate.public_key(), stamp.method
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(stamp.signature, stamp.signed, padding.PKCS1v15(), method)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(stamp.signature, stamp.signed, ec.ECDSA(method))
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(stamp.signature, stamp.signed)
        else:
            raise NoteSignatureError(f"the key of {self.name} is of a kind that is not known")


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a response says, before anybody checked who said it.

    Attributes:
        imprint: SHA-256 that was stamped.
        when: the time, UTC.
        nonce: of the query, or None.
        signed: bytes under the signature.
        signature: over them.
        method: hash of the signature.
    """

    imprint: bytes
    when: datetime
    nonce: int | None
    signed: bytes
    signature: bytes
    method: hashes.HashAlgorithm


def make_query(note: str, size: int) -> bytes:
    """A query for a checkpoint's stamp (RFC 3161, 2.4.1), DER.

    Args:
        note: the signed checkpoint; its text is stamped.
        size: records in the log at it; comes back in the nonce.
    """
    text, _ = split_note(note)
    algorithm = der.write(der.SEQUENCE, der.write(der.OID, _SHA256), der.write(der.NULL))
    digest = der.write(der.OCTETS, hashlib.sha256(text.encode()).digest())
    nonce = int.from_bytes(random_secret(8), "big") << _SIZE_BITS | size
    return der.write(
        der.SEQUENCE,
        der.integer(1),
        der.write(der.SEQUENCE, algorithm, digest),
        der.integer(nonce),
        der.write(der.BOOLEAN, b"\xff"),
    )


def with_stamp(rows: LogRows, response: bytes, witnesses: Sequence[Witness]) -> str:
    """The checkpoint that was stamped, with the stamp as a line.

    Args:
        rows: the log's database.
        response: of the authority, DER.
        witnesses: that are known; one of them must be the authority.

    Raises:
        NoteFormatError: if it is no response to a query of this log.
        NoteSignatureError: if no known authority has stamped it.
    """
    try:
        nonce = read_stamp(response).nonce
    except (DerFormatError, ValueError, KeyError) as error:
        raise NoteFormatError(f"This is no time stamp that was granted: {error}.") from error
    note = None if nonce is None else rows.checkpoint(nonce & (1 << _SIZE_BITS) - 1)
    if note is None:
        raise NoteFormatError("This time stamp was not asked for by this log.")
    reasons = []
    for authority in witnesses:
        if isinstance(authority, Authority):
            stamped = note + signature_line(authority.name, authority.key_id + response)
            try:
                authority.seen_at(stamped)
            except NoteSignatureError as error:
                reasons.append(str(error))
                continue
            return stamped
    raise NoteSignatureError(
        f"{'; '.join(reasons) or 'No authority is known'}. Add the one whose stamp this is: "
        "cloister audit witness --add tsa.pem"
    )


def read_stamp(response: bytes) -> Stamp:
    """Read a response (RFC 3161, 2.4.2), and check that its parts belong together.

    Raises:
        DerFormatError, ValueError, KeyError: if they do not, or it says that nothing was stamped.
    """
    status, *rest = der.read(response, der.SEQUENCE).parts(der.SEQUENCE)
    granted = int.from_bytes(status.parts(der.INTEGER)[0].body, "big")
    if granted not in _ACCEPTED or not rest:
        raise DerFormatError(f"the authority refused, status {granted}")
    kind, wrapped = rest[0].parts(der.OID, der.TAGGED)
    if kind.body != _SIGNED_DATA:
        raise DerFormatError("it holds no signed data")
    parts = der.read(wrapped.body, der.SEQUENCE).parts(der.INTEGER, der.SET, der.SEQUENCE)
    inner_kind, inner = parts[2].parts(der.OID, der.TAGGED)
    if inner_kind.body != _STAMP:
        raise DerFormatError("it holds no time stamp")
    info = der.read(inner.body, der.OCTETS).body
    (signer,) = parts[-1].parts(der.SEQUENCE)
    return _stamp(info, signer)


def _stamp(info: bytes, signer: der.Element) -> Stamp:
    _, _, algorithm, attributes, _, signature, *_ = signer.parts(der.INTEGER)
    method = _HASHES[algorithm.parts(der.OID)[0].body]()
    digest = hashes.Hash(method)
    digest.update(info)
    values = {
        name.body: b"".join(part.body for part in value.parts())
        for name, value in (one.parts(der.OID, der.SET) for one in attributes.parts())
    }
    if values[_CONTENT_TYPE] != _STAMP or values[_DIGEST] != digest.finalize():
        raise DerFormatError("what was signed is not what is in it")
    imprint, when, nonce = _facts(info)
    # Signed as a set, whatever its tag is in the message (RFC 5652, 5.4).
    signed = der.write(der.SET, attributes.body)
    return Stamp(imprint, when, nonce, signed, signature.body, method)


def _facts(info: bytes) -> tuple[bytes, datetime, int | None]:
    """Imprint, time and nonce of a TSTInfo."""
    parts = der.read(info, der.SEQUENCE).parts(
        der.INTEGER, der.OID, der.SEQUENCE, der.INTEGER, der.TIME
    )
    algorithm, digest = parts[2].parts(der.SEQUENCE, der.OCTETS)
    if algorithm.parts(der.OID)[0].body != _SHA256:
        raise DerFormatError("it is not over a SHA-256 hash")
    text = parts[4].body.decode("ascii")
    when = datetime.strptime(text.partition(".")[0].rstrip("Z"), "%Y%m%d%H%M%S")
    nonces = [part for part in parts[5:] if part.tag == der.INTEGER]
    nonce = int.from_bytes(nonces[0].body, "big") if nonces else None
    return digest.body, when.replace(tzinfo=UTC), nonce


def _certificate(data: bytes) -> x509.Certificate:
    return x509.load_der_x509_certificate(data)
