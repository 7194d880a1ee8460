"""Makes docs/spec/audit-vectors.json: known answers for whoever writes another implementation.

    python -m scripts.audit_vectors > docs/spec/audit-vectors.json

All secrets in it are counted up from a start that the file names; none is used anywhere else.
"""

from __future__ import annotations

import hashlib
import json
import sys
import zlib
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.age import Identity
from audit.approval import Action, Request, Statement, commitment
from audit.blob import CONTENT, META, log_id, seal
from audit.consistency import consistency_path
from audit.cosign import Witness, cosign
from audit.hybrid import HybridIdentity
from audit.index import Index
from audit.leaf import NO_HASH, Leaf, LeafFlag, LeafType, leaf_hash
from audit.merkle import Frontier, NodeReader, inclusion_path, node_hash
from audit.note import Checkpoint, VerifierKey, sign_checkpoint
from audit.proof import format_proof
from audit.ratchet import CONTENTS, METADATA, NO_SUBJECT_KEY, Ratchet
from audit.recovery import KeyKind, recovery_lines
from audit.signer import signer_of
from audit.subject import Subject, bond, handle, record_key

ORIGIN: Final = "vectors.example/audit"
META_TEXT: Final = (
    b'{"meta":{"outcome":"answered","task":"triage"},"time":"2026-11-23T00:13:05.123456Z",'
    b'"type":"answer","version":2}'
)
CONTENT_TEXT: Final = (
    b'{"actor":"m.keller","content":{"text":"Zwei Tabletten."},"subject":"case 12"}'
)
WALL: Final = 1_795_392_785_123_456_000
BOOT: Final = 86_400_000_000_000
RECORDS: Final = 5


def main() -> int:
    """Print the vectors."""
    json.dump(vectors(), sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")
    return 0


def vectors() -> dict[str, Any]:
    """Everything that the specification derives, for a log of five records."""
    signer, witness = _key(0x40), _key(0x60)
    verifier = VerifierKey(ORIGIN, signer.public_key().public_bytes_raw())
    log = log_id(ORIGIN, verifier.public)
    index = Index(bytearray(_count(0x00)))
    records = _records(log, index)
    leaves = [leaf_hash(bytes.fromhex(record["leaf"])) for record in records]
    root = _root(leaves)
    note = sign_checkpoint(Checkpoint(ORIGIN, RECORDS, root), signer, verifier)
    laptop = Witness("vectors.example/witness", witness.public_key().public_bytes_raw())
    return {
        "format": "cloister-audit/v2",
        "origin": ORIGIN,
        "M0": _count(0x00).hex(),
        "C0": _shares().hex(),
        "signing_key": _count(0x40).hex(),
        "witness_key": _count(0x60).hex(),
        "subject_key": SUBJECT.key.hex(),
        "subject_id": SUBJECT.ident.hex(),
        "subject_link": LINK.hex(),
        "subject_handle": handle(LINK, "case 12").hex(),
        **_decision(),
        "vkey": str(verifier),
        "log_id": log.hex(),
        "trapdoor_task_triage": index.trapdoor("task", "triage").hex(),
        "token_actor_m_keller": index.token("actor", "m.keller").hex(),
        "metadata": META_TEXT.decode(),
        "content": CONTENT_TEXT.decode(),
        "records": records,
        "root": root.hex(),
        "checkpoint": note,
        "proof_of_record_2": format_proof(2, inclusion_path(2, RECORDS, _reader(leaves)), note),
        "consistency_from_3": [
            node.hex() for node in consistency_path(3, RECORDS, _reader(leaves))
        ],
        "witness_vkey": str(laptop),
        "cosigned": cosign(note, laptop.name, witness, WALL // 1_000_000_000),
        "officers_keys": _officers_keys(_count(0xC0)),
    }


def _officers_keys(secret: bytes) -> dict[str, Any]:
    """One secret as a key of each kind, and its recovery pages."""
    return {
        "secret": secret.hex(),
        "x25519": {"identity": str(Identity(secret)), "recipient": Identity(secret).recipient},
        "mlkem768x25519": {
            "identity": str(HybridIdentity(secret)),
            "recipient": HybridIdentity(secret).recipient,
        },
        "recovery_lines": {str(int(kind)): recovery_lines(kind, secret) for kind in KeyKind},
    }


def _records(log: bytes, index: Index) -> list[dict[str, str]]:
    metadata = Ratchet(bytearray(_count(0x00)), METADATA)
    contents = Ratchet(bytearray(_shares()), CONTENTS)
    found, before = [], NO_HASH
    for number in range(RECORDS):
        header = _leaf(number, before, index).header()
        marks = index.marks({"task": "triage", "outcome": "answered"}, number)
        salt, front = _bound(number)
        keys = {"metadata_key": bytes(metadata.key()), "content_key": bytes(contents.key(salt))}
        meta = seal(metadata.key(), META_TEXT, log, header, META, marks)
        # Stored, not deflated: two libraries may deflate the same text differently.
        packed = zlib.compress(CONTENT_TEXT, 0)
        content = seal(contents.key(salt), packed, log, header, CONTENT, front)
        leaf = header + hashlib.sha256(meta).digest() + hashlib.sha256(content).digest()
        before = leaf_hash(leaf)
        parts = {**keys, "marks": marks, "metadata_blob": meta, "content_blob": content}
        parts |= {"leaf": leaf, "leaf_hash": before}
        found.append({name: value.hex() for name, value in parts.items()})
        metadata.advance()
        contents.advance()
    return found


def _decision() -> dict[str, str]:
    """An erasure that one officer has signed."""
    officer, salt = Identity(_count(0x30)), _count(0x50)
    made = datetime.fromtimestamp(WALL // 1_000_000_000, UTC)
    about, event = commitment(salt, "case 12"), UUID(bytes=_count(0xB0)[:16])
    statement = Statement(ORIGIN, event, Action.ERASE, about, "objection", made)
    return {
        "officer_key": str(officer),
        "officer_signer": str(signer_of(officer)),
        "decision_salt": salt.hex(),
        "decision": Request(statement).signed(officer).note,
    }


def _bound(number: int) -> tuple[bytes, bytes]:
    """Every second record is about the subject: its key, and what hides the subject's id."""
    if number % 2 == 0:
        return NO_SUBJECT_KEY, b""
    return record_key(SUBJECT.key, number), bond(LINK, SUBJECT.ident, number)


def _leaf(number: int, before: bytes, index: Index) -> Leaf:
    return Leaf(
        kind=LeafType.ANSWER,
        flags=LeafFlag.CONTENT | (LeafFlag.SUBJECT_BOUND if number % 2 else 0),
        index=number,
        epoch=0,
        seq=number,
        boot_ns=BOOT + number,
        wall_ns=WALL + number,
        boot_id=_count(0x80)[:16],
        event=_count(0xA0 + number)[:16],
        actor=index.token("actor", "m.keller"),
        subject=index.token("subject", "case 12" if number % 2 else None),
        prev=before,
    )


def _root(leaves: list[bytes]) -> bytes:
    tree = Frontier()
    for leaf in leaves:
        tree.add(leaf)
    return tree.root()


def _reader(leaves: list[bytes]) -> NodeReader:
    def node(level: int, position: int) -> bytes:
        if level == 0:
            return leaves[position]
        return node_hash(node(level - 1, 2 * position), node(level - 1, 2 * position + 1))

    return node


def _key(start: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(_count(start))


def _shares() -> bytes:
    """Those of both groups."""
    return _count(0x20) + _count(0xC0)


def _count(start: int) -> bytes:
    """Thirty-two bytes, counted up."""
    return bytes(range(start, start + 32))


LINK: Final = _count(0xC0)
SUBJECT: Final = Subject(_count(0xE0)[:16], _count(0x10))


if __name__ == "__main__":
    sys.exit(main())
