"""Finding and making LightEval's environment. pip's part is played by a few lines of Python: no
network in the default tests; tests/evaluation/test_lighteval.py uses a real one.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from r1lab.errors import PrerequisiteError
from r1lab.evaluation import environment

MAKE = """
import pathlib, sys
bin = pathlib.Path(sys.argv[1], "bin")
bin.mkdir(parents=True)
(bin / "python").symlink_to(sys.executable)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(environment.VARIABLE, raising=False)
    return tmp_path


def pip(monkeypatch, script: str, made: list[Path] | None = None) -> None:
    """Let ``script`` stand for pip."""

    def steps(folder: Path) -> list[list[str]]:
        if made is not None:
            made.append(folder)
        return [[sys.executable, "-c", MAKE, str(folder)], [sys.executable, "-c", script]]

    monkeypatch.setattr(environment, "steps", steps)


def test_it_is_made_once_and_found_again(monkeypatch, cache):
    made: list[Path] = []
    pip(monkeypatch, "print('Collecting lighteval')", made)
    said: list[str] = []
    first = environment.python(said.append)
    assert first.is_relative_to(cache / "r1lab" / "eval-env")
    assert "making LightEval's environment" in said[0] and "ready" in said[-1]

    said.clear()
    assert environment.python(said.append) == first
    assert (len(made), said) == (1, [])


def test_another_lock_is_another_environment(monkeypatch, tmp_path):
    before = environment.place()
    lock = tmp_path / "requirements.lock"
    lock.write_text(environment.lock_file().read_text() + "six==1.17.0\n")
    monkeypatch.setattr(environment, "lock_file", lambda: lock)
    assert environment.place() != before


def test_what_pip_says_is_shown_while_it_works(monkeypatch):
    monkeypatch.setattr(environment, "_OFTEN_S", 0.0)
    pip(monkeypatch, "print('Collecting lighteval')")
    said: list[str] = []
    environment.python(said.append)
    assert any("Collecting lighteval" in line for line in said)


def test_a_failing_pip_is_one_error_with_its_last_lines(monkeypatch):
    pip(
        monkeypatch, "import sys; print('looking\\n' * 50 + 'ERROR: no route to host'); sys.exit(1)"
    )
    with pytest.raises(PrerequisiteError, match="ERROR: no route to host") as raised:
        environment.python(lambda line: None)
    assert str(raised.value).count("looking") < 10
    assert environment.VARIABLE in raised.value.install


def test_half_an_environment_is_made_again(monkeypatch):
    pip(monkeypatch, "import sys; sys.exit(1)")
    with pytest.raises(PrerequisiteError):
        environment.python(lambda line: None)
    assert (environment.place() / "bin/python").exists()

    pip(monkeypatch, "")
    assert environment.python(lambda line: None).exists()


def test_it_is_made_again_when_its_python_has_gone(monkeypatch):
    made: list[Path] = []
    pip(monkeypatch, "", made)
    environment.python(lambda line: None).unlink()
    assert environment.python(lambda line: None).exists()
    assert len(made) == 2


def test_two_that_need_it_at_once_make_one(monkeypatch):
    made: list[Path] = []
    pip(monkeypatch, "import time; time.sleep(0.5)", made)
    said: list[str] = []
    found: list[Path] = []

    def need() -> None:
        found.append(environment.python(said.append))

    first = threading.Thread(target=need)
    first.start()
    while not made:
        time.sleep(0.01)
    need()
    first.join()
    assert found[0] == found[1]
    assert len(made) == 1
    assert any("waiting for another process" in line for line in said)


def test_a_named_one_must_have_lighteval(monkeypatch, tmp_path):
    monkeypatch.setenv(environment.VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(PrerequisiteError, match=environment.VARIABLE):
        environment.python(lambda line: None)

    bin = tmp_path / "other" / "bin"
    bin.mkdir(parents=True)
    # without the site's packages
    (bin / "python").write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    (bin / "python").chmod(0o755)
    monkeypatch.setenv(environment.VARIABLE, str(bin.parent))
    with pytest.raises(PrerequisiteError, match="has none"):
        environment.python(lambda line: None)

    (bin / "python").write_text("#!/bin/sh\nexit 0\n")
    assert environment.python(lambda line: None) == bin / "python"


def test_the_lock_holds_what_is_asked_for_and_nothing_that_must_not_be_there():
    folder = environment.lock_file().parent
    rows = [
        line.split("#")[0].strip()
        for line in (folder / "requirements.in").read_text().splitlines()
        if line.split("#")[0].strip()
    ]
    locked = dict(
        line.split("==")
        for line in environment.lock_file().read_text().splitlines()
        if not line.startswith("#")
    )
    for wanted in map(Requirement, rows):
        assert wanted.specifier.contains(locked[wanted.name]), wanted
    assert not {"hydra-core", "litellm", "vllm"} & set(locked)


def test_the_command_prints_the_interpreter(cache):
    named = cache / "env"
    (named / "bin").mkdir(parents=True)
    (named / "bin/python").write_text("#!/bin/sh\nexit 0\n")
    (named / "bin/python").chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "r1lab.evaluation.environment"],
        env={environment.VARIABLE: str(named), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, str(named / "bin/python"))
