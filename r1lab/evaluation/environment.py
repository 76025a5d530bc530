"""LightEval's own Python environment: found, or made at first use.

    python -m r1lab.evaluation.environment      # make it now, for machines without a network later

LightEval cannot share r1lab's (see launchers/eval-env/requirements.in). It is made once for each
lock file, Python and kind of machine, under ``$XDG_CACHE_HOME/r1lab/eval-env/``. R1LAB_EVAL_ENV
names another.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from r1lab.errors import PrerequisiteError, R1labError
from r1lab.launch.settings import launchers_dir

#: The variable that names an environment to use instead.
VARIABLE = "R1LAB_EVAL_ENV"
_STAMP = ".r1lab-ready"
#: Seconds between two lines while pip works, and lines of its output that an error shows.
_OFTEN_S, _LAST_LINES = 5.0, 8

Say = Callable[[str], None]


def python(say: Say) -> Path:
    """The environment's interpreter. ``say`` is told what takes time.

    PrerequisiteError where there is none and none can be made.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return _named(Path(named).expanduser().absolute())
    folder = place()
    if not _ready(folder):
        with _alone(folder, say):
            if not _ready(folder):  # whoever held the lock may have made it
                _make(folder, say)
    return _python_of(folder)


def lock_file() -> Path:
    """The pinned versions."""
    return launchers_dir() / "eval-env" / "requirements.lock"


def place() -> Path:
    """Where the environment of this lock file, Python and kind of machine belongs."""
    made_from = f"{sys.version_info[:2]} {platform.machine()}\n".encode() + lock_file().read_bytes()
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    name = hashlib.sha256(made_from).hexdigest()[:16]
    return Path(caches).expanduser().absolute() / "r1lab" / "eval-env" / name


def _python_of(folder: Path) -> Path:
    return folder / "bin" / "python"


def _ready(folder: Path) -> bool:
    """Whether it was made to the end, and the Python that it was made from is still there."""
    return (folder / _STAMP).is_file() and _python_of(folder).exists()


def _named(folder: Path) -> Path:
    interpreter = _python_of(folder)
    fix = f"point {VARIABLE} to one that has it, or unset it: r1lab then makes its own"
    if not interpreter.exists():
        raise PrerequisiteError(str(interpreter), f"{VARIABLE} names its environment", fix)
    asked = "import importlib.util, sys; sys.exit(importlib.util.find_spec('lighteval') is None)"
    done = subprocess.run([interpreter, "-c", asked], env=_variables(), check=False)
    if done.returncode:
        raise PrerequisiteError("lighteval", f"the environment that {VARIABLE} names has none", fix)
    return interpreter


@contextmanager
def _alone(folder: Path, say: Say) -> Iterator[None]:
    """Only one process makes an environment; the others wait and find it made."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = open(folder.with_suffix(".lock"), "w")  # noqa: SIM115
    except OSError as error:
        raise _cannot(folder, str(error)) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process that makes LightEval's environment ({folder})")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(folder: Path, say: Say) -> None:
    began = time.monotonic()
    say(f"making LightEval's environment in {folder} (once; some minutes and about 2 GB)")
    if folder.exists():  # half made, by a process that was stopped
        shutil.rmtree(folder)
    with open(folder.with_suffix(".log"), "w", encoding="utf-8") as log:
        for command in steps(folder):
            last: deque[str] = deque(maxlen=_LAST_LINES)
            said = time.monotonic()
            process = subprocess.Popen(
                command,
                env=_variables(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    log.write(line)
                    last.append(line.rstrip())
                    if time.monotonic() - said > _OFTEN_S and line.strip():
                        said = time.monotonic()
                        say(f"  {said - began:.0f} s: {line.strip()[:100]}")
                code = process.wait()
            except BaseException:
                process.kill()  # without a stamp, what is there is thrown away next time
                process.wait()
                raise
            if code:
                raise _cannot(folder, "\n      ".join([f"{command[2]} failed:", *last]))
    (folder / _STAMP).touch()
    say(f"LightEval's environment is ready ({time.monotonic() - began:.0f} s)")


def steps(folder: Path) -> list[list[str]]:
    """The commands that make it; the lock's versions are exact, so pip has nothing to choose."""
    pip = [str(_python_of(folder)), "-m", "pip", "--disable-pip-version-check"]
    return [
        [sys.executable, "-m", "venv", str(folder)],
        [*pip, "install", "--progress-bar", "off", "-r", str(lock_file())],
    ]


def _variables() -> dict[str, str]:
    """The process's own, without what would show this environment's packages to another."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def _cannot(folder: Path, why: str) -> PrerequisiteError:
    return PrerequisiteError(
        "LightEval's environment",
        f"it could not be made in {folder}: {why}",
        "give pip a way to its packages (PIP_INDEX_URL, PIP_FIND_LINKS) and repeat the command, or "
        f"make it elsewhere (python -m venv DIR; DIR/bin/pip install -r {lock_file()}) and set "
        f"{VARIABLE}=DIR",
    )


def main() -> int:
    """Make it now, and print its interpreter."""
    try:
        print(python(lambda line: print(line, file=sys.stderr, flush=True)))
    except R1labError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
