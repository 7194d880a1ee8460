"""A copy of a log that a test changes as a thief of the disk would."""

from __future__ import annotations

import sqlite3

from audit.leaf import leaf_hash
from audit.note import VerifierKey
from audit.report import Report
from audit.rows import LogRows
from audit.verify import verify_log
from tests.unit.audit.logfolder import LogFolder

TABLES = ("log", "leaves", "blobs", "nodes", "checkpoints")


class Copy:
    """A log in memory, without its guards, that a test may change and put back."""

    def __init__(self, folder: LogFolder) -> None:
        self.folder = folder
        self.database = sqlite3.connect(":memory:", isolation_level=None)
        with sqlite3.connect(folder.settings.folder / "audit.db") as source:
            source.backup(self.database)
        source.close()
        for table in TABLES:
            for action in ("update", "delete"):
                self.database.execute(f"DROP TRIGGER {table}_no_{action}")
        self.rows = LogRows(self.database)
        self.size = self.rows.size()
        self.key = VerifierKey.parse(self.rows.facts()["vkey"])

    def verify(self) -> Report:
        """Verify as an officer with the right key would, without a head file."""
        return verify_log(self.rows, self.folder.root, trusted=self.key)

    def column(self, table: str, name: str) -> dict[int, bytes]:
        key = "size" if table == "checkpoints" else "idx"
        query = f"SELECT {key}, {name} FROM {table} WHERE {name} IS NOT NULL"  # noqa: S608
        return {
            index: value.encode() if isinstance(value, str) else value
            for index, value in self.database.execute(query)
        }

    def put(self, table: str, name: str, row: int, value: bytes | str) -> None:
        key = "size" if table == "checkpoints" else "idx"
        query = f"UPDATE {table} SET {name} = ? WHERE {key} = ?"  # noqa: S608
        self.database.execute(query, (value, row))


def relink(copy: Copy, leaves: list[bytes]) -> None:
    """Store these leaves as the log, renumbered and chained again, as a careful forger would."""
    copy.database.execute("DELETE FROM leaves")
    before = bytes(32)
    for index, leaf in enumerate(leaves):
        renumbered = leaf[:8] + index.to_bytes(8, "big") + leaf[16:104] + before + leaf[136:]
        before = leaf_hash(renumbered)
        copy.database.execute("INSERT OR IGNORE INTO leaves VALUES (?, ?)", (index, renumbered))
