"""What two officers approve: a statement, signed by one of each group.

The statement is the text of a C2SP signed-note. It stands in the log for ever, so it names nobody:
a subject appears in it as a commitment, which only the request beside it opens. The request is
carried between the officers and is thrown away afterwards.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from audit.errors import ApprovalError, NoteFormatError, NoteSignatureError
from audit.keyfile import OfficerKey
from audit.note import VerifierKey, is_origin, signature_line, split_note
from audit.officers import GROUPS
from audit.signer import NAME, signer_of, signing_key
from audit.uuid7 import uuid7

GROUNDS: Final = {
    "purpose-ended": "no longer needed for its purpose (GDPR 17(1)(a))",
    "consent-withdrawn": "consent was withdrawn (GDPR 17(1)(b))",
    "objection": "the person objected (GDPR 17(1)(c))",
    "unlawful": "it was processed unlawfully (GDPR 17(1)(d))",
    "legal-obligation": "a law asks for it (GDPR 17(1)(e))",
}
VALID_DAYS: Final = 30  # from when a request was made

_SALT: Final = 32  # bytes
_COMMITMENT: Final = b"cloister-audit/v2 subject commitment\0"
_TITLE: Final = "cloister-audit/v2 decision"
_MATTER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,63}")
_SUBJECT: Final = re.compile(r"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=")  # base64 of 32 bytes
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_TEXT: Final = re.compile(
    rf"{_TITLE}\nlog: (?P<origin>\S+)\nrequest: (?P<request>[0-9a-f-]{{36}})\n"
    r"action: (?P<action>erase|hold|release)\nabout: (?P<about>\S+)\n"
    r"ground: (?P<ground>\S+)\nmade: (?P<made>\S+)\n"
)


class Action(StrEnum):
    """What two officers can decide."""

    ERASE = "erase"
    HOLD = "hold"
    RELEASE = "release"


EVERYTHING: Final = "everything"  # what a hold is about that names no subject
MATTER: Final = "matter"  # what a release is about: all holds of its matter


@dataclass(frozen=True, slots=True)
class Statement:
    """What is approved.

    Attributes:
        origin: name of the log.
        request: id of the request; it can be carried out once.
        action: what shall be done.
        about: commitment to a subject (base64), EVERYTHING or MATTER.
        ground: of an erasure one of GROUNDS, else the matter that a hold is for.
        made: when the request was made, UTC.
    """

    origin: str
    request: UUID
    action: Action
    about: str
    ground: str
    made: datetime

    def text(self) -> str:
        """The text that gets signed."""
        return (
            f"{_TITLE}\nlog: {self.origin}\nrequest: {self.request}\naction: {self.action}\n"
            f"about: {self.about}\nground: {self.ground}\nmade: {self.made:{_TIME}}\n"
        )

    @property
    def names_subject(self) -> bool:
        """Whether it is about one subject."""
        return self.about not in (EVERYTHING, MATTER)

    @classmethod
    def parse(cls, text: str) -> Statement:
        """Read a statement.

        Raises:
            ApprovalError: if it is none, or could be read in two ways.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ApprovalError("it is not a statement for two officers")
        try:
            made = datetime.strptime(match["made"], _TIME).replace(tzinfo=UTC)
            request, action = UUID(match["request"]), Action(match["action"])
        except ValueError as error:
            raise ApprovalError("its time or its id is malformed") from error
        found = cls(match["origin"], request, action, match["about"], match["ground"], made)
        if found.text() != text or not found._makes_sense():
            raise ApprovalError("it asks for something that there is not")
        return found

    def _makes_sense(self) -> bool:
        if not is_origin(self.origin) or (
            self.names_subject and _SUBJECT.fullmatch(self.about) is None
        ):
            return False
        if self.action is Action.ERASE:
            return self.names_subject and self.ground in GROUNDS
        about = self.about == MATTER if self.action is Action.RELEASE else self.about != MATTER
        return about and _MATTER.fullmatch(self.ground) is not None


@dataclass(frozen=True, slots=True)
class Request:
    """A statement on its way between officers, with what it leaves out.

    Attributes:
        statement: what is asked for.
        lines: signatures so far.
        subject: whom it is about, in clear, or None.
        salt: opens the commitment to the subject, 32 bytes; empty without one.
    """

    statement: Statement
    lines: tuple[str, ...] = ()
    subject: str | None = None
    salt: bytes = b""

    @property
    def note(self) -> str:
        """The statement with its signatures."""
        return f"{self.statement.text()}\n{''.join(self.lines)}"

    def signed(self, identity: OfficerKey) -> Request:
        """Add an officer's signature.

        Raises:
            ApprovalError: if it is there already.
        """
        key = signer_of(identity)
        raw = key.key_id + signing_key(identity).sign(self.statement.text().encode())
        line = signature_line(NAME, raw)
        if line in self.lines:
            raise ApprovalError("You have signed this request already.")
        return replace(self, lines=(*self.lines, line))

    def joined(self, other: Request) -> Request:
        """Bring the signatures of two copies together.

        Raises:
            ApprovalError: if they are not copies of one request.
        """
        if (self.statement, self.subject) != (other.statement, other.subject):
            raise ApprovalError("These are different requests. Give copies of one.")
        return replace(self, lines=tuple(dict.fromkeys((*self.lines, *other.lines))))

    def check_subject(self) -> None:
        """Check that the name in clear is the one that is signed.

        Raises:
            ApprovalError: if it is another.
        """
        named = self.subject is not None
        if named != self.statement.names_subject or (
            named and commitment(self.salt, self.subject or "") != self.statement.about
        ):
            raise ApprovalError(
                "The request names a subject that is not the one which is signed. Do not approve "
                "it; ask who made it."
            )

    def to_json(self) -> str:
        """The request as a file's text."""
        value = {
            "version": 1,
            "statement": self.statement.text(),
            "signatures": list(self.lines),
            "subject": self.subject,
            "salt": self.salt.hex(),
        }
        return json.dumps(value, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def parse(cls, text: str) -> Request:
        """Read a request's file.

        Raises:
            ApprovalError: if it is none.
        """
        try:
            value: dict[str, Any] = json.loads(text)
            lines = tuple(str(line) for line in value["signatures"])
            subject, salt = value["subject"], bytes.fromhex(value["salt"])
            if value["version"] != 1 or not isinstance(subject, str | None):
                raise ValueError(value["version"])
            request = cls(Statement.parse(value["statement"]), lines, subject, salt)
        except (ValueError, KeyError, TypeError, RecursionError, ApprovalError) as error:
            raise ApprovalError(
                "This is not a request for two officers. Make one: cloister audit erase-subject, "
                "hold or release, with -o FILE"
            ) from error
        request.check_subject()
        return request


def make_request(
    origin: str, action: Action, about: str, ground: str, *, subject: bool, now: datetime
) -> Request:
    """Ask two officers for something.

    Args:
        origin: name of the log.
        action: what shall be done.
        about: a subject's name, or EVERYTHING or MATTER.
        ground: of an erasure one of GROUNDS, else the matter.
        subject: whether `about` is a subject's name.
        now: UTC.

    Raises:
        ApprovalError: if there is no such thing to ask for.
    """
    salt = os.urandom(_SALT) if subject else b""
    target = commitment(salt, about) if subject else about
    made = now.replace(microsecond=0)
    statement = Statement(origin, uuid7(), action, target, ground, made)
    Statement.parse(statement.text())
    return Request(statement, (), about if subject else None, salt)


def commitment(salt: bytes, name: str) -> str:
    """A subject in a statement: nobody finds the name without the salt."""
    return base64.b64encode(hmac.digest(salt, _COMMITMENT + name.encode(), "sha256")).decode()


def check_approvals(note: str, signers: Mapping[str, Sequence[str]]) -> Statement:
    """Check that an officer of each group has signed a statement.

    Args:
        note: the statement with its signatures.
        signers: verifier keys of the officers in office, by group.

    Raises:
        ApprovalError: naming the group whose signature is missing.
    """
    try:
        text, _ = split_note(note)
        statement = Statement.parse(text)
        for group in GROUPS:
            if not any(_has_signed(note, signer) for signer in signers.get(group, ())):
                raise ApprovalError(
                    f"No officer of the group {group} who is in office has signed it. He signs it "
                    "on his machine: cloister-audit approve FILE --key FILE"
                )
    except (NoteFormatError, binascii.Error) as error:
        raise ApprovalError(f"Nobody has signed it ({error}): cloister-audit approve") from error
    return statement


def _has_signed(note: str, signer: str) -> bool:
    try:
        VerifierKey.parse(signer).signed_text(note)
    except NoteSignatureError:
        return False
    return True
