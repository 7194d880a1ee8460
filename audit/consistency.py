"""Consistency proofs of RFC 6962, section 2.1.2: a later tree goes on from an earlier one."""

from __future__ import annotations

from collections.abc import Sequence

from audit.errors import ProofError
from audit.merkle import NodeReader, left_width, node_hash, range_root


def consistency_path(old: int, new: int, node: NodeReader) -> list[bytes]:
    """Prove that the tree of `new` leaves begins with that of `old`.

    Args:
        old: leaves of the earlier tree, at most `new`; nothing needs a proof from 0.
        new: leaves of the later tree.
        node: gives hashes of full subtrees.
    """
    if old in (0, new):
        return []
    path: list[bytes] = []
    start, end, whole = 0, new, True
    while old != end - start:
        middle = start + left_width(end - start)
        if old <= middle - start:
            path.append(range_root(middle, end, node))
            end = middle
        else:
            path.append(range_root(start, middle, node))
            old -= middle - start
            start, whole = middle, False
    if not whole:
        path.append(range_root(start, end, node))
    return path[::-1]


def check_consistency(
    old: int, old_root: bytes, new: int, new_root: bytes, path: Sequence[bytes]
) -> None:
    """Check that the tree of size `new` goes on from that of size `old` (RFC 9162, 2.1.4.2).

    Raises:
        ProofError: if the path does not show it.
    """
    if not 0 <= old <= new:
        raise ProofError(f"a tree of {new} leaves does not go on from one of {old}")
    if old in (0, new):
        if path or (old and old_root != new_root):
            raise ProofError("two trees of one size have different roots")
        return
    rest = list(path) if old & (old - 1) else [old_root, *path]
    if not rest or _climb(old - 1, new - 1, rest) != (old_root, new_root):
        raise ProofError("the later tree does not go on from the earlier one")


def _climb(position: int, last: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The roots of the earlier and the later tree that a path leads to.

    Args:
        position: last leaf of the earlier tree.
        last: last leaf of the later tree.
        path: the proof, from the first common subtree on.

    Raises:
        ProofError: if it is longer or shorter than the trees are high.
    """
    while position & 1:
        position, last = position >> 1, last >> 1
    before = after = path[0]
    for node in path[1:]:
        if not last:
            raise ProofError("the path is too long")
        if position & 1 or position == last:
            before, after = node_hash(node, before), node_hash(node, after)
            while position and not position & 1:
                position, last = position >> 1, last >> 1
        else:
            after = node_hash(after, node)
        position, last = position >> 1, last >> 1
    if last:
        raise ProofError("the path is too short")
    return before, after
