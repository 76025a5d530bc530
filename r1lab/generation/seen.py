"""Which texts came before, in some twenty bytes each: a set of hashes that millions fit into."""

from __future__ import annotations

from array import array
from hashlib import blake2b

_FIRST_SIZE = 1 << 12
#: From here on the table is doubled: looking takes longer the fuller it is.
_FULLEST = 0.6


class Seen:
    """A set of texts that only knows their hashes: 64 bits each, in an open-addressed table.

    8 bytes divided by how full the table is: 13 to 27 a text, and half as much again for a moment
    when it grows. Two of n texts have one hash with probability n²/2⁶⁵: 3 in 10 million for a
    million texts.
    """

    def __init__(self) -> None:
        self._table = array("Q", bytes(8 * _FIRST_SIZE))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def bytes(self) -> int:
        """What the table takes."""
        return len(self._table) * self._table.itemsize

    def __contains__(self, text: str) -> bool:
        return self._table[self._slot(self._table, _hash(text))] != 0

    def add(self, text: str) -> bool:
        """Remember a text; False where it was here before."""
        code = _hash(text)
        slot = self._slot(self._table, code)
        if self._table[slot]:
            return False
        self._table[slot] = code
        self._count += 1
        if self._count > _FULLEST * len(self._table):
            self._grow()
        return True

    @staticmethod
    def _slot(table: array[int], code: int) -> int:
        """Where a hash is, or would be."""
        last = len(table) - 1  # the size is a power of two
        slot = code & last
        while table[slot] not in (0, code):
            slot = (slot + 1) & last
        return slot

    def _grow(self) -> None:
        larger = array("Q", bytes(16 * len(self._table)))
        for code in self._table:
            if code:
                larger[self._slot(larger, code)] = code
        self._table = larger


def _hash(text: str) -> int:
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1  # 0 is an empty slot
