"""Time stamps are RFC 3161's: OpenSSL makes and checks them, and no changed one counts."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import der
from audit.errors import DerFormatError, NoteFormatError, NoteSignatureError
from audit.known import parse_witness
from audit.note import read_checkpoint, split_note
from audit.reader import open_rows
from audit.timestamp import Authority, make_query, read_stamp, with_stamp
from audit.writer.journal import Journal
from tests.support.tsa import TimeStampAuthority
from tests.unit.audit.logfolder import LogFolder, append, request


@pytest.fixture(scope="module", params=["rsa", "ec"])
def tsa(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> TimeStampAuthority:
    return TimeStampAuthority.make(tmp_path_factory.mktemp("tsa") / "a", request.param)


@pytest.fixture
def authority(tsa: TimeStampAuthority) -> Authority:
    return Authority.of_certificate(tsa.certificate.read_bytes())


@pytest.fixture
def query(folder: LogFolder, journal: Journal, tmp_path: Path) -> Path:
    append(journal, request(), request())
    file = tmp_path / "checkpoint.tsq"
    with open_rows(folder.settings.folder) as rows:
        size, note = rows.last_checkpoint() or (0, "")
    file.write_bytes(make_query(note, size))
    return file


@pytest.fixture
def response(tsa: TimeStampAuthority, query: Path, tmp_path: Path) -> bytes:
    tsa.answer(query, tmp_path / "checkpoint.tsr")
    return (tmp_path / "checkpoint.tsr").read_bytes()


def test_openssl_stamps_the_query_and_checks_the_stamp_against_the_checkpoints_text(
    folder: LogFolder,
    tsa: TimeStampAuthority,
    authority: Authority,
    query: Path,
    response: bytes,
    tmp_path: Path,
) -> None:
    assert "Verification: OK" in tsa.check(query, tmp_path / "checkpoint.tsr")
    with open_rows(folder.settings.folder) as rows:
        note = with_stamp(rows, response, [authority])
    (tmp_path / "text").write_text(split_note(note)[0])
    assert "Verification: OK" in tsa.check_data(tmp_path / "text", tmp_path / "checkpoint.tsr")
    assert read_checkpoint(note).size == 3
    assert authority.seen_at(note) == int(read_stamp(response).when.timestamp())


def test_a_stamp_of_another_checkpoint_or_authority_counts_for_nothing(
    folder: LogFolder, authority: Authority, response: bytes, tmp_path: Path, journal: Journal
) -> None:
    stranger = TimeStampAuthority.make(tmp_path / "stranger")
    other = Authority.of_certificate(stranger.certificate.read_bytes())
    with open_rows(folder.settings.folder) as rows:
        for known in ([], [other]):
            with pytest.raises(NoteSignatureError, match="witness --add"):
                with_stamp(rows, response, known)
        note = with_stamp(rows, response, [other, authority])
    text, lines = split_note(note)
    moved = note.replace(f"\n{read_checkpoint(note).size}\n", "\n2\n", 1)
    with pytest.raises(NoteSignatureError, match="another checkpoint"):
        authority.seen_at(moved)
    assert text
    assert len(lines) == 2


def test_no_changed_byte_of_a_stamp_changes_what_it_says(
    folder: LogFolder, authority: Authority, response: bytes
) -> None:
    with open_rows(folder.settings.folder) as rows:
        text, _ = split_note(with_stamp(rows, response, [authority]))
        when = authority._check(text, response)
        refused = 0
        for place in range(len(response)):
            changed = bytearray(response)
            changed[place] ^= 0x01
            try:
                assert authority._check(text, bytes(changed)) == when
            except NoteSignatureError:
                refused += 1
    # Its copy of the certificate and the status text stand outside of the signature.
    assert refused > len(response) // 4


@pytest.mark.usefixtures("journal")
def test_a_cut_stamp_or_other_bytes_are_refused(folder: LogFolder, authority: Authority) -> None:
    query = make_query("cloister/audit\n1\nAA==\n\n\N{EM DASH} a AAAAAAA=\n", 1)
    refused = der.write(der.SEQUENCE, der.write(der.SEQUENCE, der.integer(2)))
    with open_rows(folder.settings.folder) as rows:
        for data in (b"", b"0", query, query[:-1], refused, b"\x30\x80", b"0" * 100):
            with pytest.raises(NoteFormatError, match="no time stamp that was granted"):
                with_stamp(rows, data, [authority])


def test_an_authority_is_known_by_its_vkey(authority: Authority) -> None:
    assert authority.name == "ward-time"
    assert parse_witness(str(authority)) == authority
    assert len(authority.key_id) == 4
    data = b"ward-time\n\xffrfc3161" + authority.public
    assert authority.key_id == hashlib.sha256(data).digest()[:4]
    for text in (str(authority)[:-8] + "AAAAAAA=", str(authority).replace("ward", "yard")):
        with pytest.raises(NoteFormatError):
            parse_witness(text)


def test_a_certificate_for_something_else_is_no_authority(tmp_path: Path) -> None:
    server = TimeStampAuthority.make(tmp_path / "server", usage="serverAuth")
    with pytest.raises(NoteFormatError, match="not for time stamps"):
        Authority.of_certificate(server.certificate.read_bytes())
    for data in (b"", b"hello", b"-----BEGIN CERTIFICATE-----\n"):
        with pytest.raises(NoteFormatError, match="not the certificate"):
            Authority.of_certificate(data)


@given(st.integers(0, 2**200), st.binary(max_size=300))
def test_der_reads_what_it_wrote(number: int, data: bytes) -> None:
    whole = der.write(der.SEQUENCE, der.integer(number), der.write(der.OCTETS, data))
    first, second = der.read(whole, der.SEQUENCE).parts(der.INTEGER, der.OCTETS)
    assert int.from_bytes(first.body, "big") == number
    assert first.body[0] < 0x80
    assert (second.body, first.raw + second.raw) == (data, whole[-len(first.raw + second.raw) :])


@pytest.mark.parametrize(
    "data",
    [
        b"\x04", b"\x04\x05abc", b"\x04\x81\x01a", b"\x04\x82\x00\x80" + b"a" * 128, b"\x04\x80a",
        b"\x04\x84\x00\x00\x00\x01a", b"\x1f\x01a", b"\x04\x81", b"\x05\x00", b"\x04\x01ab",
    ],
)  # fmt: skip
def test_der_that_is_cut_or_not_canonical_is_refused(data: bytes) -> None:
    with pytest.raises(DerFormatError):
        der.read(data, der.OCTETS)
