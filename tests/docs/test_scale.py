"""The tables of docs/scale.md are what the planner says now, and its commands plan."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from r1lab.compose import compose, resolve
from r1lab.plan import make_plan

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"python -m r1lab plan (.*)", PAGE.replace("\\\n", ""))


def test_the_tables_are_current() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.scale_tables", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_can_be_planned(command: str) -> None:
    assert make_plan(resolve(compose(shlex.split(command)))).cost["missing"] is None or (
        "hardware=" not in command  # what the rows share names no hardware
    )


def test_the_tables_are_of_8_64_and_512_gpus_and_of_both_trainers() -> None:
    assert len(COMMANDS) == 3
    for kind in ("SFT", "GRPO"):
        section = PAGE.split(f"## {kind}", 1)[1].split("\n## ")[0]
        counts = re.findall(r"^\| `\w+` \| (\d+)", section, re.M)
        assert set(counts) == {"8", "64", "512"}


def test_the_keys_that_it_tells_to_set_are_keys() -> None:
    keys = re.findall(r"^\| `((?:hardware|engine|trainer)[^`]*)` \|", PAGE, re.M)
    assert len(keys) > 10
    for key in keys:
        override = key.replace("mine.json", "zero3")
        resolve(compose([override]))
