"""What a witness sees of a log, on paper or a stick, and what he remembers of it.

A request carries the newest checkpoint, proofs that it goes on from sizes that witnesses have seen,
and the openings of the epochs since, each proven to stand in the log. So a witness follows the
signing keys from the one that was commissioned without the log itself.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from audit.consistency import check_consistency, consistency_path
from audit.errors import (
    AuditError,
    LeafFormatError,
    LogFormatError,
    NoteFormatError,
    NoteSignatureError,
    ProofError,
    WitnessRefusedError,
)
from audit.leaf import Leaf, LeafType, leaf_hash
from audit.merkle import check_inclusion, inclusion_path
from audit.note import Checkpoint, VerifierKey, read_checkpoint
from audit.payloads import EpochOpen
from audit.rows import LogRows

_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class OpeningProof:
    """An epoch's opening record and its place in the tree."""

    index: int
    leaf: bytes
    meta: bytes
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class WitnessRequest:
    """What a witness is asked to sign, and why he may.

    Attributes:
        checkpoint: the signed note.
        consistency: proofs by the earlier size that they go on from.
        openings: of epochs that began since the smallest of those sizes.
    """

    checkpoint: str
    consistency: Mapping[int, Sequence[bytes]]
    openings: Sequence[OpeningProof]

    def to_json(self) -> str:
        """The request as a file's text."""
        value = {
            "version": _VERSION,
            "checkpoint": self.checkpoint,
            "consistency": {str(old): _texts(path) for old, path in self.consistency.items()},
            "openings": [
                {
                    "index": one.index,
                    "leaf": _text(one.leaf),
                    "meta": _text(one.meta),
                    "path": _texts(one.path),
                }
                for one in self.openings
            ],
        }
        return json.dumps(value, indent=1) + "\n"

    @classmethod
    def parse(cls, text: str) -> WitnessRequest:
        """Read a request.

        Raises:
            WitnessRefusedError: if it is none.
        """
        try:
            value = json.loads(text)
            if value["version"] != _VERSION:
                raise ValueError(value["version"])
            consistency = {int(old): _raws(path) for old, path in value["consistency"].items()}
            openings = tuple(_opening(one) for one in value["openings"])
            return cls(str(value["checkpoint"]), consistency, openings)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise WitnessRefusedError(
                "This is not a checkpoint for a witness. Make one on the appliance: "
                "cloister audit checkpoint -o FILE"
            ) from error


@dataclass(frozen=True, slots=True)
class Memory:
    """What a witness remembers of a log.

    Attributes:
        vkey: verifier key of its first epoch.
        size: records when he last saw it.
        root: root at that size.
        key: public key that signs the epoch of the last of them; empty before the first sight.
        promised: public key of the epoch after that.
        epoch: number of that epoch, -1 before the first sight.
        seen: when that was, seconds since 1970.
    """

    vkey: VerifierKey
    size: int = 0
    root: bytes = b""
    key: bytes = b""
    promised: bytes = b""
    epoch: int = -1
    seen: int = 0

    def to_json(self) -> str:
        """The memory as a file's text."""
        value = {
            "version": _VERSION,
            "vkey": str(self.vkey),
            "size": self.size,
            "root": _text(self.root),
            "key": _text(self.key),
            "promised": _text(self.promised),
            "epoch": self.epoch,
            "seen": self.seen,
        }
        return json.dumps(value, indent=1) + "\n"

    @classmethod
    def parse(cls, text: str) -> Memory:
        """Read what was remembered.

        Raises:
            WitnessRefusedError: if it is damaged.
        """
        try:
            value = json.loads(text)
            if value["version"] != _VERSION:
                raise ValueError(value["version"])
            size, epoch, seen = int(value["size"]), int(value["epoch"]), int(value["seen"])
            root, key, promised = (_raw(value[name]) for name in ("root", "key", "promised"))
            if any(len(one) not in (0, 32) for one in (root, key, promised)):
                raise ValueError(value)
            return cls(VerifierKey.parse(value["vkey"]), size, root, key, promised, epoch, seen)
        except (ValueError, KeyError, TypeError, NoteFormatError, RecursionError) as error:
            raise WitnessRefusedError(
                "The witness's memory is damaged. Restore it from a copy; without it he can not "
                "tell whether the log was rolled back."
            ) from error


def make_request(rows: LogRows, sizes: Iterable[int]) -> WitnessRequest:
    """Make what a witness needs.

    Args:
        rows: the log's database.
        sizes: what witnesses have seen; 0 for one who sees the log for the first time.

    Raises:
        LogFormatError: if the log has no checkpoint or does not read.
    """
    newest = rows.last_checkpoint()
    if newest is None:
        raise LogFormatError("The log has no checkpoint yet.")
    size, note = newest
    known = sorted({old for old in sizes if 0 <= old <= size})
    openings = []
    for index in rows.openings(known[0] if known else 0, size):
        (row,) = rows.rows(index, index + 1)
        path = tuple(inclusion_path(index, size, rows.node))
        openings.append(OpeningProof(index, row.leaf, row.meta or b"", path))
    consistency = {old: consistency_path(old, size, rows.node) for old in known}
    return WitnessRequest(note, consistency, openings)


def judge(request: WitnessRequest, memory: Memory, now: int) -> Memory:
    """Check a request against what the witness remembers.

    Args:
        request: what he is asked to sign.
        memory: what he has seen before.
        now: seconds since 1970.

    Returns:
        What he has to remember from now on, before he signs.

    Raises:
        WitnessRefusedError: if he must not sign, saying what he saw and when.
    """
    try:
        seen = read_checkpoint(request.checkpoint)
        _check_history(request, memory, seen)
        epoch, key, promised = _follow_keys(request, memory, seen)
        VerifierKey(memory.vkey.name, key).verify(request.checkpoint)
    except WitnessRefusedError:
        raise
    except (NoteFormatError, NoteSignatureError, ProofError, LeafFormatError) as error:
        raise WitnessRefusedError(f"The checkpoint is not the log's: {error}.") from error
    except AuditError as error:
        raise WitnessRefusedError(f"The checkpoint can not be checked: {error}.") from error
    return Memory(memory.vkey, seen.size, seen.root, key, promised, epoch, now)


def _check_history(request: WitnessRequest, memory: Memory, seen: Checkpoint) -> None:
    if seen.origin != memory.vkey.name:
        raise WitnessRefusedError(f"This is the log {seen.origin}, not {memory.vkey.name}.")
    if seen.size < memory.size:
        raise WitnessRefusedError(
            f"ROLLED BACK: the log shows {seen.size} records, but this witness has seen "
            f"{memory.size}. {memory.size - seen.size} are missing: an older copy was put in "
            "place, or the end was cut off. Keep this file and the log as they are."
        )
    if memory.size and memory.size != seen.size and memory.size not in request.consistency:
        raise WitnessRefusedError(
            f"The file does not go on from {memory.size} records, which this witness saw last. "
            f"Make one: cloister audit checkpoint --since {memory.size} -o FILE"
        )
    try:
        path = request.consistency.get(memory.size, ())
        check_consistency(memory.size, memory.root, seen.size, seen.root, path)
    except ProofError as error:
        raise WitnessRefusedError(
            f"FORKED: the log's first {memory.size} records are not those that this witness has "
            f"seen ({error}). Keep this file and the log as they are."
        ) from error


def _follow_keys(
    request: WitnessRequest, memory: Memory, seen: Checkpoint
) -> tuple[int, bytes, bytes]:
    """Epoch, signing key and next key at the checkpoint, each promised by the one before.

    Raises:
        WitnessRefusedError: if a link is missing.
    """
    epoch, key, promised = memory.epoch, memory.key, memory.promised
    for one in request.openings:
        if one.index < memory.size:
            continue
        leaf = Leaf.unpack(one.leaf)
        check_inclusion(leaf_hash(one.leaf), one.index, seen.size, one.path, seen.root)
        opening = EpochOpen.parse(leaf.metadata_of(one.meta))
        expected = promised if epoch >= 0 else memory.vkey.public
        if leaf.kind is not LeafType.EPOCH_OPEN or leaf.epoch != epoch + 1:
            raise WitnessRefusedError(f"Record {one.index} does not open epoch {epoch + 1}.")
        if opening.key != expected:
            raise WitnessRefusedError(
                f"Epoch {leaf.epoch} opens with a key that was not promised before. "
                "Do not sign; verify the log."
            )
        epoch, key, promised = leaf.epoch, opening.key, opening.next_key
    if epoch < 0:
        raise WitnessRefusedError("The file does not show how the log began: make it anew.")
    return epoch, key, promised


def _opening(value: Mapping[str, Any]) -> OpeningProof:
    path = tuple(_raws(value["path"]))
    return OpeningProof(int(value["index"]), _raw(value["leaf"]), _raw(value["meta"]), path)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _texts(raws: Iterable[bytes]) -> list[str]:
    return [_text(raw) for raw in raws]


def _raw(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _raws(texts: Iterable[str]) -> list[bytes]:
    return [_raw(text) for text in texts]
