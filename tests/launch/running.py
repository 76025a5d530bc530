"""What tests of runs of several processes share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: Two gloo processes on the CPU, a tiny model, seconds of training.
TWO = [
    "hardware.device=cpu",
    "hardware.mixed_precision=no",
    "trainer.evaluation.enabled=false",
    "trainer.args.per_device_train_batch_size=8",
    "data.train_size=128",
    "data.test_size=16",
    "tracking.register=false",
]
DDP = ["hardware=ddp", "hardware.processes=2", *TWO]

#: A user's callback that breaks one rank at one step.
SABOTAGE = '''
import os
import signal

from r1lab.callbacks.base import Callback


class Sabotage(Callback):
    """Break ``rank`` after ``step``: raise, or be killed as if out of memory."""

    def __init__(self, rank: int, step: int, how: str = "raise"):
        self.rank, self.step, self.how = rank, step, how

    def on_step_end(self, args, state, control, **kwargs):
        if int(os.environ.get("RANK", 0)) != self.rank or state.global_step != self.step:
            return
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise ValueError(f"rank {self.rank} broke on purpose")
'''


def sabotage(folder: Path, rank: int, step: int, how: str = "raise") -> list[str]:
    """Overrides that add the callback; its package is in ``folder``, on the module path."""
    (folder / "lab_sabotage.py").write_text(SABOTAGE)
    configs = folder / "mine" / "callbacks"
    configs.mkdir(parents=True, exist_ok=True)
    (configs / "sabotage.yaml").write_text(
        "# @package callbacks.sabotage\n"
        "_target_: lab_sabotage.Sabotage\n"
        f"rank: {rank}\nstep: {step}\nhow: {how}\n"
    )
    return [f"--config-dir={folder / 'mine'}", "callbacks=[completions,sabotage]"]


def module_path(folder: Path) -> dict[str, str]:
    return {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "R1LAB_PACKAGES": "lab_sabotage"}


def script(name: str) -> str:
    """A console script beside this interpreter, such as torchrun."""
    return str(Path(sys.executable).parent / name)


def processes_in(folder: Path) -> list[int]:
    """Live processes whose working folder is ``folder``: all that a test's run has started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "cwd").resolve() == folder.resolve() and (
                    entry / "cmdline"
                ).read_text():
                    found.append(int(entry.name))
            except OSError:  # it has just ended
                continue
    return found


def only_run(folder: Path) -> Path:
    """The one run's folder in ``folder/outputs``."""
    found = [path for path in (folder / "outputs").iterdir() if (path / "status.json").is_file()]
    assert len(found) == 1, found
    return found[0]
