"""Problems in each benchmark's schema, made by arithmetic: the real ones need a network.

The columns and kinds of values are those of the data sets; the problems are not theirs.

    python -m tests.evaluation.generated FOLDER ROWS     # writes FOLDER/TASK/SPLIT.jsonl
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def _sum(index: int) -> tuple[int, int, int]:
    a, b = 7 * index + 12, 5 * index + 31
    return a, b, a + b


def aime24(index: int) -> dict[str, Any]:
    a, b, total = _sum(index)
    return {"id": 60 + index, "problem": f"Find ${a} + {b}$.", "answer": str(total), "year": "2024"}


def aime25_part1(index: int) -> dict[str, Any]:
    a, b, total = _sum(index)
    return {"problem": f"Find ${a} + {b}$ (2025, I).", "answer": str(total)}


def aime25_part2(index: int) -> dict[str, Any]:
    a, b, total = _sum(index)
    return {"question": f"Find ${a} + {b}$ (2025, II).", "answer": str(total)}


def math_500(index: int) -> dict[str, Any]:
    a, b, _ = _sum(index)
    answer = f"\\frac{{{a}}}{{{b}}}"
    return {
        "problem": f"Write ${a} \\div {b}$ as a fraction.",
        "solution": f"Dividing ${a}$ by ${b}$ gives $\\boxed{{{answer}}}$.",
        "answer": answer,
        "unique_id": f"test/algebra/{index}.json",
    }


def gpqa_diamond(index: int) -> dict[str, Any]:
    a, b, total = _sum(index)
    return {
        "Record ID": f"rec{index}",
        "Question": f"What is {a} plus {b}?",
        "Correct Answer": f"{total} units",
        "Incorrect Answer 1": f"{total + 1} units",
        "Incorrect Answer 2": f"{total + 2} units",
        "Incorrect Answer 3": f"{total - 1} units",
    }


def gsm8k(index: int) -> dict[str, Any]:
    a, b, total = _sum(index)
    return {
        "question": f"Ann has {a},000 nuts and finds {b},000 more. How many has she?",
        "answer": f"<<{a}000+{b}000={total}000>>So she has {total},000.\n#### {total},000",
    }


def amc23(index: int) -> dict[str, Any]:
    a, b, total = _sum(index)
    return {"id": index, "question": f"Add {a} to {b}.", "answer": float(total)}


def olympiadbench(index: int) -> dict[str, Any]:
    a, b, _ = _sum(index)
    golds = [f"$\\frac{{{a}}}{{{b}}}$"] if index % 2 else [str(a), str(b)]
    what = f"the ratio of {a} to {b}" if index % 2 else f"all roots of $(x-{a})(x-{b})=0$"
    return {"id": 1600 + index, "question": f"Find {what}.", "final_answer": golds}


def minerva_math(index: int) -> dict[str, Any]:
    a, b, _ = _sum(index)
    return {"question": f"What is x where x/{b} = {a}?", "answer": f"{a} \\cdot {b}"}


#: By benchmark: what makes its row, and the split that it is read from.
SCHEMAS: dict[str, tuple[Callable[[int], dict[str, Any]], str]] = {
    "aime24": (aime24, "train"),
    "aime25_part1": (aime25_part1, "train"),
    "aime25_part2": (aime25_part2, "test"),
    "math_500": (math_500, "test"),
    "gpqa_diamond": (gpqa_diamond, "train"),
    "gsm8k": (gsm8k, "test"),
    "amc23": (amc23, "test"),
    "olympiadbench": (olympiadbench, "test"),
    "minerva_math": (minerva_math, "test"),
}


def write(benchmark: str, folder: Path, rows: int) -> list[dict[str, Any]]:
    """``folder/SPLIT.jsonl`` with so many rows, which are returned."""
    make, split = SCHEMAS[benchmark]
    made = [make(index) for index in range(rows)]
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row) + "\n" for row in made]
    (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    return made


def question(row: dict[str, Any]) -> str:
    """The text that a prompt for this row holds."""
    return str(row.get("problem") or row.get("question") or row["Question"])


def right(benchmark: str, row: dict[str, Any]) -> Any:
    """The right answer for the table of answering_server."""
    if benchmark == "gpqa_diamond":
        return {"letter_of": row["Correct Answer"]}
    if benchmark == "math_500":
        return f"So it is $\\boxed{{{row['answer']}}}$."
    if benchmark == "gsm8k":
        return f"So it is $\\boxed{{{row['answer'].rpartition('####')[2].strip()}}}$."
    golds = row.get("final_answer") or [str(row["answer"])]
    return f"So it is $\\boxed{{{', '.join(gold.strip('$') for gold in golds)}}}$."


if __name__ == "__main__":
    for name in SCHEMAS:
        write(name, Path(sys.argv[1]) / name, int(sys.argv[2]))
