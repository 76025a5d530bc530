"""Texts that are nearly the same: the share of word shingles that two texts have in common.

A shingle is a few words in a row, whatever their case; a text of fewer words is one shingle. The
measure is the Jaccard similarity of two texts' sets of shingles (Broder 1997).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from r1lab.errors import PrerequisiteError

if TYPE_CHECKING:
    import numpy

#: Shingles whose hashes are computed at a time: num_perm x 8 bytes for each of them.
_AT_A_TIME = 4096


class Few:
    """Finds near duplicates among a few texts, exactly: each is compared with all that are kept."""

    def __init__(self, threshold: float, words: int):
        self.threshold, self.words = threshold, words
        self._kept: list[set[int]] = []

    def add(self, text: str) -> bool:
        """Keep a text; False, and not kept, where one like it is."""
        mine = {hash(shingle) for shingle in _tuples(text, self.words)}
        if any(self._alike(mine, other) for other in self._kept):
            return False
        self._kept.append(mine)
        return True

    def _alike(self, one: set[int], other: set[int]) -> bool:
        small, large = sorted((len(one), len(other)))
        if small < self.threshold * large:  # even if one were all in the other
            return False
        common = len(one & other)
        return common >= self.threshold * (small + large - common)


class Many:
    """Finds near duplicates among many texts by MinHash: ``num_perm`` least hashes stand for a
    text, and only those that agree in a band of them (LSH, datasketch) are compared.

    The similarity is estimated, with a standard error of at most ``0.5 / sqrt(num_perm)``: 0.044
    for 128. Memory grows with every text that is kept, whatever its length.
    """

    def __init__(self, threshold: float, words: int, num_perm: int):
        require_datasketch()
        from datasketch import MinHash, MinHashLSH  # type: ignore[import-untyped]

        self.threshold, self.words = threshold, words
        self._empty = MinHash(num_perm=num_perm, hashfunc=zlib.crc32)
        # What is found is compared, so that finding too much costs time only: with 128, 14 bands of
        # 9, which pair 87% of texts at a similarity of 0.8 and 97% at 0.85.
        self._lsh = MinHashLSH(threshold=threshold, num_perm=num_perm, weights=(0.1, 0.9))
        self._signatures: list[numpy.ndarray[Any, Any]] = []

    def add(self, text: str) -> bool:
        """Keep a text; False, and not kept, where one like it is."""
        mine = self._empty.copy()
        shingles = sorted({" ".join(shingle) for shingle in _tuples(text, self.words)})
        for first in range(0, len(shingles), _AT_A_TIME):
            part = shingles[first : first + _AT_A_TIME]
            mine.update_batch(shingle.encode("utf-8", "surrogatepass") for shingle in part)
        signature = mine.hashvalues.astype("uint32")  # they are of 32 bits
        for index in self._lsh.query(mine):
            if (self._signatures[index] == signature).mean() >= self.threshold:
                return False
        self._lsh.insert(len(self._signatures), mine, check_duplication=False)
        self._signatures.append(signature)
        return True


def require_datasketch() -> None:
    """Raise where comparing many texts is not possible."""
    if find_spec("datasketch") is None:
        raise PrerequisiteError(
            "datasketch",
            "near duplicates among all prompts are found with it",
            "pip install datasketch, or set steps.duplicates.scope=prompt",
        )


def _tuples(text: str, words: int) -> Iterable[tuple[str, ...]]:
    found = text.casefold().split()
    if len(found) <= words:
        return [tuple(found)]
    return zip(*(found[start:] for start in range(words)), strict=False)
