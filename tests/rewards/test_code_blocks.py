from __future__ import annotations

import time

import pytest

from r1lab.rewards.code_blocks import code_blocks, last_program, open_r1_program


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("```python\nx = 1\n```", "x = 1"),
        ("so:\n```py\nx = 1\n```\nand\n```Python3\ny = 2\n```\ndone", "y = 2"),
        ("```cpp\nint x;\n```", None),
        ("```\nx = 1\n```", None),  # no label
        ("```python\nx = 1", None),  # cut off
        ("```python\n\n```", None),
        ("<answer>```python\nx = 1\n```</answer>", "x = 1"),
        ("```python title=a.py\nx = 1\n   ```", "x = 1"),
        ('```python\nx = "```"\ny = 2\n```', 'x = "```"\ny = 2'),
        ("```python\r\nx = 1\r\n```", "x = 1"),
        ('```python\nx = "\x0c\u2028"\n```', 'x = "\x0c\u2028"'),
        ("use ```python``` now\n```python\nx = 1\n```", "x = 1"),
        ("<think>\n```python\nx = 1\n```\n</think>\nDone.", None),
        ("<think>\nhm\n</think>\n```python\nx = 1\n```", "x = 1"),
        ("<think>\nhm\n```python\nx = 1\n```", None),  # the reasoning never ends
        ("```output\n3\n```\n```python\nx = 1\n```\n```text\n3\n```", "x = 1"),
        ("x = 1", None),
        ("", None),
    ],
)
def test_the_program_in_a_completion(text: str, program: str | None) -> None:
    assert last_program(text, "python") == program


@pytest.mark.parametrize("label", ["cpp", "c++", "C++", "cc", "c++17"])
def test_names_of_a_language(label: str) -> None:
    assert last_program(f"```{label}\nint x;\n```", "cpp") == "int x;"
    assert last_program("```cpp\nint x;\n```", label) == "int x;"


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("```python\nx = 1\n```", "x = 1\n"),
        ("<think>\n```python\nx = 1\n```", "x = 1\n"),  # reasoning counts
        ('```python\nx = "```"\n```', 'x = "'),
        ("```py\nx = 1\n```", ""),
        ("", ""),
    ],
)
def test_the_program_as_open_r1_finds_it(text: str, program: str) -> None:
    assert open_r1_program(text, "python") == program


def test_hostile_text_costs_nothing() -> None:
    started = time.monotonic()
    for text in ("```python\n" * 200_000, "`" * 1_000_000, "```a\n```\n" * 100_000):
        last_program(text, "python")
        open_r1_program(text, "python")
    assert time.monotonic() - started < 5
    assert len(code_blocks("```a\nb\n```\n" * 3)) == 3
