"""The officers' file, and the shares that are sealed by it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from audit.age import Identity, decrypt, encrypt
from audit.errors import (
    AgeFormatError,
    AuditError,
    KeyFileError,
    NoMatchingIdentityError,
    OfficersFileError,
    TwoOfficersNeededError,
)
from audit.grants import EpochSecrets, open_grants, seal_grants
from audit.keyfile import read_identities
from audit.officers import Officer, Officers, load_officers, save_officers

ONE, TWO, THREE = (Identity.generate() for _ in range(3))
OFFICERS = Officers(
    {
        "compliance": (Officer("A", ONE.recipient), Officer("C", THREE.recipient)),
        "security": (Officer("B", TWO.recipient),),
    }
)
SECRETS = EpochSecrets.generate()


def test_the_file_reads_back(tmp_path: Path) -> None:
    save_officers(tmp_path / "deep" / "officers.json", OFFICERS)
    assert load_officers(tmp_path / "deep" / "officers.json") == OFFICERS


def test_one_key_stands_once() -> None:
    with pytest.raises(OfficersFileError, match="stands in compliance and security"):
        OFFICERS.with_member("security", Officer("A again", ONE.recipient))


def test_a_group_has_twenty_members_at_most() -> None:
    officers = Officers()
    for number in range(20):
        officers = officers.with_member(
            "security", Officer(str(number), Identity.generate().recipient)
        )
    with pytest.raises(OfficersFileError, match="more than 20"):
        officers.with_member("security", Officer("x", ONE.recipient))


def test_both_groups_need_a_member(tmp_path: Path) -> None:
    alone = Officers().with_member("compliance", Officer("A", ONE.recipient))
    with pytest.raises(OfficersFileError, match="group security has no member"):
        alone.require_both_groups(tmp_path / "officers.json")


def member(**changes: object) -> dict[str, object]:
    return {"name": "A", "recipient": ONE.recipient, **changes}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ([], "version 1"),
        ({"version": 2}, "version 1"),
        ({"version": 1}, "exactly the groups"),
        ({"version": 1, "groups": {"compliance": []}}, "exactly the groups"),
        ({"version": 1, "groups": {"compliance": [1], "security": []}}, "exactly a name"),
        ({"version": 1, "groups": {"compliance": [member(name="")], "security": []}}, "name must"),
        (
            {"version": 1, "groups": {"compliance": [member(recipient=1)], "security": []}},
            "not text",
        ),
        (
            {"version": 1, "groups": {"compliance": [member(recipient="age1x")], "security": []}},
            "no public key",
        ),
    ],
)
def test_a_malformed_file_is_named_with_what_is_wrong(
    tmp_path: Path, data: object, says: str
) -> None:
    path = tmp_path / "officers.json"
    path.write_text(json.dumps(data))
    with pytest.raises(OfficersFileError, match=says) as caught:
        load_officers(path)
    assert str(path) in str(caught.value)


def test_what_is_not_json_or_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OfficersFileError, match="does not exist"):
        load_officers(tmp_path / "officers.json")
    (tmp_path / "officers.json").write_text("{")
    with pytest.raises(OfficersFileError, match="not JSON"):
        load_officers(tmp_path / "officers.json")
    with pytest.raises(OfficersFileError, match="can not be read"):
        load_officers(tmp_path)


def sealed(origin: str = "x/audit", epoch: int = 3) -> dict[str, bytes]:
    return seal_grants(SECRETS, OFFICERS, origin, epoch)


def test_one_officer_of_each_group_opens_both_compartments_and_the_secrets_are_untouched() -> None:
    before = bytes(SECRETS.contents())
    grants = sealed()
    assert SECRETS.contents() == before
    for pair in ([ONE, TWO], [TWO, THREE]):
        opened = open_grants(grants, pair, "x/audit", 3)
        assert opened == SECRETS
        assert opened.contents() == before


def test_one_officer_alone_opens_metadata_and_is_told_whom_to_ask_for_more() -> None:
    grants = sealed()
    for keys, missing in (([ONE, THREE], "security"), ([TWO], "compliance")):
        opened = open_grants(grants, keys, "x/audit", 3)
        assert opened.metadata == SECRETS.metadata
        assert not opened.opens_contents
        with pytest.raises(TwoOfficersNeededError, match=f"officer of the group {missing}"):
            opened.contents()
    with pytest.raises(NoMatchingIdentityError, match="epoch 3"):
        open_grants(grants, [Identity.generate()], "x/audit", 3)


def test_a_grant_holds_one_share_of_the_contents() -> None:
    texts = [decrypt(grant, [ONE, TWO]) for grant in sealed().values()]
    secret = SECRETS.contents().hex()
    for text in texts:
        assert [half.encode() in text for half in (secret[:64], secret[64:])].count(True) == 1


def test_exchanged_grants_are_noticed() -> None:
    grants = sealed()
    for origin, epoch in (("y/audit", 3), ("x/audit", 4)):
        with pytest.raises(AgeFormatError, match="another share"):
            open_grants(grants, [ONE, TWO], origin, epoch)
    foreign = {**grants, "security": encrypt(b"nothing", [TWO.recipient])}
    with pytest.raises(AgeFormatError, match="another share"):
        open_grants(foreign, [ONE, TWO], "x/audit", 3)


def test_grants_of_two_sealings_do_not_go_together() -> None:
    other = seal_grants(EpochSecrets.generate(), OFFICERS, "x/audit", 3)
    mixed = {**sealed(), "security": other["security"]}
    with pytest.raises(AgeFormatError, match="do not belong together"):
        open_grants(mixed, [ONE, TWO], "x/audit", 3)


def test_a_share_is_readable_text_for_the_age_command(tmp_path: Path) -> None:
    (tmp_path / "a.key").write_text(str(ONE) + "\n")
    grants = sealed()
    (tmp_path / "grant.age").write_bytes(grants["compliance"])
    command = ["age", "-d", "-i", "a.key", "grant.age"]
    text = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, text=True).stdout
    assert text.startswith("cloister-audit/v2 share\norigin: x/audit\nepoch: 3\n")


def test_key_files_read_as_age_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    path.write_text(f"# created: now\n# public key: {ONE.recipient}\n{ONE}\n\n{TWO}\n")
    assert [identity.recipient for identity in read_identities(path)] == [
        ONE.recipient,
        TWO.recipient,
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no secret key"),
        ("age-encryption.org/v1\n-> scrypt", "passphrase"),
        (str(ONE)[:-1] + "A", "checksum"),
    ],
)
def test_a_file_that_holds_no_key_is_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "a.key"
    path.write_text(text)
    with pytest.raises(KeyFileError, match=says):
        read_identities(path)
    with pytest.raises(AuditError):
        read_identities(tmp_path / "absent")
