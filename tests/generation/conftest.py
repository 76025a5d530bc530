"""Fixtures of the verb's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.generation.generating import Generations, write_prompts
from tests.generation.serving import Served, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One for the tests of a module."""
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def generate(
    tmp_path: Path,
    server: Served,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Generations:
    """Six prompts in a folder of their own, and a server without faults."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for the processes of distilabel and Ray
    server.control(**server.plain)
    write_prompts(tmp_path / "prompts.jsonl", 6)
    return Generations(tmp_path, server, capsys)
