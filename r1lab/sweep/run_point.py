"""``python -m r1lab.sweep.run_point FOLDER``: one point of a sweep, in a process of its own."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

from r1lab.sweep import points


def main(folder: str) -> int:
    # Until the run has its own handlers, a signal to stop must still leave a status behind: by
    # default SIGTERM and SIGUSR2 end a process where it stands.
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, _interrupt)
    return points.run_point(Path(folder))


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
