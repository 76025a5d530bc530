"""A machine of its own, in a Slurm job, for the server that a training's rollouts come from.

The job has one machine more than the training. The first task there starts the server, writes its
address and key into a file that the first rank waits for, and stops it when that rank says that the
run is over. The other tasks of that machine have nothing to do.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r1lab.engines.training import server_machines
from r1lab.errors import RunFailed

#: Names the file, for the ranks of the training.
VARIABLE = "R1LAB_ENGINE_FILE"
_POLL_S = 0.5
#: Seconds for the first rank to write down why the run failed, when the server did.
_WRITING_S = 30.0


def training_tasks(config: Mapping[str, Any], environment: Any) -> int:
    """How many of the job's tasks are ranks: the first ones; ``environment`` is submitit's."""
    machines = environment.num_nodes - server_machines(config["engine"])
    if machines < 1 or "SLURM_JOB_ID" not in os.environ:
        return int(environment.num_tasks)
    return int(environment.num_tasks * machines // environment.num_nodes)


def file_of(folder: Path) -> Path:
    """The file of this start of the job; ``folder`` is the point's."""
    start = os.environ.get("SLURM_RESTART_COUNT", "0")
    return folder / f"engine-{os.environ['SLURM_JOB_ID']}-{start}.json"


def serve(config: Mapping[str, Any], folder: Path, run_dir: Path) -> str:
    """Run the server until the training is over; RunFailed where it ends before."""
    from r1lab import hardware, rundir
    from r1lab.engines import rollout_server

    file = file_of(folder)
    # Slurm's warning before a time limit is for the training, which still needs answers.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    engine = {**config["engine"], "host": "0.0.0.0"}
    checkpoint, _ = rundir.last_checkpoint(run_dir)
    try:
        server = rollout_server.own_server(
            {**config, "engine": engine},
            hardware.device({**config}),
            file.with_suffix(".log"),
            checkpoint,
            first_gpu=0,
        )
        with server.running():
            url = f"http://{socket.gethostname()}:{server.port}"
            _write(file, {"url": url, "key": server.api_key})
            print(f"engine {server.name} answers at {url} (log: {server.log})", flush=True)
            while not _over(file).exists():
                if reason := server.failure():
                    raise RunFailed(f"{server.name} {reason}")
                time.sleep(_POLL_S)
    except Exception as error:
        _write(file, {"error": str(error)})
        deadline = time.monotonic() + _WRITING_S
        while not _over(file).exists() and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        raise
    finally:
        file.unlink(missing_ok=True)
    return "served"


def find(file: Path, timeout: float) -> dict[str, Any]:
    """The server's ``url`` and ``key``; RunFailed where it failed, or said nothing in time."""
    deadline = time.monotonic() + timeout
    while (found := _read(file)) is None:
        if time.monotonic() > deadline:
            raise RunFailed(
                f"the rollouts' server did not answer within {timeout:g} s (see {file.parent}); "
                "set a larger engine.start_timeout, if it was loading"
            )
        time.sleep(_POLL_S)
    if "error" in found:
        raise RunFailed(str(found["error"]))
    return found


def failure(file: Path) -> str | None:
    """Why the server ended, once it has."""
    return (_read(file) or {}).get("error")


def say_over(file: Path) -> None:
    """The first rank: the server is needed no more."""
    _over(file).touch()


def _over(file: Path) -> Path:
    return file.with_suffix(".over")


def _read(file: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(file.read_text())
    except FileNotFoundError:
        return None
    return found


def _write(file: Path, facts: Mapping[str, Any]) -> None:
    from r1lab.sweep.points import write_json

    write_json(file, dict(facts))  # readable by its owner alone: the key is in it
