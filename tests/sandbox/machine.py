"""What the machine that runs the tests allows."""

from __future__ import annotations

from functools import cache

import pytest

from r1lab.errors import PrerequisiteError
from r1lab.sandbox.languages import find_language
from r1lab.sandbox.local import Local
from r1lab.sandbox.view import find_tool


@cache
def _isolated(mechanism: str) -> Local | str:
    provider = Local(mechanism=mechanism)  # type: ignore[arg-type]
    try:
        provider.isolation()
    except PrerequisiteError as error:
        return str(error)
    return provider


def isolated(mechanism: str = "auto") -> Local:
    """A provider with this mechanism; skips the test where the machine does not have it."""
    provider = _isolated(mechanism)
    if isinstance(provider, str):
        pytest.skip(provider)
    return provider


def needs(provider: Local, language: str) -> None:
    """Skip the test where the language's tool is not installed."""
    known = find_language(language)
    assert known is not None
    if find_tool(known, provider.read_only) is None:
        pytest.skip(f"{known.tools[0]} is not installed")
