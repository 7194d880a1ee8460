"""Grants: what opens an epoch, sealed to each of the two groups of officers as an age file.

Each grant holds the secret of the metadata and one of the two shares that the contents' secret
consists of. One share alone opens no content: any officer searches metadata, contents open to one
officer of each group together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from audit.age import decrypt, encrypt
from audit.errors import AgeFormatError, NoMatchingIdentityError, TwoOfficersNeededError
from audit.officers import GROUPS, Officers
from audit.ratchet import SECRET_SIZE
from audit.secret import hexlify, random_secret, wipe
from audit.stanza import Opener

LETTERS: Final = dict(zip(GROUPS, "AB", strict=True))
_TITLE: Final = "cloister-audit/v2 share"
_HEX: Final = f"[0-9a-f]{{{2 * SECRET_SIZE}}}"
_SHARE: Final = re.compile(
    rf"{_TITLE}\norigin: (?P<origin>\S+)\nepoch: (?P<epoch>\d+)\ngroup: (?P<group>\w+)\n"
    rf"metadata: (?P<metadata>{_HEX})\nshare: (?P<share>{_HEX})\n"
)


@dataclass(frozen=True, slots=True)
class EpochSecrets:
    """What opens the records of an epoch.

    Attributes:
        metadata: `M[0]`, 32 bytes.
        shares: of `C[0]`, by group; contents open where both are there.
    """

    metadata: bytearray
    shares: Mapping[str, bytearray]

    @classmethod
    def generate(cls) -> EpochSecrets:
        """Make the secrets of a new epoch."""
        shares = {group: random_secret(SECRET_SIZE) for group in GROUPS}
        return cls(random_secret(SECRET_SIZE), shares)

    @property
    def opens_contents(self) -> bool:
        """Whether both shares are there."""
        return len(self.shares) == len(GROUPS)

    def contents(self) -> bytearray:
        """`C[0]`: the shares of both groups, one behind the other.

        Raises:
            TwoOfficersNeededError: if a group's share is missing, naming the group.
        """
        for group in GROUPS:
            if group not in self.shares:
                (have,) = self.shares
                raise TwoOfficersNeededError(
                    f"These keys open only the share of the group {have}. Contents open to two "
                    f"officers together: add the key of an officer of the group {group} with "
                    "--key. One key alone searches metadata: cloister-audit search."
                )
        return bytearray().join(self.shares[group] for group in GROUPS)


def grant_name(epoch: int, group: str) -> str:
    """File name of a grant."""
    return f"epoch-{epoch}.{LETTERS[group]}.age"


def seal_grants(
    secrets: EpochSecrets, officers: Officers, origin: str, epoch: int
) -> dict[str, bytes]:
    """Seal an epoch's secrets to both groups.

    Args:
        secrets: both of the epoch; left as they are.
        officers: members of both groups.
        origin: name of the log.
        epoch: number of the epoch.

    Returns:
        The age file of each group.
    """
    metadata = hexlify(secrets.metadata)
    grants = {}
    for group in GROUPS:
        head = f"{_TITLE}\norigin: {origin}\nepoch: {epoch}\ngroup: {group}\nmetadata: "
        digits = hexlify(secrets.shares[group])
        text = bytearray(head.encode()) + metadata + b"\nshare: " + digits + b"\n"
        grants[group] = encrypt(text, officers.recipients(group))
        wipe(digits)
        wipe(text)
    wipe(metadata)
    return grants


def open_grants(
    grants: Mapping[str, bytes], identities: Sequence[Opener], origin: str, epoch: int
) -> EpochSecrets:
    """Put an epoch's secrets together; with keys of one group, only that of the metadata.

    Raises:
        NoMatchingIdentityError: if the keys open no grant.
        AgeFormatError: if a grant was changed or belongs to another epoch.
    """
    opened: dict[str, tuple[bytearray, bytearray]] = {}
    for group in GROUPS:
        try:
            opened[group] = _read(decrypt(grants[group], identities), origin, epoch, group)
        except NoMatchingIdentityError:
            continue
    if not opened:
        raise NoMatchingIdentityError(
            f"None of these keys belongs to an officer of epoch {epoch}. "
            "Use the keys of officers who were in office when the records were written."
        )
    metadata, *others = (found for found, _ in opened.values())
    if any(other != metadata for other in others):
        raise AgeFormatError(f"The grants of epoch {epoch} do not belong together: verify the log.")
    return EpochSecrets(metadata, {group: share for group, (_, share) in opened.items()})


def _read(plain: bytes, origin: str, epoch: int, group: str) -> tuple[bytearray, bytearray]:
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
    return bytearray.fromhex(match["metadata"]), bytearray.fromhex(match["share"])
