"""Proofs are C2SP tlog-proof texts; whatever is none is refused."""

from __future__ import annotations

import base64

import pytest

from audit.errors import ProofError
from audit.proof import Proof, format_proof, parse_proof

NODE = base64.b64encode(bytes(32)).decode()
CHECKPOINT = "example.com/log\n5\nroot\n\n\N{EM DASH} example.com/log x\n"


def test_a_proof_reads_back() -> None:
    text = format_proof(3, [bytes(32), b"x" * 32], CHECKPOINT)
    assert text.startswith(f"c2sp.org/tlog-proof@v1\nindex 3\n{NODE}\n")
    assert parse_proof(text) == Proof(3, (bytes(32), b"x" * 32), CHECKPOINT)


def test_a_log_of_one_record_needs_no_path() -> None:
    assert parse_proof(format_proof(0, [], CHECKPOINT)) == Proof(0, (), CHECKPOINT)


def test_extra_data_is_passed_over() -> None:
    text = f"c2sp.org/tlog-proof@v1\nextra AAAA\nindex 3\n{NODE}\n\n{CHECKPOINT}"
    assert parse_proof(text).index == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "c2sp.org/tlog-proof@v1",
        f"c2sp.org/tlog-proof@v2\nindex 3\n\n{CHECKPOINT}",
        f"c2sp.org/tlog-proof@v1\n\n{CHECKPOINT}",
        f"c2sp.org/tlog-proof@v1\nindex 03\n\n{CHECKPOINT}",
        f"c2sp.org/tlog-proof@v1\nindex 3\nAAAA\n\n{CHECKPOINT}",
        f"c2sp.org/tlog-proof@v1\nindex 3\n!\n\n{CHECKPOINT}",
        "c2sp.org/tlog-proof@v1\nindex 3\n" + f"{NODE}\n" * 64 + f"\n{CHECKPOINT}",
    ],
)
def test_what_is_no_proof_is_refused(text: str) -> None:
    with pytest.raises(ProofError):
        parse_proof(text)
