"""Sealed blobs, bound to log and leaf: `front | commitment[32] | AES-GCM ciphertext | tag[16]`.

In front of metadata stand the marks of the blind index, in front of a content about a subject the
bond to the subject's key; of other contents nothing. A record's key is used once, so the nonce is
fixed. The commitment comes from the same derivation as the key: a blob can not be made that opens
to two texts under two keys.
"""

from __future__ import annotations

import hashlib
import hmac
import zlib
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit.errors import SealBrokenError
from audit.index import MARKS_SIZE
from audit.leaf import LeafFlag
from audit.secret import wipe
from audit.subject import ID_SIZE

META: Final = b"m"
CONTENT: Final = b"c"
MAX_CONTENT: Final = 16 * 1024 * 1024  # bytes of JSON, before compression
MAX_SEALED: Final = MAX_CONTENT + 4096  # bytes, with actor and subject

_FLAGS: Final = 5  # where a leaf has them
_NONCE: Final = bytes(12)
_LOG_ID: Final = b"cloister-audit/v2 log"


def log_id(origin: str, first_key: bytes) -> bytes:
    """Name a log by its origin and the raw public key of its first epoch, 32 bytes."""
    return hashlib.sha256(b"\0".join((_LOG_ID, origin.encode(), first_key))).digest()


def seal(
    key: bytearray, plain: bytes, log: bytes, header: bytes, part: bytes, front: bytes = b""
) -> bytes:
    """Seal one blob and wipe its key.

    Args:
        key: key and commitment, 64 bytes.
        plain: what to seal.
        log: the log's id.
        header: the leaf's first 136 bytes.
        part: META or CONTENT.
        front: marks or bond; stands in front of the blob and is bound to it.
    """
    cipher = AESGCM(memoryview(key)[:32])
    bound = log + header + part + front
    blob = front + bytes(key[32:]) + cipher.encrypt(_NONCE, plain, bound)
    wipe(key)
    return blob


def unseal(key: bytearray, blob: bytes, log: bytes, header: bytes, part: bytes) -> bytes:
    """Open one blob; the counterpart of `seal`.

    Raises:
        SealBrokenError: if blob, header and key do not belong together.
    """
    start = MARKS_SIZE if part == META else bond_size(header)
    front, sealed = blob[:start], blob[start:]
    if not hmac.compare_digest(sealed[:32], key[32:]):
        raise SealBrokenError("the blob was not sealed under this record's key")
    try:
        cipher = AESGCM(memoryview(key)[:32])
        return cipher.decrypt(_NONCE, sealed[32:], log + header + part + front)
    except InvalidTag as error:
        raise SealBrokenError("the blob or its leaf was changed") from error


def bond_size(header: bytes) -> int:
    """Bytes in front of a record's content blob; `header` may be the whole leaf."""
    return ID_SIZE if header[_FLAGS] & LeafFlag.SUBJECT_BOUND else 0


def pack_content(text: bytes) -> bytes:
    """Compress a content's JSON before it is sealed."""
    return zlib.compress(text, 1)


def unpack_content(packed: bytes) -> bytes:
    """Undo `pack_content`, with a bound on what may come out.

    Raises:
        SealBrokenError: if it is no complete zlib stream within the bound.
    """
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(packed, MAX_SEALED)
    except zlib.error as error:
        raise SealBrokenError("the opened content is not compressed JSON") from error
    if not stream.eof:
        raise SealBrokenError("the opened content is cut or longer than a content may be")
    return text
