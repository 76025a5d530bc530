"""Any engine: started, waited for, stopped; what goes wrong is said at once and in one piece."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from r1lab.engines.base import EngineFailed, OwnServer
from r1lab.errors import ConfigError
from r1lab.launch.local import free_port
from tests.engines.nodes import node

FAKE = Path(__file__).with_name("fake_server.py")


class Fake(OwnServer):
    """A server of ours without a model. ``listens=False`` never answers."""

    name = "the fake"

    def __init__(self, log: Path, *arguments: str, listens: bool = True, **fields: object):
        super().__init__(node(**fields), "one", log)
        self._arguments = [str(self.port if listens else 0), *arguments]

    def command(self) -> list[str]:
        return [sys.executable, str(FAKE), *self._arguments]

    def environment(self) -> dict[str, str]:
        return dict(os.environ)


def test_inside_it_answers_and_afterwards_it_is_gone(tmp_path):
    engine = Fake(tmp_path / "log")
    assert not engine.healthy()
    with engine.running():
        assert engine.healthy()
        assert engine.url == f"http://127.0.0.1:{engine.port}/v1"
        assert engine.failure() is None
    assert not engine.healthy()


def test_it_is_stopped_when_its_user_fails(tmp_path):
    engine = Fake(tmp_path / "log")
    with pytest.raises(ZeroDivisionError), engine.running():
        _ = 1 / 0
    assert not engine.healthy()


def test_one_that_ends_early_is_told_at_once_with_its_reason_and_its_last_lines(tmp_path):
    engine = Fake(tmp_path / "log", "--after", "0", listens=False)
    begin = time.monotonic()
    with pytest.raises(EngineFailed) as caught, engine.running():
        pass
    assert time.monotonic() - begin < 60  # the deadline is 900
    message = str(caught.value)
    assert message.startswith("the fake ended with exit code 1: RuntimeError: the weights are torn")
    assert str(tmp_path / "log") in message
    assert "| the fake server is up" in message


def test_one_that_never_answers_is_given_up_at_the_deadline(tmp_path):
    engine = Fake(tmp_path / "log", listens=False, start_timeout=1.0)
    said = r"did not answer .* within 1 s(.|\n)*start_timeout"
    with pytest.raises(EngineFailed, match=said), engine.running():
        pass
    assert engine.failure() is not None  # it was stopped


def test_a_port_that_is_taken_is_said_before_anything_starts(tmp_path):
    with Fake(tmp_path / "first").running() as first:
        engine = Fake(tmp_path / "second", port=first.port)
        with pytest.raises(ConfigError) as caught, engine.running():
            pass
    assert not (tmp_path / "second").exists()
    (problem,) = caught.value.problems
    assert problem.key == "engine.port"
    assert "engine.port=null" in problem.fix


def test_another_server_on_the_port_is_not_taken_for_ours(tmp_path):
    port = free_port()
    engine = Fake(tmp_path / "log", "--after", "0", listens=False, port=port)
    engine.start()
    with Fake(tmp_path / "other", port=port).running():
        assert not engine.healthy() or engine.failure() is None
        while engine.failure() is None:
            time.sleep(0.05)
        assert not engine.healthy()
    engine.stop()


def test_an_address_of_another_machine_is_said(tmp_path):
    with pytest.raises(ConfigError) as caught, Fake(tmp_path / "log", host="192.0.2.1").running():
        pass
    assert [problem.key for problem in caught.value.problems] == ["engine.host"]
