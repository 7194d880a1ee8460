"""A later tree is proven to go on from an earlier one, and nothing else is."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.consistency import check_consistency, consistency_path
from audit.errors import ProofError
from audit.merkle import Frontier, NodeReader, node_hash

LEAVES = [hashlib.sha256(bytes([number])).digest() for number in range(70)]


def reader(leaves: list[bytes]) -> NodeReader:
    def node(level: int, position: int) -> bytes:
        if level == 0:
            return leaves[position]
        return node_hash(node(level - 1, 2 * position), node(level - 1, 2 * position + 1))

    return node


def root(leaves: list[bytes]) -> bytes:
    tree = Frontier()
    for leaf in leaves:
        tree.add(leaf)
    return tree.root()


def test_every_pair_of_sizes_is_proven_and_no_changed_proof_passes() -> None:
    for new in range(1, 36):
        for old in range(new + 1):
            path = consistency_path(old, new, reader(LEAVES))
            roots = root(LEAVES[:old]), root(LEAVES[:new])
            check_consistency(old, roots[0], new, roots[1], path)
            for place in range(len(path)):
                changed = [*path[:place], bytes(32), *path[place + 1 :]]
                with pytest.raises(ProofError):
                    check_consistency(old, roots[0], new, roots[1], changed)
            if path:
                with pytest.raises(ProofError):
                    check_consistency(old, roots[0], new, roots[1], path[:-1])
            with pytest.raises(ProofError):
                check_consistency(old, roots[0], new, roots[1], [*path, bytes(32)])


@given(st.integers(1, 69), st.integers(1, 69), st.integers(0, 68))
@settings(max_examples=200)
def test_a_tree_with_one_other_leaf_in_front_is_refused(one: int, two: int, place: int) -> None:
    old, new = sorted((one, two))
    if old == new or place >= old:
        return
    other = [*LEAVES[:place], bytes(32), *LEAVES[place + 1 :]]
    path = consistency_path(old, new, reader(other))
    with pytest.raises(ProofError):
        check_consistency(old, root(LEAVES[:old]), new, root(other[:new]), path)


def test_a_smaller_tree_goes_on_from_nothing_larger() -> None:
    with pytest.raises(ProofError, match="does not go on"):
        check_consistency(3, bytes(32), 2, bytes(32), [])
    with pytest.raises(ProofError, match="different roots"):
        check_consistency(2, bytes(32), 2, bytes(range(32)), [])
