"""Who may open the log: `officers.json` names the members of the two groups by their public keys.

It also names the witnesses whose word the log takes. That field may be left out, and so may the
`signer` of an officer, who then opens records and approves nothing.

{"version": 1,
 "groups": {"compliance": [{"name": "A. Officer", "recipient": "age1…", "signer": "officer+…"}],
            "security":   [{"name": "B. Officer", "recipient": "age1…", "signer": "officer+…"}]},
 "witnesses": ["a-officer-laptop+8f6840fd+BB…="]}
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from audit.age import MAX_RECIPIENTS, parse_recipient
from audit.cosign import Witness
from audit.errors import AgeFormatError, NoteFormatError, OfficersFileError
from audit.known import parse_witness
from audit.note import VerifierKey

GROUPS: Final = ("compliance", "security")
_VERSION: Final = 1
_MAX_NAME: Final = 100  # characters


@dataclass(frozen=True, slots=True)
class Officer:
    """A person, the public key that records are sealed to, and the one that he signs with.

    Attributes:
        name: of the person.
        recipient: `age1…`.
        signer: verifier key of what he approves, empty if he approves nothing.
    """

    name: str
    recipient: str
    signer: str = ""

    def to_json(self) -> dict[str, str]:
        """The officer as JSON values."""
        found = {"name": self.name, "recipient": self.recipient}
        return found | {"signer": self.signer} if self.signer else found


@dataclass(frozen=True, slots=True)
class Officers:
    """The members of both groups, and the witnesses."""

    members: Mapping[str, tuple[Officer, ...]] = field(
        default_factory=lambda: dict.fromkeys(GROUPS, ())
    )
    witnesses: tuple[Witness, ...] = ()

    def recipients(self, group: str) -> list[str]:
        """Public keys of a group's members."""
        return [officer.recipient for officer in self.members[group]]

    def signers(self, group: str) -> list[str]:
        """Verifier keys of a group's members who approve."""
        return [officer.signer for officer in self.members[group] if officer.signer]

    def with_member(self, group: str, officer: Officer) -> Officers:
        """Add a member to a group.

        Raises:
            OfficersFileError: if the key is there already or the group is full.
        """
        members = {**self.members, group: (*self.members[group], officer)}
        _check_members(members)
        return Officers(members, self.witnesses)

    def with_witness(self, witness: Witness) -> Officers:
        """Add a witness.

        Raises:
            OfficersFileError: if the name is taken.
        """
        witnesses = (*self.witnesses, witness)
        _check_witnesses(witnesses)
        return Officers(self.members, witnesses)

    def require_both_groups(self, path: Path) -> None:
        """Check that both groups have members.

        Raises:
            OfficersFileError: if one is empty.
        """
        for group in GROUPS:
            if not self.members[group]:
                raise OfficersFileError(
                    f"{path}: the group {group} has no member, so nobody could open the log. "
                    f'Add one: cloister-audit keygen --name "…" --group {group} '
                    f"-o {group}.key --officers {path}"
                )


def load_officers(path: Path) -> Officers:
    """Read the officers' file.

    Raises:
        OfficersFileError: if it is missing or malformed.
    """
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise OfficersFileError(
            f"{path} does not exist. Make it: cloister-audit keygen --name … --group … "
            f"-o … --officers {path}, once for each group."
        ) from error
    except OSError as error:
        raise OfficersFileError(f"{path} can not be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise OfficersFileError(f"{path} is not JSON: {error}. Restore it.") from error
    try:
        return _parse(data)
    except OfficersFileError as error:
        raise OfficersFileError(f"{path}: {error}") from error


def save_officers(path: Path, officers: Officers) -> None:
    """Write the officers' file in one step: a reader sees the old one or the new one.

    Raises:
        OfficersFileError: if the folder can not be written.
    """
    groups = {group: [officer.to_json() for officer in officers.members[group]] for group in GROUPS}
    value = {"version": _VERSION, "groups": groups}
    if officers.witnesses:
        value["witnesses"] = [str(witness) for witness in officers.witnesses]
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            file.write(text + "\n")
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        Path(file.name).replace(path)
    except OSError as error:
        raise OfficersFileError(f"{path} can not be written: {error.strerror}.") from error


def _parse(data: object) -> Officers:
    if not isinstance(data, dict) or data.get("version") != _VERSION:
        raise OfficersFileError(f"it is not an officers' file of version {_VERSION}.")
    groups = data.get("groups")
    if not isinstance(groups, dict) or set(groups) != set(GROUPS):
        raise OfficersFileError(f"it must name exactly the groups {' and '.join(GROUPS)}.")
    members = {group: tuple(_officer(entry) for entry in groups[group]) for group in GROUPS}
    _check_members(members)
    witnesses = _witnesses(data.get("witnesses", []))
    return Officers(members, witnesses)


def _witnesses(entries: object) -> tuple[Witness, ...]:
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise OfficersFileError("its witnesses must be a list of verifier keys.")
    try:
        witnesses = tuple(parse_witness(entry) for entry in entries)
    except NoteFormatError as error:
        raise OfficersFileError(f"a witness is malformed: {error}") from error
    _check_witnesses(witnesses)
    return witnesses


def _check_witnesses(witnesses: Sequence[Witness]) -> None:
    names = [witness.name for witness in witnesses]
    for name in names:
        if names.count(name) > 1:
            raise OfficersFileError(f"the witness {name} stands there twice. Use another name.")


def _officer(entry: object) -> Officer:
    if not isinstance(entry, dict) or set(entry) - {"signer"} != {"name", "recipient"}:
        raise OfficersFileError(
            "each member has exactly a name and a recipient, and may have a signer."
        )
    name, recipient, signer = entry["name"], entry["recipient"], entry.get("signer", "")
    if not isinstance(name, str) or not 1 <= len(name) <= _MAX_NAME:
        raise OfficersFileError(f"a member's name must have 1 to {_MAX_NAME} characters.")
    if not isinstance(recipient, str):
        raise OfficersFileError(f"the recipient of {name} is not text.")
    try:
        parse_recipient(recipient)
    except AgeFormatError as error:
        raise OfficersFileError(f"the recipient of {name} is no public key: {error}") from error
    try:
        signer and VerifierKey.parse(signer)
    except (NoteFormatError, AttributeError) as error:
        raise OfficersFileError(f"the signer of {name} is no verifier key.") from error
    return Officer(name, recipient, signer)


def _check_members(members: Mapping[str, tuple[Officer, ...]]) -> None:
    seen: dict[str, str] = {}
    for group, officers in members.items():
        if len(officers) > MAX_RECIPIENTS:
            raise OfficersFileError(f"the group {group} has more than {MAX_RECIPIENTS} members.")
        for officer in officers:
            for key in filter(None, (officer.recipient, officer.signer)):
                if key in seen:
                    raise OfficersFileError(
                        f"the key of {officer.name} stands in {seen[key]} and {group}. A key may "
                        "stand once, so that no one opens the log alone: make another."
                    )
                seen[key] = group
