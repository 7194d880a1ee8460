"""Plain metadata of the log's own records: what a verifier reads without any officer's key."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audit.cosign import Witness
from audit.errors import LogFormatError, NoteFormatError
from audit.known import parse_witness
from audit.officers import GROUPS

CLOSED = "closed"
UNCLEAN = "unclean"
SUBJECT_KEYS_LOST = "subject keys lost"  # faults
ERASURE_REPLAYED = "erasure replayed"


@dataclass(frozen=True, slots=True)
class PreviousEpoch:
    """How the epoch before ended.

    Attributes:
        end: `closed`, or `unclean` if its writer did not come to close it.
        size: records in the log at its end.
        root: Merkle root at that size.
    """

    end: str
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class EpochLimits:
    """How long an epoch may last; it ends at whichever comes first.

    Attributes:
        records: so many records.
        seconds: or so long.
    """

    records: int = 100_000
    seconds: int = 24 * 3600


@dataclass(frozen=True, slots=True)
class EpochOpen:
    """What opens an epoch.

    Attributes:
        origin: name of the log.
        key: raw Ed25519 public key that signs this epoch.
        next_key: the one that will sign the next; nobody else can open it.
        grants: the age file of each group with its share of the epoch's secret.
        recipients: public keys that each grant is sealed to.
        signers: verifier keys of the officers of each group, who approve together.
        limits: how long the epoch may last.
        previous: the epoch before, None in the first.
    """

    origin: str
    key: bytes
    next_key: bytes
    grants: Mapping[str, bytes]
    recipients: Mapping[str, list[str]]
    signers: Mapping[str, list[str]]
    limits: EpochLimits
    previous: PreviousEpoch | None

    def to_json(self) -> dict[str, Any]:
        """The payload as JSON values."""
        previous = self.previous and {
            "end": self.previous.end,
            "size": self.previous.size,
            "root": _encode(self.previous.root),
        }
        return {
            "origin": self.origin,
            "key": _encode(self.key),
            "next": _encode(self.next_key),
            "grants": {group: _encode(self.grants[group]) for group in GROUPS},
            "recipients": dict(self.recipients),
            "signers": dict(self.signers),
            "limits": {"records": self.limits.records, "seconds": self.limits.seconds},
            "previous": previous,
        }

    @classmethod
    def parse(cls, blob: bytes) -> EpochOpen:
        """Read the metadata blob of an epoch-open record.

        Raises:
            LogFormatError: if it is not one.
        """
        try:
            data = json.loads(blob)
            previous = data["previous"]
            return cls(
                origin=str(data["origin"]),
                key=_decode(data["key"], 32),
                next_key=_decode(data["next"], 32),
                grants={group: _decode(data["grants"][group]) for group in GROUPS},
                recipients={group: list(data["recipients"][group]) for group in GROUPS},
                signers={group: [str(one) for one in data["signers"][group]] for group in GROUPS},
                limits=_limits(data["limits"]),
                previous=previous and _previous(previous),
            )
        except (ValueError, KeyError, TypeError, binascii.Error, RecursionError) as error:
            raise LogFormatError("it does not say how its epoch opened") from error


@dataclass(frozen=True, slots=True)
class WitnessReceipt:
    """A witness's word that the log stood so at a time.

    Attributes:
        witness: verifier key of the witness.
        note: the checkpoint with the log's signature and his.
    """

    witness: Witness
    note: str

    def to_json(self) -> dict[str, Any]:
        """The payload as JSON values."""
        return {"note": self.note, "witness": str(self.witness)}

    @classmethod
    def parse(cls, blob: bytes) -> WitnessReceipt:
        """Read the metadata blob of a witness record.

        Raises:
            LogFormatError: if it is not one.
        """
        data = parse_plain(blob)
        try:
            return cls(parse_witness(str(data["witness"])), str(data["note"]))
        except (KeyError, NoteFormatError) as error:
            raise LogFormatError("it is not the word of a witness") from error


def parse_plain(blob: bytes) -> dict[str, Any]:
    """Read the plain metadata of any of the log's own records.

    Raises:
        LogFormatError: if it is not a JSON object.
    """
    try:
        data = json.loads(blob)
    except (ValueError, RecursionError) as error:
        raise LogFormatError("its plain metadata is not JSON") from error
    if not isinstance(data, dict):
        raise LogFormatError("its plain metadata is not a JSON object")
    return data


def _limits(data: Mapping[str, Any]) -> EpochLimits:
    limits = EpochLimits(data["records"], data["seconds"])
    if not all(type(limit) is int and limit > 0 for limit in (limits.records, limits.seconds)):
        raise ValueError(data)
    return limits


def _previous(data: Mapping[str, Any]) -> PreviousEpoch:
    if data["end"] not in (CLOSED, UNCLEAN) or not isinstance(data["size"], int):
        raise ValueError(data["end"])
    return PreviousEpoch(data["end"], data["size"], _decode(data["root"], 32))


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _decode(text: str, length: int | None = None) -> bytes:
    raw = base64.b64decode(text, validate=True)
    if length is not None and len(raw) != length:
        raise ValueError(text)
    return raw
