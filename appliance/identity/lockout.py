"""Slowing down who guesses passwords, across all workers of the web process.

Failures are counted for one name from one address. After the fifth the pair must wait, twice as
long after each further failure, up to an hour; a day without a failure forgets them. Whoever
guesses from one address therefore can not keep the account's owner out who signs in from another.
The price: guesses spread over many addresses are slowed down per address only. (NIST SP
800-63B-4, section 3.2.2, asks for a limit on consecutive failures.)
"""

from __future__ import annotations

import hashlib
import math
from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.orm import Session

from appliance.database.tables import AttemptRow
from appliance.identity.errors import LockedOutError

FREE_FAILURES = 5
FIRST_DELAY = timedelta(seconds=30)
LONGEST_DELAY = timedelta(hours=1)
FORGET_AFTER = timedelta(days=1)
_SOURCE_CHARACTERS = 64


def delay_after(failures: int) -> timedelta:
    """How long the next try must wait after so many failures in a row."""
    if failures < FREE_FAILURES:
        return timedelta(0)
    doublings = min(failures - FREE_FAILURES, 20)
    return min(FIRST_DELAY * (1 << doublings), LONGEST_DELAY)


def begin_attempt(session: Session, name: str, source: str, now: datetime) -> None:
    """Count the attempt as failed before its password is looked at.

    Counting first means that many tries at the same moment can not all slip through before the
    first of them has failed; `forgive` takes the count back when the password is right.

    Raises:
        LockedOutError: The pair has to wait; such a try counts for nothing.
    """
    session.execute(delete(AttemptRow).where(AttemptRow.failed_at < now - FORGET_AFTER))
    key = (_hash(name), source[:_SOURCE_CHARACTERS])
    row = session.get(AttemptRow, key)
    if row is None:
        row = AttemptRow(name_hash=key[0], source=key[1], failures=0, failed_at=now)
        session.add(row)
    if row.locked_until is not None and row.locked_until > now:
        raise LockedOutError(math.ceil((row.locked_until - now).total_seconds()))
    row.failures += 1
    row.failed_at = now
    wait = delay_after(row.failures)
    row.locked_until = now + wait if wait else None


def forgive(session: Session, name: str, source: str | None = None) -> None:
    """Forget the failures of a name, from one address or (None) from all."""
    forget = delete(AttemptRow).where(AttemptRow.name_hash == _hash(name))
    if source is not None:
        forget = forget.where(AttemptRow.source == source[:_SOURCE_CHARACTERS])
    session.execute(forget)


def _hash(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
