"""Small programming problems with their tests: what a code reward can be tried on, offline.

A problem is a template with parameters drawn for it ("the sum of those numbers that are divisible
by 7"), a few inputs drawn for it, and a reference program, which says what the outputs are. The
first inputs are a template's edge cases.

The generator is frozen: it draws from SHA-256 and from nothing else, so a row depends on (seed,
index, split, number of tests) alone, whatever the Python version and the platform. Train and test
share no problem: a hash of template and parameters says to which of the two it belongs, for every
seed. Change any of this, or a template, and ``VERSION`` has to change with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from r1lab.data.coding_templates import TEMPLATES, Draw, Parameters

VERSION = "coding-1"
SPLITS: tuple[str, ...] = ("train", "test")
TEST_SHARE = 5
"""One template with parameters in so many belongs to the test split."""

_PROGRAM = "import sys\n\n\n{body}\n\nprint(solve(sys.stdin.read()))\n"


def split_of(template: str, parameters: Parameters) -> str:
    """Return the split that owns a template with these parameters, whatever the seed."""
    canonical = f"{VERSION}|split|{template}|{sorted(parameters.items())}"
    digest = hashlib.sha256(canonical.encode()).digest()
    return "test" if digest[0] % TEST_SHARE == 0 else "train"


def make_problem(seed: int, index: int, split: str = "train", tests: int = 8) -> dict[str, Any]:
    """Return row ``index`` of a split: ``problem``, ``solution`` (a program), ``cases``, ``kind``.

    ``cases`` are pairs of input and output, ``tests`` of them, no input twice where the template
    has as many.
    """
    if split not in SPLITS:
        raise ValueError(f"split={split!r}: expected one of {', '.join(SPLITS)}")
    draw = Draw(f"{VERSION}|{seed}|{split}|{index}")
    while True:
        template = draw.pick(TEMPLATES)
        parameters = template.parameters(draw)
        if split_of(template.name, parameters) == split:
            break
    body = template.body.format(**parameters)
    solve = _solver(body)
    inputs: list[str] = []
    for attempt in range(4 * tests):
        given = template.input(draw, len(inputs) if len(inputs) < 2 else attempt + 2)
        if given not in inputs or attempt >= 3 * tests:
            inputs.append(given)
        if len(inputs) == tests:
            break
    cases = [(given, f"{solve(given)}\n") for given in inputs]
    shown = cases[-1]
    problem = (
        f"Write a Python program that reads from standard input and prints to standard output.\n\n"
        f"Input: {template.given}\n{template.task.format(**parameters)}\n\n"
        f"Example input:\n{shown[0]}\nExample output:\n{shown[1]}"
    )
    return {
        "problem": problem,
        "solution": _PROGRAM.format(body=body),
        "cases": cases,
        "kind": template.name,
    }


@lru_cache(maxsize=4096)
def _solver(body: str) -> Callable[[str], Any]:
    """The function in a reference program: ours, so it needs no sandbox."""
    space: dict[str, Any] = {}
    exec(compile(body, "<reference program>", "exec"), space)
    solve: Callable[[str], Any] = space["solve"]
    return solve
