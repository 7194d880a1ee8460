"""The short message on the page after a form: a word in the address picks a fixed sentence.

No session storage is needed, and no address can make a page say anything but these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flask import request


@dataclass(frozen=True)
class Note:
    """A message; `kind` is that of the notice that shows it."""

    kind: str
    text: str


_NOTES: Final = {
    "bye": Note("info", "You have signed out."),
    "expired": Note("info", "Your session has ended. Sign in to go on."),
    "password": Note("ok", "Your password was changed. Other sessions of yours have ended."),
    "revoked": Note("ok", "The key works no longer."),
    "session-ended": Note("ok", "That session has ended."),
    "sessions-ended": Note("ok", "All other sessions of yours have ended."),
    "disabled": Note("ok", "The account is disabled. Its sessions and keys have ended."),
    "enabled": Note("ok", "The account can sign in again."),
    "witnessed": Note("ok", "The witness's word is in the log."),
    "roles": Note("ok", "The roles were changed. The person has to sign in again."),
}


def note_of_request() -> Note | None:
    """The note that the request's address asks for, if there is such a one."""
    return _NOTES.get(request.args.get("done", ""))
