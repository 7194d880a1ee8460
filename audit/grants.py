"""Grants: an epoch's secret in two shares, each sealed to one group of officers as an age file.

The secret is the bitwise sum of both shares, so one share alone says nothing about it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from audit.age import Identity, decrypt, encrypt
from audit.errors import AgeFormatError, NoMatchingIdentityError, TwoOfficersNeededError
from audit.officers import GROUPS, Officers
from audit.ratchet import SECRET_SIZE
from audit.secret import hexlify, random_secret, wipe, xor

LETTERS: Final = dict(zip(GROUPS, "AB", strict=True))
_TITLE: Final = "cloister-audit/v1 share"
_SHARE: Final = re.compile(
    rf"{_TITLE}\norigin: (?P<origin>\S+)\nepoch: (?P<epoch>\d+)\ngroup: (?P<group>\w+)\n"
    rf"share: (?P<share>[0-9a-f]{{{2 * SECRET_SIZE}}})\n"
)


def grant_name(epoch: int, group: str) -> str:
    """File name of a grant."""
    return f"epoch-{epoch}.{LETTERS[group]}.age"


def seal_shares(secret: bytearray, officers: Officers, origin: str, epoch: int) -> dict[str, bytes]:
    """Split an epoch's secret and seal each share to its group.

    Args:
        secret: `R[0]`, 32 bytes; left as it is.
        officers: members of both groups.
        origin: name of the log.
        epoch: number of the epoch.

    Returns:
        The age file of each group.
    """
    first = random_secret(SECRET_SIZE)
    shares = (first, xor(first, secret))
    grants = {}
    for group, share in zip(GROUPS, shares, strict=True):
        head = f"{_TITLE}\norigin: {origin}\nepoch: {epoch}\ngroup: {group}\nshare: "
        digits = hexlify(share)
        text = bytearray(head.encode()) + digits + b"\n"
        grants[group] = encrypt(text, officers.recipients(group))
        for buffer in (share, digits, text):
            wipe(buffer)
    return grants


def open_shares(
    grants: Mapping[str, bytes], identities: Sequence[Identity], origin: str, epoch: int
) -> bytearray:
    """Put an epoch's secret together from both groups' grants.

    Raises:
        NoMatchingIdentityError: if the keys open neither share.
        TwoOfficersNeededError: if they open one of the two.
        AgeFormatError: if a grant was changed or belongs to another epoch.
    """
    shares: dict[str, bytearray] = {}
    for group in GROUPS:
        try:
            shares[group] = _share(decrypt(grants[group], identities), origin, epoch, group)
        except NoMatchingIdentityError:
            continue
    missing = [group for group in GROUPS if group not in shares]
    if len(missing) == len(GROUPS):
        raise NoMatchingIdentityError(
            f"None of these keys belongs to an officer of epoch {epoch}. "
            "Use the keys of officers who were in office when the records were written."
        )
    if missing:
        (have,) = shares
        raise TwoOfficersNeededError(
            f"These keys open only the share of the group {have}. Records open to two officers "
            f"together: add the key of an officer of the group {missing[0]} with --key."
        )
    return xor(shares[GROUPS[0]], shares[GROUPS[1]])


def _share(plain: bytes, origin: str, epoch: int, group: str) -> bytearray:
    match = _SHARE.fullmatch(plain.decode("ascii", "replace"))
    if match is None or (match["origin"], match["epoch"], match["group"]) != (
        origin,
        str(epoch),
        group,
    ):
        raise AgeFormatError(
            f"The grant of group {group} for epoch {epoch} holds another share. "
            "The grants were exchanged: verify the log."
        )
    return bytearray.fromhex(match["share"])
