"""The default data: chains of last-digit arithmetic, generated on the spot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from r1lab.data.arithmetic import DIFFICULTIES, choose_style, make_problem, render
from r1lab.data.source import Source, check_count, check_one_of
from r1lab.errors import ConfigError, Problem

if TYPE_CHECKING:
    from datasets import Dataset

_COLUMNS = ("problem", "thinking", "solution", "completion", "difficulty")


def _columns() -> dict[str, str | None]:
    return {
        "prompt": "problem",
        "solution": "solution",
        "messages": None,
        "completion": "completion",
    }


@dataclass(kw_only=True)
class Arithmetic(Source):
    """Problems of :mod:`r1lab.data.arithmetic`; row ``i`` depends on (seed, i, split, difficulty).

    For SFT a row also has a completion, in one of two styles: the first ``sft_think_first``
    training rows think before they answer, and of the rows after them (and of the test rows) a
    share of ``sft_think_fraction`` does; the others blurt the answer out. Set ``shuffle=false`` to
    have the two phases follow one another in training.
    """

    name: str = "arithmetic"
    columns: dict[str, str | None] = field(default_factory=_columns)
    system_prompt: str | None = "open_r1"
    difficulty: str = "medium"
    seed: int = 0
    train_size: int = 20000
    test_size: int | float = 512
    sft_think_fraction: float = 1.0
    sft_think_first: int = 0

    makes_test: ClassVar[bool] = True

    def load(self) -> dict[str, Dataset]:
        from datasets import Dataset

        return {
            split: Dataset.from_dict(self._table(split, size))
            for split, size in self._sizes().items()
        }

    def stream(self, split: str, key: str = "data.split") -> Iterator[dict[str, Any]]:
        sizes = self._sizes()
        if split not in sizes:
            raise ConfigError(self.no_split(split, set(sizes), key))
        return (self._row(split, index) for index in range(sizes[split]))

    def split_names(self) -> set[str]:
        return set(self._sizes())

    def _sizes(self) -> dict[str, int]:
        sizes = {"train": self.train_size, "test": int(self.test_size)}
        return {split: size for split, size in sizes.items() if size}

    def _row(self, split: str, index: int) -> dict[str, str]:
        row = make_problem(self.seed, index, split, self.difficulty)
        row["completion"] = render(row, self._style(split, index))
        row["difficulty"] = self.difficulty
        return row

    def _table(self, split: str, size: int) -> dict[str, list[str]]:
        table: dict[str, list[str]] = {name: [] for name in _COLUMNS}
        for index in range(size):
            row = self._row(split, index)
            for name in _COLUMNS:
                table[name].append(row[name])
        return table

    def _style(self, split: str, index: int) -> str:
        first = self.sft_think_first if split == "train" else 0
        return choose_style(self.seed, index, first, self.sft_think_fraction)

    def provides(self) -> set[str]:
        return {"prompt", *_COLUMNS} - {"completion"}

    def raw_columns(self) -> set[str]:
        """Return the columns that ``load`` gives."""
        return set(_COLUMNS)

    def check(self, key: str = "data") -> list[Problem]:
        found = super().check(key)
        found += check_one_of(f"{key}.difficulty", self.difficulty, tuple(DIFFICULTIES))
        found += check_count(f"{key}.seed", self.seed, 0)
        found += check_count(f"{key}.train_size", self.train_size, 1)
        found += check_count(f"{key}.sft_think_first", self.sft_think_first, 0)
        share = self.sft_think_fraction
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            fix = "write a share between 0 (blurt) and 1 (think)"
            found.append(Problem(f"{key}.sft_think_fraction", share, "is not a share", fix))
        return found + check_whole_test_size(self.test_size, key)


def check_whole_test_size(size: int | float, key: str) -> list[Problem]:
    """Return a problem where a generated test split is given as a share of a train split."""
    if isinstance(size, float) and not size.is_integer():
        message = "is a share, but this source generates its test rows"
        return [Problem(f"{key}.test_size", size, message, "write a number of rows")]
    return []
