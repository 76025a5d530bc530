"""The gallery of rewards is what the code says now, and its other examples run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import r1lab.rewards
from r1lab.groups import group_options
from r1lab.rewards import Accuracy

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "rewards.md").read_text(encoding="utf-8")


def test_the_gallery_is_current() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.gallery", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_every_reward_has_a_section() -> None:
    assert set(re.findall(r"^### (\S+)$", PAGE, re.M)) == set(group_options("rewards"))


def test_the_function_for_verl_scores() -> None:
    source = next(
        block
        for block in re.findall(r"```python\n(.*?)```", PAGE, re.S)
        if "compute_score" in block
    )
    scope: dict[str, object] = {}
    exec(source, scope)
    compute_score = scope["compute_score"]
    assert compute_score("math", "so \\boxed{42}", "42") == 1.0  # type: ignore[operator]
    assert compute_score("math", "so \\boxed{41}", "42", {"i": 1}) == 0.0  # type: ignore[operator]


def test_rewards_are_imported_by_their_class_names() -> None:
    assert Accuracy.__module__ == "r1lab.rewards.accuracy"
    assert "Accuracy" in dir(r1lab.rewards)
    for name in dir(r1lab.rewards):
        assert getattr(r1lab.rewards, name).__name__ == name
    with pytest.raises(AttributeError, match="Acuracy"):
        r1lab.rewards.Acuracy  # noqa: B018
