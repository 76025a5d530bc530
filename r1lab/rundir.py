"""A run's folder: which one a configuration gets, what is in it, and whether to go on from there.

The folder's name holds a fingerprint of the configuration, so the same command finds the same
folder again. What is there decides: nothing, and the run is new; an unfinished run, and it goes on
from its last whole checkpoint; a finished one, and the next free ``-2``, ``-3``... is taken.
Nothing is overwritten.

``status.json`` holds: state (running | finished | failed | killed), run_id (MLflow's), fingerprint,
attempt, command, started, ended, error; ``trained`` where only the benchmarks may be left to do.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from r1lab.errors import ConfigError, Problem

STATUS = "status.json"
#: Where results go and how they are shown: no part of what a run is.
_NOT_IDENTITY = (
    *("run_name", "output_dir", "resume", "log_level", "tracking", "hub"),
    *("objective", "sweep"),
)
#: Of `hardware`: what only `plan` reads.
_ONLY_PLANNED = ("gpu", "gpu_memory_gib", "peak_tflops", "price_per_gpu_hour")
#: Of `engine`: where a server is, which may be elsewhere when the run goes on.
_WHERE_SERVED = ("url", "host", "port", "start_timeout")
#: Of `evaluate`: how its answers are asked for, and where they go.
_HOW_ASKED = ("name", "concurrency", "timeout", "again")
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+-]{0,199}")


@dataclass
class RunFolder:
    """A claimed folder, locked while this lives; ``checkpoint`` is where training goes on."""

    path: Path
    attempt: int
    run_id: str | None
    checkpoint: Path | None
    lock: IO[str]
    skipped: list[str]
    trained: bool = False

    @property
    def name(self) -> str:
        return self.path.name


def fingerprint(config: dict[str, Any]) -> str:
    """Hex digest of everything in the resolved config that can change a run's numbers."""
    identity = {key: value for key, value in config.items() if key not in _NOT_IDENTITY}
    if "hardware" in identity:
        node = identity["hardware"].items()
        identity["hardware"] = {key: value for key, value in node if key not in _ONLY_PLANNED}
    if "engine" in identity:
        node = identity["engine"].items()
        identity["engine"] = {key: value for key, value in node if key not in _WHERE_SERVED}
    evaluate = identity.pop("evaluate", None)
    if evaluate and evaluate["tasks"]:  # else none of it is read
        identity["evaluate"] = {k: v for k, v in evaluate.items() if k not in _HOW_ASKED}
    text = json.dumps(identity, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def default_name(config: dict[str, Any]) -> str:
    """``trainer-model-data-hash``, with only characters that are safe in a path."""
    parts = [config["trainer"]["kind"], config["model"]["name"], config["data"].get("name", "data")]
    stem = "-".join(re.sub(r"[^A-Za-z0-9._]+", "_", str(part)) for part in parts)
    return f"{stem}-{fingerprint(config)[:8]}"


def check_name(name: str) -> Problem | None:
    """A run name becomes a folder's and an MLflow run's: refuse what would leave that folder."""
    if _SAFE_NAME.fullmatch(name):
        return None
    safe = re.sub(r"[^A-Za-z0-9._=+-]+", "_", name).strip("._-") or "my_run"
    return Problem(
        "run_name",
        name,
        "is no safe folder name (letters, digits and . _ = + - only, 200 at most, no leading dot)",
        f"write run_name={safe[:200]}",
    )


def read_status(folder: Path) -> dict[str, Any]:
    """What ``status.json`` says; empty where there is none or it is cut short."""
    try:
        found = json.loads((folder / STATUS).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_status(folder: Path, **changes: Any) -> None:
    """Merge ``changes`` into ``status.json``, atomically (a reader never sees half a file)."""
    status = {**read_status(folder), **changes}
    fresh = folder / f".{STATUS}.{os.getpid()}"
    fresh.write_text(json.dumps(status, indent=2) + "\n")
    fresh.replace(folder / STATUS)


def broken(checkpoint: Path) -> str | None:
    """Why training cannot go on from ``checkpoint``; None when it can.

    transformers writes ``trainer_state.json`` last: a checkpoint that was cut off lacks it.
    """
    if not checkpoint.is_dir():
        return "there is no such folder"
    try:
        state = json.loads((checkpoint / "trainer_state.json").read_text())
    except OSError:
        return "trainer_state.json is missing: its saving was cut off, or it is no checkpoint"
    except ValueError:
        return "trainer_state.json is not readable JSON"
    if "global_step" not in state:
        return "trainer_state.json has no global_step"
    weights = (
        "model*.safetensors",
        "adapter_model.safetensors",
        "pytorch_model*.bin",
        "global_step*",
    )
    if not any(any(checkpoint.glob(pattern)) for pattern in weights):
        return "it holds no weights (model.safetensors)"
    if any(checkpoint.glob("global_step*")):  # DeepSpeed's, which writes `latest` when all is saved
        if (checkpoint / "latest").is_file():
            return None
        return "latest is missing: DeepSpeed's saving was cut off"
    # FSDP's are optimizer.bin, or a folder of shards.
    optimizers = ("optimizer.pt", "optimizer.bin", "optimizer_0")
    if not any((checkpoint / name).exists() for name in optimizers):
        return "optimizer.pt is missing: weights alone cannot continue a run"
    return None


def checkpoints(folder: Path) -> list[Path]:
    """Checkpoint folders, the last step first."""
    found = [
        path for path in folder.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)
    ]
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)


def last_checkpoint(folder: Path) -> tuple[Path | None, list[str]]:
    """The last whole checkpoint of a run's folder, and why each later one was passed over."""
    skipped: list[str] = []
    for path in checkpoints(folder):
        reason = broken(path)
        if reason is None:
            return path, skipped
        skipped.append(f"{path}: {reason}")
    return None, skipped


def check_resume(resume: str) -> Problem | None:
    """``resume=PATH`` must name a whole checkpoint (or a run's folder that has one)."""
    if resume in ("auto", "never"):
        return None
    path = Path(resume).expanduser()
    if not path.exists():
        return Problem(
            "resume",
            resume,
            "is neither auto, never nor a path that exists",
            "write resume=auto, or a checkpoint's path",
        )
    if checkpoints(path):
        found, skipped = last_checkpoint(path)
        reason = None if found else "; ".join(skipped)
    else:
        reason = broken(path)
    if reason is None:
        return None
    return Problem(
        "resume",
        resume,
        f"cannot be resumed from: {reason}",
        "give an earlier checkpoint-N of the same run",
    )


def _free(base: Path) -> Path:
    if not base.exists():
        return base
    number = 2
    while base.with_name(f"{base.name}-{number}").exists():
        number += 1
    return base.with_name(f"{base.name}-{number}")


def _latest(base: Path) -> Path:
    """The newest of ``base``, ``base-2``, ``base-3``... that exists (``base`` when none does)."""
    latest, number = base, 2
    while base.with_name(f"{base.name}-{number}").exists():
        latest = base.with_name(f"{base.name}-{number}")
        number += 1
    return latest


def locate(config: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """The folder that this configuration trains in, and its status (empty for a new run)."""
    mine = fingerprint(config)
    root = Path(config["output_dir"]).expanduser()
    base = root / (config["run_name"] or default_name(config))
    resume = config["resume"]
    if resume == "never":
        return _free(base).absolute(), {}
    folder = _latest(base)
    given = None if resume == "auto" else Path(resume).expanduser().absolute()
    if given is not None:
        owner = given if checkpoints(given) else given.parent
        if read_status(owner).get("fingerprint") == mine:
            return owner, read_status(owner)
    status = read_status(folder)
    if status.get("state") == "finished":
        return _free(base).absolute(), {}
    if status and status.get("fingerprint") != mine:
        raise ConfigError(
            Problem(
                "run_name",
                config["run_name"],
                f"{folder} holds an unfinished run of another configuration",
                "choose another run_name, or resume=never to start beside it",
            )
        )
    return folder.absolute(), status


def claim(config: dict[str, Any], command: str) -> RunFolder:
    """Take the folder that this configuration trains in, and lock it against a second start."""
    folder, status = locate(config)
    resume = config["resume"]
    _make(folder)
    lock = _lock(folder)
    checkpoint: Path | None = None
    skipped: list[str] = []
    if resume == "auto":
        checkpoint, skipped = last_checkpoint(folder)
    elif resume != "never":
        given = Path(resume).expanduser().absolute()
        checkpoint = last_checkpoint(given)[0] if checkpoints(given) else given
    attempt = int(status.get("attempt", 0)) + 1
    write_status(
        folder,
        state="running",
        fingerprint=fingerprint(config),
        attempt=attempt,
        command=command,
        pid=os.getpid(),
        started=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        ended=None,
        error=None,
        run_id=status.get("run_id"),
    )
    trained = resume == "auto" and bool(status.get("trained")) and (folder / "model").is_dir()
    return RunFolder(folder, attempt, status.get("run_id"), checkpoint, lock, skipped, trained)


def check_writable(output_dir: str) -> Problem | None:
    """Whether runs can be made under ``output_dir``, found by walking up to what exists."""
    path = Path(output_dir).expanduser().absolute()
    while not path.exists():
        path = path.parent
    if not path.is_dir():
        return Problem("output_dir", output_dir, f"{path} is a file", "choose a folder")
    if not os.access(path, os.W_OK | os.X_OK):
        return Problem(
            "output_dir",
            output_dir,
            f"{path} is not writable",
            "choose a folder that you may write to",
        )
    return None


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            Problem(
                "output_dir",
                str(folder.parent),
                f"cannot be made: {error}",
                "choose a writable folder",
            )
        ) from error


def _lock(folder: Path) -> IO[str]:
    handle = open(folder / ".lock", "a+")  # noqa: SIM115  (held open for the run's life)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.close()
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            raise
        pid = read_status(folder).get("pid", "?")
        raise ConfigError(
            Problem(
                "run_name",
                folder.name,
                f"process {pid} is training in {folder} right now",
                "wait for it, stop it, or start beside it with resume=never",
            )
        ) from None
    return handle
