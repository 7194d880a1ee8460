"""The Merkle tree of RFC 6962, section 2.1: grow it leaf by leaf, prove and check inclusion."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from audit.errors import ProofError

EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
STORED_LEVELS: Final = 8  # every eighth level of the tree is kept; the rest is computed from it

NodeReader = Callable[[int, int], bytes]
"""Gives the hash of a full subtree by its level (2**level leaves) and its position there."""


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two children: SHA-256 over 0x01 and both."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a growing tree: one hash for each full subtree that its size is made of."""

    __slots__ = ("_edge", "size")

    def __init__(self, size: int = 0, edge: Iterable[bytes] = ()) -> None:
        """Start empty, or go on from a stored edge.

        Args:
            size: leaves so far.
            edge: hashes of those subtrees, the largest first; as many as `size` has binary ones.
        """
        self.size = size
        self._edge = list(edge)

    def add(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Append a leaf hash and return the full subtrees of stored levels that it completed.

        Returns:
            (level, position, hash) for each completed subtree of 2**8, 2**16, … leaves.
        """
        completed = []
        node, level, position = leaf, 0, self.size
        while position & 1:
            node = node_hash(self._edge.pop(), node)
            level, position = level + 1, position >> 1
            if level % STORED_LEVELS == 0:
                completed.append((level, position, node))
        self._edge.append(node)
        self.size += 1
        return completed

    def root(self) -> bytes:
        """The root over all leaves so far."""
        if not self._edge:
            return EMPTY_ROOT
        node = self._edge[-1]
        for left in reversed(self._edge[:-1]):
            node = node_hash(left, node)
        return node

    def copy(self) -> Frontier:
        """A second frontier that grows on its own."""
        return Frontier(self.size, self._edge)


def subtrees(size: int) -> list[tuple[int, int]]:
    """The full subtrees that make up a tree of this size: (level, position), largest first."""
    parts, start = [], 0
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            parts.append((level, start >> level))
            start += 1 << level
    return parts


def inclusion_path(index: int, size: int, node: NodeReader) -> list[bytes]:
    """The audit path of RFC 6962, section 2.1.1, from the leaf's sibling to the root's child.

    Args:
        index: the leaf's place, from 0, below `size`.
        size: leaves of the tree that the proof is for.
        node: gives hashes of full subtrees.
    """
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + left_width(end - start)
        if index < middle:
            path.append(range_root(middle, end, node))
            end = middle
        else:
            path.append(range_root(start, middle, node))
            start = middle
    return path[::-1]


def check_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Check that a leaf hash stands at `index` in the tree of this size and root.

    Raises:
        ProofError: if the path does not lead there.
    """
    if not 0 <= index < size:
        raise ProofError(f"index {index} lies outside a tree of {size} leaves")
    node, rest = leaf, list(path)
    position, last = index, size - 1
    while last:
        if position & 1 or position != last:
            if not rest:
                raise ProofError("the path is too short")
            sibling = rest.pop(0)
            node = node_hash(sibling, node) if position & 1 else node_hash(node, sibling)
        position, last = position >> 1, last >> 1
    if rest or node != root:
        raise ProofError("the path does not lead from the leaf to the root")


def left_width(width: int) -> int:
    """The largest power of two below `width`."""
    return 1 << (width - 1).bit_length() - 1


def range_root(start: int, end: int, node: NodeReader) -> bytes:
    """Root over the leaves from `start`, a multiple of a power of two not below `end - start`."""
    hashes = [node(level, (start >> level) + place) for level, place in subtrees(end - start)]
    result = hashes[-1]
    for left in reversed(hashes[:-1]):
        result = node_hash(left, result)
    return result
