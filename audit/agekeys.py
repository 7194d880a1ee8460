"""Keys of age files: of type X25519, and of the hybrid type that quantum computers do not break."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from audit.bech32 import bech32_decode, bech32_encode
from audit.errors import AgeFormatError
from audit.hybrid import (
    HYBRID_PREFIX,
    HYBRID_RECIPIENT_PREFIX,
    HybridIdentity,
    HybridRecipient,
)
from audit.stanza import (
    Recipient,
    Stanza,
    arguments_of,
    base64_of,
    hkdf,
    unwrap_with,
    wrap_with,
)

_KIND: Final = "X25519"
_PREFIX: Final = "age-secret-key-"
_RECIPIENT_PREFIX: Final = "age"
_WRAP_INFO: Final = b"age-encryption.org/v1/X25519"
_SIZE: Final = 32  # bytes of a key


class Identity:
    """A private key that opens age files; `str()` gives its `AGE-SECRET-KEY-1…` line."""

    __slots__ = ("_key", "_secret")

    def __init__(self, secret: bytes) -> None:
        """Wrap a raw key.

        Args:
            secret: the raw X25519 private key, 32 bytes.
        """
        self._secret = secret
        self._key = X25519PrivateKey.from_private_bytes(secret)

    def __str__(self) -> str:
        """The `AGE-SECRET-KEY-1…` line."""
        return bech32_encode(_PREFIX, self._secret).upper()

    def __repr__(self) -> str:
        """The public half only, so that no traceback shows the key."""
        return f"Identity({self.recipient})"

    @classmethod
    def generate(cls) -> Identity:
        """Make a new key."""
        return cls(X25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, line: str) -> Identity:
        """Read an `AGE-SECRET-KEY-1…` line.

        Raises:
            AgeFormatError: if it is not one.
        """
        prefix, raw = bech32_decode(line)
        if prefix != _PREFIX or len(raw) != _SIZE:
            raise AgeFormatError("This is not an age secret key of type X25519.")
        return cls(raw)

    @property
    def secret(self) -> bytes:
        """The raw key, 32 bytes, for a page that it can be recovered from."""
        return self._secret

    @property
    def recipient(self) -> str:
        """The public half, `age1…`."""
        return bech32_encode(_RECIPIENT_PREFIX, self._key.public_key().public_bytes_raw())

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """Return the file key if this stanza was made for this identity.

        Raises:
            AgeFormatError: if it is a malformed X25519 stanza.
        """
        found = arguments_of(stanza, _KIND, (_SIZE,))
        if found is None:
            return None
        share = found[0]
        try:
            shared = self._key.exchange(X25519PublicKey.from_public_bytes(share))
        except ValueError as error:
            raise AgeFormatError("A recipient of this age file has a key of low order.") from error
        salt = share + self._key.public_key().public_bytes_raw()
        return unwrap_with(hkdf(shared, salt, _WRAP_INFO), stanza.body)


class X25519Recipient:
    """The public half of an identity of type X25519."""

    __slots__ = ("_raw",)

    def __init__(self, raw: bytes) -> None:
        """Wrap a raw public key, 32 bytes."""
        self._raw = raw

    def wrap(self, file_key: bytearray) -> Stanza:
        """Wrap the file key.

        Raises:
            AgeFormatError: if the key is of low order.
        """
        ephemeral = X25519PrivateKey.generate()
        share = ephemeral.public_key().public_bytes_raw()
        try:
            shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(self._raw))
        except ValueError as error:
            raise AgeFormatError("A recipient's key is of low order; make a new one.") from error
        key = hkdf(shared, share + self._raw, _WRAP_INFO)
        return Stanza((_KIND, base64_of(share).decode()), wrap_with(key, file_key))


def parse_recipient(text: str) -> Recipient:
    """Read an `age1…` or `age1pq1…` line.

    Raises:
        AgeFormatError: if it is neither.
    """
    prefix, raw = bech32_decode(text)
    if prefix == HYBRID_RECIPIENT_PREFIX:
        return HybridRecipient.from_bytes(raw)
    if prefix != _RECIPIENT_PREFIX or len(raw) != _SIZE:
        raise AgeFormatError(
            f"{text[:20]}… is not an age recipient of type X25519 (age1…) or "
            "mlkem768x25519 (age1pq1…)."
        )
    return X25519Recipient(raw)


def parse_identity(line: str) -> Identity | HybridIdentity:
    """Read a line of a key file, `AGE-SECRET-KEY-1…` or `AGE-SECRET-KEY-PQ-1…`.

    Raises:
        AgeFormatError: if it is neither.
    """
    if line.lower().startswith(HYBRID_PREFIX + "1"):
        return HybridIdentity.parse(line)
    return Identity.parse(line)


def resists_quantum(recipient: str) -> bool:
    """Whether what is sealed to this recipient alone stays shut to a quantum computer."""
    return recipient.startswith(HYBRID_RECIPIENT_PREFIX + "1")
