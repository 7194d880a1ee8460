"""The leaf's layout is the table of the specification, byte for byte."""

from __future__ import annotations

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.errors import LeafFormatError
from audit.leaf import HEADER_SIZE, LEAF_SIZE, Leaf, LeafFlag, LeafType, leaf_hash

LEAF = Leaf(
    kind=LeafType.ANSWER,
    flags=LeafFlag.CONTENT,
    index=0x0102030405060708,
    epoch=0x11121314,
    seq=0x21222324,
    boot_ns=0x3132333435363738,
    wall_ns=0x4142434445464748,
    boot_id=b"B" * 16,
    event=b"E" * 16,
    actor=b"A" * 16,
    subject=b"S" * 16,
    prev=b"P" * 32,
    meta_hash=b"M" * 32,
    content_hash=b"C" * 32,
)

numbers = st.integers(0, 2**64 - 1)
small = st.integers(0, 2**32 - 1)
short, long = st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32)
leaves = st.builds(
    Leaf,
    kind=st.sampled_from(LeafType),
    flags=st.integers(0, 15),
    index=numbers,
    epoch=small,
    seq=small,
    boot_ns=numbers,
    wall_ns=numbers,
    boot_id=short,
    event=short,
    actor=short,
    subject=short,
    prev=long,
    meta_hash=long,
    content_hash=long,
)


def test_fields_stand_at_the_offsets_of_the_table() -> None:
    data = LEAF.pack()
    assert len(data) == LEAF_SIZE == 200
    assert data[:4] == b"SLA1"
    assert data[4] == 2
    assert data[5] == 1
    assert data[6:8] == b"\x00\x02"
    assert struct.unpack_from(">QIIQQ", data, 8) == (
        LEAF.index,
        LEAF.epoch,
        LEAF.seq,
        LEAF.wall_ns,
        LEAF.boot_ns,
    )
    assert data[40:56] == b"B" * 16
    assert data[56:72] == b"E" * 16
    assert data[72:88] == b"A" * 16
    assert data[88:104] == b"S" * 16
    assert data[104:136] == b"P" * 32
    assert data[136:168] == b"M" * 32
    assert data[168:] == b"C" * 32


def test_the_header_is_all_before_the_blob_hashes() -> None:
    assert LEAF.header() == LEAF.pack()[:HEADER_SIZE]
    assert HEADER_SIZE == 136


def test_a_leaf_is_hashed_with_the_prefix_of_rfc_6962() -> None:
    assert leaf_hash(b"x") == hashlib.sha256(b"\x00x").digest()


@given(leaves)
def test_every_leaf_reads_back_as_it_was_written(leaf: Leaf) -> None:
    assert Leaf.unpack(leaf.pack()) == leaf


@pytest.mark.parametrize(
    ("offset", "value", "says"),
    [(0, b"X", "SLA1"), (4, b"\x63", "type 99"), (5, b"\x80", "0x80"), (7, b"\x01", "version 2")],
)
def test_what_this_version_does_not_know_is_refused(offset: int, value: bytes, says: str) -> None:
    data = bytearray(LEAF.pack())
    data[offset : offset + 1] = value
    with pytest.raises(LeafFormatError, match=says):
        Leaf.unpack(bytes(data))


def test_another_length_is_refused() -> None:
    with pytest.raises(LeafFormatError, match="199 bytes"):
        Leaf.unpack(LEAF.pack()[:-1])


def test_the_fourteen_types_have_the_numbers_of_the_table() -> None:
    assert {kind.label: int(kind) for kind in LeafType} == {
        "prompt": 1,
        "answer": 2,
        "admin": 3,
        "auth": 4,
        "access": 5,
        "epoch-open": 6,
        "epoch-close": 7,
        "heartbeat": 8,
        "hold": 9,
        "shred": 10,
        "prune": 11,
        "fault": 12,
        "clock-step": 13,
        "witness": 14,
    }
