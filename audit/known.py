"""Witnesses by their vkeys: those who cosign, and authorities that stamp."""

from __future__ import annotations

from typing import Final

from audit.cosign import BAD_VKEY, TYPE, Witness, split_vkey
from audit.errors import NoteFormatError
from audit.timestamp import KIND, Authority

_ED25519: Final = 32  # bytes of a key


def parse_witness(vkey: str) -> Witness:
    """Read a witness's vkey.

    Raises:
        NoteFormatError: if it is none.
    """
    name, identifier, raw = split_vkey(vkey)
    if raw.startswith(KIND):
        witness: Witness = Authority.of_certificate(raw.removeprefix(KIND))
        witness = Authority(name, witness.public)
    elif raw.startswith(TYPE) and len(raw) == len(TYPE) + _ED25519:
        witness = Witness(name, raw.removeprefix(TYPE))
    else:
        raise NoteFormatError(BAD_VKEY)
    if witness.key_id.hex() != identifier:
        raise NoteFormatError(BAD_VKEY)
    return witness
