"""One epoch of the log: its keys, and how one follows another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.errors import LogFormatError, NoteFormatError, NoteSignatureError, ReadOnlyError
from audit.grants import EpochSecrets, grant_name, seal_grants
from audit.index import Index
from audit.leaf import Leaf, LeafType, leaf_hash
from audit.note import Checkpoint, VerifierKey, sign_checkpoint
from audit.officers import GROUPS, load_officers
from audit.payloads import CLOSED, UNCLEAN, EpochLimits, EpochOpen, PreviousEpoch
from audit.ratchet import CONTENTS, METADATA, Ratchet
from audit.rows import LogRows
from audit.secret import wipe
from audit.writer.files import write_durably
from audit.writer.keyring import Keyring


class Epoch:
    """The running epoch; all of it lives in memory only."""

    def __init__(
        self,
        number: int,
        origin: str,
        signer: Ed25519PrivateKey,
        secrets: EpochSecrets,
        opened: int,
    ) -> None:
        """Start at the first record.

        Args:
            number: from 0.
            origin: name of the log.
            signer: key that signs this epoch's checkpoints.
            secrets: of the epoch; taken over, and wiped step by step.
            opened: CLOCK_BOOTTIME at its start, nanoseconds.
        """
        self.number = number
        self.opened = opened
        self.index = Index(secrets.metadata)
        self.metadata = Ratchet(secrets.metadata, METADATA)
        self.contents = Ratchet(secrets.contents(), CONTENTS)
        for share in secrets.shares.values():
            wipe(share)
        self.signers: Mapping[str, Sequence[str]] = {}
        self.verifier = VerifierKey(origin, signer.public_key().public_bytes_raw())
        self._signer = signer

    def sign(self, size: int, root: bytes) -> str:
        """Sign a tree head."""
        return sign_checkpoint(
            Checkpoint(self.verifier.name, size, root), self._signer, self.verifier
        )

    @property
    def position(self) -> int:
        """Records so far."""
        return self.metadata.position

    def advance(self) -> None:
        """Move both compartments to the next record's secrets."""
        self.metadata.advance()
        self.contents.advance()

    def erase(self) -> None:
        """Overwrite its secrets."""
        self.metadata.erase()
        self.contents.erase()
        self.index.erase()


@dataclass(frozen=True, slots=True)
class LastEpoch:
    """What the database says about its newest epoch.

    Attributes:
        number: from 0.
        opening: its opening record.
        closed: whether its writer closed it.
        last: the log's last leaf.
        last_hash: that leaf's hash.
    """

    number: int
    opening: EpochOpen
    closed: bool
    last: Leaf
    last_hash: bytes


def last_epoch(rows: LogRows) -> LastEpoch | None:
    """Read the newest epoch, or None from an empty log.

    Raises:
        ReadOnlyError: if the last records do not read as the end of an epoch.
    """
    size = rows.size()
    if not size:
        return None
    try:
        packed = rows.leaf(size - 1)
        last = Leaf.unpack(packed)
        (first,) = rows.rows(last.index - last.seq, last.index - last.seq + 1)
        opening = EpochOpen.parse(first.meta or b"")
    except (LogFormatError, ValueError) as error:
        raise ReadOnlyError(
            f"The last records of the database do not read: {error}. Verify the log and restore it."
        ) from error
    closed = last.kind is LeafType.EPOCH_CLOSE
    return LastEpoch(last.epoch, opening, closed, last, leaf_hash(packed))


class EpochMaker:
    """Makes epochs: fetches the promised key, promises the next, seals to the officers."""

    def __init__(
        self, origin: str, officers: Path, keyring: Keyring, grants: Path, limits: EpochLimits
    ) -> None:
        """Say where keys and officers are found.

        Args:
            origin: name of the log.
            officers: path of the officers' file; read anew for each epoch.
            keyring: signing keys.
            grants: folder for the age files.
            limits: how long each epoch may last.
        """
        self._origin = origin
        self._officers = officers
        self._keyring = keyring
        self._grants = grants
        self._limits = limits

    def make(self, number: int, promised: bytes | None, now: int) -> tuple[Epoch, EpochOpen]:
        """Make the next epoch and its opening record; nothing counts until that is durable.

        The record does not say yet how the epoch before ended.

        Args:
            number: of the new epoch.
            promised: raw public key that the epoch before named, None for the first epoch.
            now: CLOCK_BOOTTIME in nanoseconds.

        Raises:
            OfficersFileError: if records could not be sealed to both groups.
            KeyFileError: if the promised key is not there.
            OSError: if the disk refuses.
        """
        officers = load_officers(self._officers)
        officers.require_both_groups(self._officers)
        if promised is None:
            self._keyring.make_kek()
            signer = Ed25519PrivateKey.generate()
        else:
            signer = self._keyring.load(number, promised)
        following = Ed25519PrivateKey.generate()
        self._keyring.store(number + 1, following)
        secrets = EpochSecrets.generate()
        opening = EpochOpen(
            origin=self._origin,
            key=signer.public_key().public_bytes_raw(),
            next_key=following.public_key().public_bytes_raw(),
            grants=seal_grants(secrets, officers, self._origin, number),
            recipients={group: officers.recipients(group) for group in GROUPS},
            signers={group: officers.signers(group) for group in GROUPS},
            limits=self._limits,
            previous=None,
        )
        self._write_grants(number, opening)
        epoch = Epoch(number, self._origin, signer, secrets, now)
        epoch.signers = opening.signers
        return epoch, opening

    def settle(self, number: int) -> None:
        """Once the epoch is durable: erase every signing key on disk but the next one's."""
        self._keyring.forget_all_but(number + 1)

    def _write_grants(self, number: int, opening: EpochOpen) -> None:
        self._grants.mkdir(mode=0o750, parents=True, exist_ok=True)
        for group in GROUPS:
            path = self._grants / grant_name(number, group)
            write_durably(path, opening.grants[group], 0o640)


def ending_of(last: LastEpoch, size: int, root: bytes) -> PreviousEpoch:
    """How the newest epoch ended, for the opening record of the one that follows."""
    return PreviousEpoch(CLOSED if last.closed else UNCLEAN, size, root)


def check_ending(last: LastEpoch, note: str, size: int, root: bytes) -> None:
    """Check that the newest checkpoint covers the log and bears its epoch's signature.

    Raises:
        ReadOnlyError: if it does not.
    """
    try:
        checkpoint = VerifierKey(last.opening.origin, last.opening.key).verify(note)
    except (NoteFormatError, NoteSignatureError) as error:
        raise ReadOnlyError(
            f"The newest checkpoint of the database is wrong: {error}. {_RESTORE}"
        ) from error
    if (checkpoint.size, checkpoint.root) != (size, root):
        raise ReadOnlyError(
            f"The newest checkpoint does not cover the {size} records of the database. {_RESTORE}"
        )


_RESTORE: Final = "Verify the log with cloister-audit and restore the newest audit.db."
