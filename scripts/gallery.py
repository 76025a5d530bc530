"""Write the gallery of docs/rewards.md from the rewards themselves; ``--check`` only compares.

An entry is a reward's docstring, its parameters as its config file gives them, the columns that it
needs, and its example, which is run. Nothing in it is written twice, so it cannot go stale unseen:
``make gallery`` writes it, and a test compares.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path
from typing import Any

import yaml

from r1lab import targets
from r1lab.groups import config_dir, group_options
from r1lab.rewards.base import content_of, needed_columns
from r1lab.rewards.build import construct_reward
from scripts.page import write_below

PAGE = Path(__file__).resolve().parents[1] / "docs" / "rewards.md"
BEGIN = "<!-- `make gallery` writes what follows. -->"
#: Characters of a completion in an example's table.
SHOWN = 110


def gallery() -> str:
    """The generated part of the page."""
    names = group_options("rewards")
    index = " · ".join(f"[{name}](#{name})" for name in names)
    return "\n\n".join([index, *(entry(name) for name in names)]) + "\n"


def entry(name: str) -> str:
    """The section of one reward."""
    source = (config_dir() / "rewards" / f"{name}.yaml").read_text(encoding="utf-8")
    node = yaml.safe_load(source)
    target = targets.resolve(node["_target_"])
    reward = construct_reward(name, node)
    columns = needed_columns(reward)
    parts = [f"### {name}", prose(target.__doc__ or "")]
    needs = ", ".join(f"`{column}`" for column in columns) or "none"
    parts.append(f"`{node['_target_']}`; columns of the data: {needs}")
    rows = [f"| `{key}` | {value} | {note} |" for key, value, note in parameters(source)]
    parts.append("\n".join(["| parameter | default | |", "| --- | --- | --- |", *rows]))
    call = getattr(target, "example", {})
    if call:
        parts.append("\n".join(example(reward, call)))
    return "\n\n".join(parts)


def prose(docstring: str) -> str:
    """A docstring as Markdown: double backticks become single ones, lines are joined."""
    text = re.sub(r"``(.+?)``", r"`\1`", cleandoc(docstring))
    text = re.sub(r":(?:class|mod|meth|func):`~?([^`]+)`", r"`\1`", text)
    # "::" before an indented block is reStructuredText's way of saying code
    return re.sub(r"::\n\n(?= )", ":\n\n", text)


def parameters(source: str) -> Iterator[tuple[str, str, str]]:
    """Name, default and comment of each top-level key of a config file, but for its target."""
    for key, value in yaml.safe_load(source).items():
        if key == "_target_":
            continue
        line = re.search(rf"^{key}:(.*)$", source, re.M)
        comment = re.search(r"\s#\s*(.*)$", line[1]) if line else None
        shown = "null" if value is None else str(value).lower() if value in (True, False) else value
        yield key, f"`{shown}`", cell(comment[1]) if comment else ""


def example(reward: Any, call: dict[str, Any]) -> Iterator[str]:
    """The table of an example: what went in, row by row, and what the reward gave."""
    values = reward(**call)
    others = [key for key in call if key not in ("completions", "completion_ids", "prompts")]
    lengths = ["tokens"] if "completion_ids" in call else []
    yield "| completion | " + " | ".join([*lengths, *others, "value"]) + " |"
    yield "| --- |" + " --- |" * (len(lengths) + len(others) + 1)
    for row, value in enumerate(values):
        cells = [code(content_of(call["completions"][row]))]
        cells += [str(len(call["completion_ids"][row]))] if lengths else []
        cells += [code(str(call[key][row])) for key in others]
        cells.append("None" if value is None else f"{round(value, 4):g}")
        yield f"| {' | '.join(cells)} |"


def code(text: str) -> str:
    """Text in a table's cell, on one line, its middle left out where it is long."""
    if len(text) > SHOWN:
        text = f"{text[: SHOWN // 2]} … {text[-SHOWN // 2 :]}"
    text = cell(text.replace("\n", "⏎"))
    fence = "``" if "`" in text else "`"
    gap = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{gap}{text}{gap}{fence}" if text.strip() else "(empty)"


def cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(write_below(PAGE, BEGIN, gallery(), "make gallery"))
