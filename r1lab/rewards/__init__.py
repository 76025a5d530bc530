"""Rewards, one a file: picklable callables from a batch of completions to a value for each.

``from r1lab.rewards import Accuracy`` imports :mod:`r1lab.rewards.accuracy` and nothing else: a
class is found in the file of its name, so that a new reward is a new file and no list of them has
to be kept.
"""

from __future__ import annotations

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def __getattr__(name: str) -> Any:
    module = _file_of(name)
    if not name[:1].isupper() or find_spec(f"{__name__}.{module}") is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    folder = Path(__file__).parent
    return sorted(
        name
        for path in folder.glob("*.py")
        for name in re.findall(r"^class (\w+)\(", path.read_text(encoding="utf-8"), re.M)
        if _file_of(name) == path.stem
    )


def _file_of(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
