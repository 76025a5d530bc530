"""LightEval's process as r1lab sees it. The other side is a fake here (fake_lighteval.py): the real
one has an environment of its own, and test_evaluate_runs.py for it.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from r1lab.engines.base import Engine, EngineFailed
from r1lab.errors import ConfigError
from r1lab.evaluation import process
from r1lab.evaluation.process import EvaluationFailed

FAKE = Path(__file__).with_name("fake_lighteval.py")


class Standing(Engine):
    """A fake engine: up until it is told why it is not."""

    name, model, url = "the engine", "one", "http://127.0.0.1:9/v1"

    def __init__(self) -> None:
        self.reason: str | None = None
        self.api_key: str | None = None

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def healthy(self) -> bool:
        return self.reason is None

    def failure(self) -> str | None:
        return self.reason


def job(folder: Path) -> dict[str, Any]:
    return {
        "tasks": {"aime24": {"samples": 2, "limit": 2}, "gsm8k": {"samples": 1, "limit": 2}},
        "server": {"api_key_env": process.API_KEY},
        "output": str(folder),
        "settings": {},
    }


def run(folder: Path, engine: Engine) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    process.run(Path(sys.executable), job(folder), folder, engine, events.append, FAKE)
    return events


def test_every_event_is_handed_on_and_logs_go_to_the_log(tmp_path: Path) -> None:
    events = run(tmp_path, Standing())
    assert [e["task"] for e in events if e["event"] == "task"] == ["aime24", "gsm8k"]
    assert (tmp_path / "lighteval.log").read_text() == "a line of a log\n"
    assert json.loads((tmp_path / "job.json").read_text()) == job(tmp_path)


def test_the_key_is_in_the_environment_and_in_no_file(tmp_path: Path) -> None:
    engine = Standing()
    engine.api_key = "sk-very-secret"
    run(tmp_path, engine)
    settings = json.loads((tmp_path / "aime24" / "settings.json").read_text())
    assert settings["key"] == "sk-very-secret"  # the fake writes down what it found
    assert "sk-very-secret" not in (tmp_path / "job.json").read_text()


@pytest.mark.parametrize(
    ("how", "kind", "said"),
    [
        ("data", ConfigError, "row 1 has no 'answer'"),
        ("server", EvaluationFailed, "the server stopped answering; 3 of 8 answers are kept"),
        ("crash", EvaluationFailed, "exit code 1: RuntimeError: a bug of LightEval's"),
    ],
)
def test_what_stopped_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, kind: type[Exception], said: str
) -> None:
    monkeypatch.setenv("R1LAB_FAKE", how)
    with pytest.raises(kind, match=said):
        run(tmp_path, Standing())


def test_a_server_that_dies_ends_it_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("R1LAB_FAKE", "hang")
    engine = Standing()
    threading.Timer(1.0, lambda: setattr(engine, "reason", "was killed by SIGKILL")).start()
    begin = time.monotonic()
    with pytest.raises(EngineFailed, match="the engine was killed by SIGKILL"):
        run(tmp_path, engine)
    assert time.monotonic() - begin < 15


def test_an_interruption_ends_the_process(tmp_path: Path) -> None:
    class Interrupt(BaseException):
        pass

    def handle(event: dict[str, Any]) -> None:
        raise Interrupt

    before = set(threading.enumerate())
    with pytest.raises(Interrupt):
        process.run(Path(sys.executable), job(tmp_path), tmp_path, Standing(), handle, FAKE)
    for thread in set(threading.enumerate()) - before:
        thread.join(5)  # it reads until the process is gone
        assert not thread.is_alive()
