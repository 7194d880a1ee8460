"""What the page of witnesses gives away and what it takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from audit.officers import load_officers, save_officers
from audit.timestamp import Authority
from audit.witness import WitnessRequest
from tests.service.web.conftest import Visitor
from tests.support.stack import Credentials, Stack
from tests.support.tsa import TimeStampAuthority


@pytest.fixture(scope="module")
def officer(stack: Stack, person: Callable[..., Credentials]) -> Iterator[Visitor]:
    with stack.http() as http:
        officer = Visitor(http)
        officer.sign_in(person("officer"))
        yield officer


def test_the_pages_say_how_many_records_no_outsider_has_seen(
    stack: Stack, officer: Visitor, person: Callable[..., Credentials]
) -> None:
    size = stack.log.status().size
    for path in ("/log", "/log/witness"):
        assert f"{size:,}" in officer.get(path).text
    with stack.http() as http:
        operator = Visitor(http)
        operator.sign_in(person("operator"))
        page = operator.get("/system").text
    found = re.search(r"([\d,]+) records that no outsider has seen", page)
    assert found is not None
    assert int(found[1].replace(",", "")) >= size


def test_a_request_for_a_witness_goes_on_from_what_he_has_seen(
    stack: Stack, officer: Visitor
) -> None:
    answer = officer.get("/log/witness/checkpoint.json?since=1")
    assert 'filename="checkpoint.json"' in answer.headers["Content-Disposition"]
    request = WitnessRequest.parse(answer.text)
    assert set(request.consistency) == {1}
    assert set(WitnessRequest.parse(officer.get("/log/witness/checkpoint.json").text).consistency)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (b"\xff\xfe", "neither a signed note"),
        (b"hello\n", "not the word of a witness"),
        (b"x" * 200_000, "not the word of a witness"),
    ],
)
def test_what_is_no_witnesss_word_is_refused_in_a_sentence(
    stack: Stack, officer: Visitor, file: bytes, words: str
) -> None:
    before = stack.log.status()
    answer = officer.http.post(
        "/log/witness", data={"csrf": officer.csrf("/log/witness")}, files={"file": file}
    )
    assert answer.status_code == 400
    assert words in answer.text
    assert stack.log.status().witnessed == before.witnessed


def test_the_logs_own_checkpoint_is_no_witness(stack: Stack, officer: Visitor) -> None:
    note = stack.log.status().checkpoint
    answer = officer.post("/log/witness", {"note": note}, page="/log/witness")
    assert answer.status_code == 400
    assert "no witness of officers.json has signed it" in answer.text


def test_a_checkpoint_that_there_is_not_has_no_code(officer: Visitor) -> None:
    assert officer.get("/log/witness/999999999.svg").status_code == 404


def test_a_code_is_a_picture_with_a_white_ground_and_nothing_inline(
    stack: Stack, officer: Visitor
) -> None:
    size = officer.get("/log/witness/sheet").text.split("/log/witness/")[1].split(".svg")[0]
    answer = officer.get(f"/log/witness/{size}.svg")
    assert answer.headers["Content-Type"].startswith("image/svg+xml")
    assert "#fff" in answer.text
    assert not re.search(r"<script|style=|<style", answer.text)


def test_a_time_stamp_is_asked_for_and_taken_by_the_page(
    stack: Stack, officer: Visitor, tmp_path: Path
) -> None:
    tsa = TimeStampAuthority.make(tmp_path / "tsa")
    known = load_officers(stack.settings.officers)
    authority = Authority.of_certificate(tsa.certificate.read_bytes())
    query, response = tmp_path / "checkpoint.tsq", tmp_path / "checkpoint.tsr"
    query.write_bytes(officer.get("/log/witness/checkpoint.tsq").content)
    tsa.answer(query, response)

    def bring() -> httpx.Response:
        return officer.http.post(
            "/log/witness",
            data={"csrf": officer.csrf("/log/witness")},
            files={"file": response.read_bytes()},
            follow_redirects=True,
        )

    refused = bring()
    assert refused.status_code == 400
    assert "cloister audit witness --add tsa.pem" in refused.text
    save_officers(stack.settings.officers, known.with_witness(authority))
    taken = bring()
    assert "The witness&#39;s word is in the log." in taken.text
    assert stack.log.status().witnessed > 0
    assert authority.name in taken.text
    assert str(authority) not in taken.text  # a certificate is long
