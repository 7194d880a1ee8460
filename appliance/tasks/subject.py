"""Whom or which case a request is about, as its caller names it for the log."""

from __future__ import annotations

import unicodedata

from appliance.tasks.errors import TaskInputError

MAX_SUBJECT = 256  # characters


def clean_subject(text: str | None, field: str = "subject") -> str | None:
    """A subject's name in the one form by which the log finds it again, or None for nobody.

    Args:
        text: As it was given; spaces at its ends do not count, nor how Unicode composes letters.
        field: Where it was given, for the message.

    Raises:
        TaskInputError: It is too long, or not one line of printable text.
    """
    name = unicodedata.normalize("NFC", text or "").strip()
    if len(name) > MAX_SUBJECT or not name.isprintable():
        raise TaskInputError(
            field,
            f"{field} must be one line of printable text, at most {MAX_SUBJECT} characters: "
            "the number of the case or the name of the person.",
        )
    return name or None
