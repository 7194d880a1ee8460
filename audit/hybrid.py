"""age's hybrid keys, `mlkem768x25519`: ML-KEM-768 beside X25519, through HPKE (RFC 9180).

Who records sealed epochs today opens them with a quantum computer later, unless he also breaks
ML-KEM (FIPS 203). Only one of both has to hold. The construction is X-Wing
(draft-connolly-cfrg-xwing-kem), the file format that of age 1.3: https://age-encryption.org/v1.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from audit.bech32 import bech32_decode, bech32_encode
from audit.errors import AgeFormatError
from audit.secret import random_secret
from audit.stanza import Stanza, arguments_of, base64_of

HYBRID_PREFIX: Final = "age-secret-key-pq-"
HYBRID_RECIPIENT_PREFIX: Final = "age1pq"

_KIND: Final = "mlkem768x25519"
_INFO: Final = b"age-encryption.org/mlkem768x25519"
_SEED: Final = 32  # bytes of an identity
_MLKEM_SEED: Final = 64  # bytes of it, after expansion, that make the ML-KEM key
_MLKEM_KEY: Final = 1184  # bytes of a public key
_X25519_KEY: Final = 32
_ENCAPSULATED: Final = 1120  # bytes: 1088 of ML-KEM, 32 of X25519


class HybridIdentity:
    """A private key of the hybrid type; `str()` gives its `AGE-SECRET-KEY-PQ-1…` line."""

    __slots__ = ("_key", "_mlkem", "_seed", "_x25519")

    def __init__(self, seed: bytes) -> None:
        """Derive both keys.

        Args:
            seed: 32 bytes.

        Raises:
            AgeFormatError: if this `cryptography` has no ML-KEM.
        """
        expand = hashes.XOFHash(hashes.SHAKE256(_MLKEM_SEED + _X25519_KEY))
        expand.update(seed)
        expanded = expand.squeeze(_MLKEM_SEED + _X25519_KEY)
        try:
            self._mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED])
        except UnsupportedAlgorithm as error:
            raise AgeFormatError(
                "This installation of cryptography has no ML-KEM. Use the wheel that its makers "
                "publish, or a key without --post-quantum."
            ) from error
        self._x25519 = X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED:])
        self._key = hpke.MLKEM768X25519PrivateKey(self._mlkem, self._x25519)
        self._seed = seed

    def __str__(self) -> str:
        """The `AGE-SECRET-KEY-PQ-1…` line."""
        return bech32_encode(HYBRID_PREFIX, self._seed).upper()

    def __repr__(self) -> str:
        """The beginning of the public half only, so that no traceback shows the key."""
        return f"HybridIdentity({self.recipient[:30]}…)"

    @classmethod
    def generate(cls) -> HybridIdentity:
        """Make a new key."""
        return cls(bytes(random_secret(_SEED)))

    @classmethod
    def parse(cls, line: str) -> HybridIdentity:
        """Read an `AGE-SECRET-KEY-PQ-1…` line.

        Raises:
            AgeFormatError: if it is not one.
        """
        prefix, raw = bech32_decode(line)
        if prefix != HYBRID_PREFIX or len(raw) != _SEED:
            raise AgeFormatError("This is not an age secret key of type mlkem768x25519.")
        return cls(raw)

    @property
    def secret(self) -> bytes:
        """The seed, 32 bytes, for a page that it can be recovered from."""
        return self._seed

    @property
    def recipient(self) -> str:
        """The public half, `age1pq1…`, about 2,000 characters."""
        public = (
            self._mlkem.public_key().public_bytes_raw()
            + self._x25519.public_key().public_bytes_raw()
        )
        return bech32_encode(HYBRID_RECIPIENT_PREFIX, public)

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """Return the file key if this stanza was made for this identity.

        Raises:
            AgeFormatError: if it is a malformed stanza of this kind.
        """
        found = arguments_of(stanza, _KIND, (_ENCAPSULATED,))
        if found is None:
            return None
        share = X25519PublicKey.from_public_bytes(found[0][-_X25519_KEY:])
        try:
            # HPKE fails alike for a key of low order and for another's stanza; only one is a fault.
            self._x25519.exchange(share)
        except ValueError as error:
            raise AgeFormatError("A recipient of this age file has a key of low order.") from error
        try:
            return _suite().decrypt(found[0] + stanza.body, self._key, info=_INFO)
        except InvalidTag:
            return None


class HybridRecipient:
    """The public half of a hybrid identity."""

    __slots__ = ("_key",)

    def __init__(self, key: hpke.MLKEM768X25519PublicKey) -> None:
        """Wrap both public keys."""
        self._key = key

    @classmethod
    def from_bytes(cls, raw: bytes) -> HybridRecipient:
        """Read what an `age1pq1…` line holds.

        Raises:
            AgeFormatError: if it is no such key.
        """
        if len(raw) != _MLKEM_KEY + _X25519_KEY:
            raise AgeFormatError("This age1pq1… line is cut or too long. Copy it again.")
        try:
            mlkem = MLKEM768PublicKey.from_public_bytes(raw[:_MLKEM_KEY])
            x25519 = X25519PublicKey.from_public_bytes(raw[_MLKEM_KEY:])
        except (ValueError, UnsupportedAlgorithm) as error:
            raise AgeFormatError("This age1pq1… line holds no key of ML-KEM-768.") from error
        return cls(hpke.MLKEM768X25519PublicKey(mlkem, x25519))

    def wrap(self, file_key: bytearray) -> Stanza:
        """Wrap the file key."""
        sealed = _suite().encrypt(file_key, self._key, info=_INFO)
        share = base64_of(sealed[:_ENCAPSULATED]).decode()
        return Stanza((_KIND, share), sealed[_ENCAPSULATED:])


def _suite() -> hpke.Suite:
    return hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
