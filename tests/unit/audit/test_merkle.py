"""The tree is RFC 6962's, judged by a library that we did not write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from audit.errors import ProofError
from audit.leaf import leaf_hash
from audit.merkle import (
    EMPTY_ROOT,
    Frontier,
    check_inclusion,
    inclusion_path,
    node_hash,
    subtrees,
)

SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 31, 33, 64, 100, 255, 256, 257, 300, 513]


def leaves(count: int) -> list[bytes]:
    return [f"leaf {number}".encode() for number in range(count)]


def reader(hashes: list[bytes]):  # noqa: ANN201 - a NodeReader over a list
    def node(level: int, position: int) -> bytes:
        if level == 0:
            return hashes[position]
        return node_hash(node(level - 1, 2 * position), node(level - 1, 2 * position + 1))

    return node


@pytest.mark.parametrize("size", SIZES)
def test_the_root_is_the_one_that_pymerkle_computes(size: int) -> None:
    peer, tree = InmemoryTree(algorithm="sha256"), Frontier()
    for entry in leaves(size):
        peer.append_entry(entry)
        tree.add(leaf_hash(entry))
    assert tree.root() == peer.get_root()


def test_the_empty_tree_has_the_root_of_the_rfc() -> None:
    assert Frontier().root() == EMPTY_ROOT == InmemoryTree(algorithm="sha256").get_root()


@pytest.mark.parametrize("size", SIZES)
def test_every_leaf_has_a_path_to_the_root_and_no_other_path_passes(size: int) -> None:
    hashes = [leaf_hash(entry) for entry in leaves(size)]
    tree = Frontier()
    for node in hashes:
        tree.add(node)
    for index in {0, 1, size // 2, size - 2, size - 1} & set(range(size)):
        path = inclusion_path(index, size, reader(hashes))
        check_inclusion(hashes[index], index, size, path, tree.root())
        other = leaf_hash(b"other")
        wrong = [
            (other, index, size, path, tree.root()),
            (hashes[index], index, size, [*path, other], tree.root()),
            (hashes[index], index, size, path, other),
            (hashes[index], size, size, path, tree.root()),
        ]
        if path:
            wrong.append((hashes[index], index, size, path[:-1], tree.root()))
            wrong.append((hashes[index], index ^ 1, size, path, tree.root()))
        for arguments in wrong:
            with pytest.raises(ProofError):
                check_inclusion(*arguments)


@given(st.integers(0, 600))
def test_a_tree_grows_on_from_its_stored_edge(size: int) -> None:
    hashes = [leaf_hash(entry) for entry in leaves(size + 3)]
    grown = Frontier()
    for node in hashes:
        grown.add(node)
    edge = [reader(hashes)(level, position) for level, position in subtrees(size)]
    resumed = Frontier(size, edge)
    for node in hashes[size:]:
        resumed.add(node)
    assert resumed.root() == grown.root()


def test_only_every_eighth_level_is_kept() -> None:
    tree, kept = Frontier(), []
    for entry in leaves(600):
        kept += [(level, position) for level, position, _ in tree.add(leaf_hash(entry))]
    assert kept == [(8, 0), (8, 1)]
