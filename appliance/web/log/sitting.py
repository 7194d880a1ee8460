"""A sitting: an officer's look into the log, from the reason that is written to the page's end.

The log has a record of the reason before anything is shown. What is done in the sitting names that
record; the page sends it back with a code that binds it to the session, so nothing is kept here.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from appliance.web.services import services
from appliance.web.session import account, csrf_token
from audit.client import Receipt, RecordType

_LABEL: Final = b"cloister sitting v1\0"
MIN_REASON: Final = 10  # characters; a dot is no reason
MAX_REASON: Final = 2000  # characters


class DeskEvent(StrEnum):
    """What an officer does at the pages, as the log names it."""

    OPENED = "audit:desk:opened"
    SEARCHED = "audit:desk:searched"
    LOOKED = "audit:desk:looked"
    ASKED = "audit:opening:asked"
    WITHDRAWN = "audit:opening:withdrawn"
    READ = "audit:opening:read"
    AGREED = "audit:opening:agreed"
    REFUSED = "audit:opening:refused"
    OPENED_CONTENTS = "audit:opening:opened"


class SittingError(Exception):
    """What the page sent does not belong to a sitting of this sign-in, or gives no reason."""


@dataclass(frozen=True)
class Sitting:
    """A sitting of the session.

    Args:
        record: Id of the log's record of its reason.
        code: Binds it to the session.
    """

    record: str
    code: str


def begin(reason: str, key: str) -> Sitting:
    """Write the reason into the log.

    Args:
        reason: Why the officer looks, in their own words.
        key: Public half of the key that the officer says to have picked.

    Raises:
        SittingError: The reason is too short or too long.
        LogUnavailableError: The log took no record, so nothing may be shown.
    """
    words = check_reason(reason)
    receipt = services().log.append(
        RecordType.ACCESS,
        actor=account().name,
        meta={"event": DeskEvent.OPENED, "source": "web"},
        content={"reason": words, "key": key[:100]},
    )
    return Sitting(receipt.event, _code(receipt.event))


def resume(record: str, code: str) -> Sitting:
    """The sitting that the page says it belongs to.

    Raises:
        SittingError: It is none of this sign-in.
    """
    if not hmac.compare_digest(code.encode("utf-8", "replace"), _code(record).encode()):
        raise SittingError("This sitting has ended. Reload the page and give the reason again.")
    return Sitting(record, code)


def note(
    sitting: Sitting,
    event: str,
    facts: dict[str, Any],
    content: dict[str, Any] | None = None,
) -> Receipt:
    """Record one step of a sitting, before what it shows leaves.

    Args:
        sitting: Of the session.
        event: What is done.
        facts: For the officers; no words of anybody.
        content: What only two officers together may read, or None.

    Raises:
        LogUnavailableError: The log took no record, so nothing may be shown.
    """
    return services().log.append(
        RecordType.ACCESS,
        actor=account().name,
        meta={"event": event, "source": "web", "begin": sitting.record, **facts},
        content=content,
    )


def check_reason(reason: str) -> str:
    """The reason without the space around it.

    Raises:
        SittingError: It is too short or too long.
    """
    words = reason.strip()
    if not MIN_REASON <= len(words) <= MAX_REASON:
        raise SittingError(
            f"Write the reason in {MIN_REASON} to {MAX_REASON:,} characters: other officers read "
            "it in the log."
        )
    return words


def _code(record: str) -> str:
    return hmac.new(csrf_token().encode(), _LABEL + record.encode(), hashlib.sha256).hexdigest()
