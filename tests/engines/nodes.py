"""An ``engine`` node as a composed config has it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from r1lab.schema import Engine


def node(**fields: Any) -> dict[str, Any]:
    return {**asdict(Engine(args={})), **fields}
