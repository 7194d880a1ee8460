"""Opening a running stack's audit log with the demo keys of both officers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from appliance.settings import Settings
from audit.age import Identity
from audit.blob import CONTENT, META, log_id, unpack_content, unseal
from audit.grants import open_shares
from audit.leaf import Leaf, LeafFlag, LeafType
from audit.officers import GROUPS
from audit.payloads import EpochOpen
from audit.ratchet import Ratchet
from audit.reader import open_rows


@dataclass(frozen=True)
class Record:
    """One record, opened; the writer's own records have no actor."""

    index: int
    event: str
    type: str
    actor: str | None
    subject: str | None
    meta: dict[str, Any]
    content: dict[str, Any] | None


def read_records(settings: Settings) -> list[Record]:
    """All records of the log, in order."""
    keys = _officers(settings)
    records: list[Record] = []
    ratchet: Ratchet | None = None
    log = b""
    with open_rows(settings.audit) as rows:
        for row in rows.rows(0, rows.size()):
            leaf = Leaf.unpack(row.leaf)
            if leaf.kind is LeafType.EPOCH_OPEN:
                opening = EpochOpen.parse(row.meta or b"")
                log = log or log_id(opening.origin, opening.key)
                ratchet = Ratchet(open_shares(opening.grants, keys, opening.origin, leaf.epoch))
            assert ratchet is not None
            meta, content = row.meta, row.content
            if meta is not None and LeafFlag.PLAIN_META not in leaf.flags:
                meta = unseal(ratchet.meta_key(), meta, log, leaf.header(), META)
            if content is not None:
                key = ratchet.content_key()
                content = unpack_content(unseal(key, content, log, leaf.header(), CONTENT))
            records.append(_record(leaf, meta, content))
            ratchet.advance()
    return records


def find(records: Iterable[Record], record_id: str) -> tuple[Record, Record]:
    """The begin record of this id, and its end record."""
    found = list(records)
    (begin,) = (one for one in found if one.event == record_id)
    (end,) = (one for one in found if one.meta.get("begin") == record_id)
    return begin, end


def _record(leaf: Leaf, meta: bytes | None, content: bytes | None) -> Record:
    sealed = LeafFlag.PLAIN_META not in leaf.flags and meta is not None
    value = {} if meta is None else json.loads(meta)
    return Record(
        index=leaf.index,
        event=str(UUID(bytes=leaf.event)),
        type=leaf.kind.label,
        actor=value["actor"] if sealed else None,
        subject=value["subject"] if sealed else None,
        meta=value["meta"] if sealed else value,
        content=None if content is None else json.loads(content),
    )


def _officers(settings: Settings) -> list[Identity]:
    folder = settings.root / "officers"
    lines = [(folder / f"{group}.key").read_text("utf-8").splitlines()[-1] for group in GROUPS]
    return [Identity.parse(line) for line in lines]
