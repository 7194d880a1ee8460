"""Proofs that stand alone: C2SP tlog-proof, a leaf's path to a signed checkpoint."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from audit.errors import ProofError

_TITLE: Final = "c2sp.org/tlog-proof@v1"
_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,18})")
_MAX_PATH: Final = 63  # hashes


@dataclass(frozen=True, slots=True)
class Proof:
    """A parsed proof: the leaf's index, its audit path and the signed checkpoint."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: str


def format_proof(index: int, path: Sequence[bytes], checkpoint: str) -> str:
    """Write a proof.

    Args:
        index: the leaf's place in the log, from 0.
        path: from the leaf's sibling to the root's child.
        checkpoint: the signed note that the path leads to.
    """
    hashes = "".join(base64.b64encode(node).decode() + "\n" for node in path)
    return f"{_TITLE}\nindex {index}\n{hashes}\n{checkpoint}"


def parse_proof(text: str) -> Proof:
    """Read a proof; extra data, which proves nothing, is passed over.

    Raises:
        ProofError: if it is malformed.
    """
    head, separator, checkpoint = text.partition("\n\n")
    title, *lines = head.split("\n")
    if title != _TITLE or not separator:
        raise ProofError(f"this is not a proof of the form {_TITLE}")
    if lines and lines[0].startswith("extra "):
        del lines[0]
    match = _INDEX.fullmatch(lines[0]) if lines else None
    if match is None or len(lines) - 1 > _MAX_PATH:
        raise ProofError("its index line or its path is malformed")
    try:
        path = tuple(base64.b64decode(line, validate=True) for line in lines[1:])
    except binascii.Error as error:
        raise ProofError("a hash of its path is malformed") from error
    if any(len(node) != 32 for node in path):
        raise ProofError("a hash of its path is malformed")
    return Proof(int(match[1]), path, checkpoint)
