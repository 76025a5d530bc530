"""Generated programming problems with test cases, for the code rewards."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from r1lab.data.arithmetic_source import check_whole_test_size
from r1lab.data.coding import make_problem
from r1lab.data.source import Source, check_count
from r1lab.errors import Problem

if TYPE_CHECKING:
    from datasets import Dataset

SYSTEM_PROMPT = (
    "The assistant first thinks the user's question through step by step inside <think> </think>, "
    "then replies inside <answer> </answer>, each tag on its own line, with the whole program in "
    "one ```python code block."
)

_COLUMNS = ("problem", "solution", "completion", "verification_info", "kind")


def _columns() -> dict[str, str | None]:
    return {
        "prompt": "problem",
        "solution": "solution",
        "messages": None,
        "completion": "completion",
    }


@dataclass(kw_only=True)
class Coding(Source):
    """Problems of :mod:`r1lab.data.coding`; row ``i`` depends on (seed, i, split, tests) alone.

    ``verification_info`` is JSON in the form of open-r1/verifiable-coding-problems-python, with
    ``tests`` test cases a problem; ``solution`` is a program that passes them, ``completion`` the
    same as an answer to learn from, in its tags.
    """

    name: str = "coding"
    columns: dict[str, str | None] = field(default_factory=_columns)
    system_prompt: str | None = SYSTEM_PROMPT
    check_solutions: int | None = 0  # programs, which no algebra can parse
    seed: int = 0
    tests: int = 8
    train_size: int = 2000
    test_size: int | float = 128

    makes_test: ClassVar[bool] = True

    def load(self) -> dict[str, Dataset]:
        from datasets import Dataset

        splits = {"train": self.train_size, "test": int(self.test_size)}
        return {
            split: Dataset.from_list([self._row(split, index) for index in range(size)])
            for split, size in splits.items()
            if size
        }

    def _row(self, split: str, index: int) -> dict[str, str]:
        made = make_problem(self.seed, index, split, self.tests)
        cases = [
            {"input": given, "output": output, "type": "stdin_stdout"}
            for given, output in made["cases"]
        ]
        thinking = "I read the input, work out what is asked for, and print it."
        block = f"```python\n{made['solution']}```"
        return {
            "problem": made["problem"],
            "solution": made["solution"],
            "completion": f"<think>\n{thinking}\n</think>\n<answer>\n{block}\n</answer>",
            "verification_info": json.dumps({"language": "python", "test_cases": cases}),
            "kind": made["kind"],
        }

    def provides(self) -> set[str]:
        return {"prompt", *_COLUMNS} - {"completion"}

    def raw_columns(self) -> set[str]:
        """Return the columns that ``load`` gives."""
        return set(_COLUMNS)

    def check(self, key: str = "data") -> list[Problem]:
        found = super().check(key)
        found += check_count(f"{key}.seed", self.seed, 0)
        found += check_count(f"{key}.tests", self.tests, 1)
        found += check_count(f"{key}.train_size", self.train_size, 1)
        return found + check_whole_test_size(self.test_size, key)
