"""The worker process: reads ``plan.json``, trains, and leaves a reason behind when it cannot.

It never composes a config. Its exit code tells the parent what happened: 0 finished, 2 the user's
data or environment is at fault (said already), 130 stopped by a signal with a checkpoint saved,
else a bug.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from r1lab.errors import FAILED, INTERRUPTED, MISTAKE, R1labError
from r1lab.launch.local import STOP_SIGNALS
from r1lab.launch.ranks import error_file, from_environment
from r1lab.secrets import install_log_redaction, learn, redact_text

log = logging.getLogger("r1lab")
_PR_SET_PDEATHSIG = 1


class StopRequest:
    """Whether a signal asked this process to stop, and whether all ranks have agreed to.

    A second SIGINT stops at once. SIGTERM and SIGUSR2 (Slurm's, before a time limit) may come
    twice: a scheduler sends them to every process, and r1lab's parent passes them on as well.
    """

    def __init__(self) -> None:
        self.asked = False
        self.agreed = False
        for number in STOP_SIGNALS:
            signal.signal(number, self._ask)
        # The parent blocked them while this process started.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def _ask(self, number: int, frame: Any) -> None:
        if self.asked:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return
        self.asked = True
        print(
            "\nstopping after this step with a checkpoint (Ctrl-C again: stop at once)",
            file=sys.stderr,
            flush=True,
        )


def main(plan_file: str) -> int:
    """Run the plan; returns the exit code."""
    rank = from_environment().rank
    _die_with_parent()
    stop = StopRequest()
    plan = json.loads(Path(plan_file).read_text())
    folder = Path(plan["run"]["dir"])
    error_file(folder, rank).unlink(missing_ok=True)
    learn(plan["config"])
    set_up_logging(folder, plan["config"]["log_level"], rank)
    from r1lab.run import run

    try:
        finished = run(plan, stop)
    except KeyboardInterrupt:
        return INTERRUPTED
    except R1labError as error:
        _leave(folder, rank, str(error))
        if rank == 0:
            _say(folder, error)
        return MISTAKE
    except Exception:
        text = redact_text(traceback.format_exc())
        _leave(folder, rank, text)
        log.error("the run failed\n%s", text)
        return FAILED
    # Python takes its handlers away while it shuts down, which torch makes last seconds: a signal
    # would then kill a run that is complete, and make it a failure.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    return 0 if finished else INTERRUPTED


def _leave(folder: Path, rank: int, text: str) -> None:
    where = "" if from_environment().world_size == 1 else f"rank {rank}: "
    error_file(folder, rank).write_text(where + redact_text(text))


def _say(folder: Path, error: R1labError) -> None:
    """A user's mistake, without a traceback: on standard error and in the run's log."""
    from r1lab.cli import show_error

    with (folder / "log.txt").open("a") as log_file:
        log_file.write(redact_text(str(error)) + "\n")
    show_error(error)


def set_up_logging(folder: Path, level: str, rank: int = 0) -> None:
    """Log to standard output and to ``log.txt``, with time, level and name; secrets are masked.

    The other ranks would say the same again: they write to ``log_rankN.txt``, and only errors to
    standard output.
    """
    import datasets
    import transformers

    number = getattr(logging, level.upper())
    form = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
    handlers: list[logging.Handler] = [
        logging.StreamHandler(sys.stdout),
        logging.FileHandler(folder / ("log.txt" if rank == 0 else f"log_rank{rank}.txt")),
    ]
    if rank > 0:
        handlers[0].setLevel(logging.ERROR)
    for handler in handlers:
        handler.setFormatter(form)
    # The step's lines: the metrics callback prints them above its bar, the file keeps them too.
    handlers[0].addFilter(lambda record: record.name != "r1lab.steps")
    logging.basicConfig(level=logging.WARNING, handlers=handlers, force=True)
    logging.getLogger("r1lab").setLevel(number)
    for library in (datasets.utils.logging, transformers.utils.logging):
        library.set_verbosity(max(number, logging.WARNING))
    # The bars of loading and saving; the training's own stays.
    transformers.utils.logging.disable_progress_bar()
    if rank > 0 or not sys.stderr.isatty():
        datasets.disable_progress_bars()
    transformers.utils.logging.disable_default_handler()
    transformers.utils.logging.enable_propagation()
    install_log_redaction()


def _die_with_parent() -> None:
    """Linux: be killed with the parent, so that a second start finds no first one training."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the call
            os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
