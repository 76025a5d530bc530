"""How the processes that a launcher started agree on one plan: the first writes it, all read it.

Two ranks that each compose a config have been seen to resolve two different folders. So only rank 0
does a parent's work; the others wait for the path of its ``plan.json`` at ``MASTER_ADDR`` and
``MASTER_PORT``, where the workers' own ``torch.distributed`` meets afterwards in the same store.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from r1lab.errors import FAILED, MISTAKE, ConfigError, PrerequisiteError, Problem, R1labError
from r1lab.launch.ranks import Rank

#: Seconds that the others wait for rank 0: it opens MLflow and may look at the Hub meanwhile.
PATIENCE_S = 600.0
#: Seconds that rank 0 may take to write down how a run failed.
WRITING_S = 30.0
#: Seconds that the store outlives its last word.
LINGER_S = 1.0
#: torchrun's agent holds the store already; the processes that it starts are all its clients.
_AGENT = "TORCHELASTIC_USE_AGENT_STORE"


class Meeting:
    """The store that all processes of a run share; a process alone (``store=None``) talks to
    nobody.
    """

    def __init__(self, store: Any = None):
        self._store = store
        self._told = store is None

    def plan(self, path: str) -> None:
        """Rank 0: tell the others to start their workers on this plan."""
        self._tell({"plan": path})

    def no_plan(self, code: int) -> None:
        """Rank 0: there will be none, and what to exit with; only the first word counts."""
        self._tell({"code": code})

    def fail(self, rank: int, error: str) -> None:
        """Say that this rank's worker failed; only the first is kept: the others failed of it."""
        if self._store is not None:
            self._store.compare_set(_key("failed"), "", json.dumps({"rank": rank, "error": error}))

    def failed(self) -> dict[str, Any] | None:
        """The first failure (``rank``, ``error``) of any process, else ``None``."""
        if self._store is None or not self._store.check([_key("failed")]):
            return None
        found: dict[str, Any] = json.loads(self._store.get(_key("failed")))
        return found

    def broken(self) -> bool:
        """Whether another process failed, or the one that holds the store is gone."""
        try:
            return self.failed() is not None
        except RuntimeError:
            return True

    def end(self) -> None:
        """Rank 0: everything is written down."""
        if self._store is not None:
            self._store.set(_key("ended"), "")

    def wait_for_end(self) -> None:
        """Another rank that failed: let rank 0 write that down. A launcher ends all processes of a
        run when one of them exits with an error.
        """
        deadline = time.monotonic() + WRITING_S
        try:
            while time.monotonic() < deadline and not self._store.check([_key("ended")]):
                time.sleep(0.1)
        except RuntimeError:  # rank 0 is gone, and the store with it
            return

    def _tell(self, word: Mapping[str, Any]) -> None:
        if not self._told:
            self._told = True
            self._store.set(_key("plan"), json.dumps(word))


@contextmanager
def lead(me: Rank) -> Iterator[Meeting]:
    """Rank 0's side. The store lives as long as the block: leave it when the workers have ended."""
    if me.world_size == 1:
        yield Meeting()
        return
    meeting = Meeting(_store(hosting=not _agent()))
    try:
        yield meeting
    except R1labError:
        meeting.no_plan(MISTAKE)
        raise
    finally:
        meeting.no_plan(FAILED)
        meeting.end()
        _let_the_others_read()


def follow() -> tuple[Meeting, str | None, int]:
    """Another rank's side: the plan's path, or ``None`` and the code to exit with."""
    store = _store(hosting=False)
    try:
        store.wait([_key("plan")], timedelta(seconds=PATIENCE_S))
    except RuntimeError as error:
        raise PrerequisiteError(
            "a plan from rank 0",
            f"none came within {PATIENCE_S:.0f} s: {error}",
            "see what rank 0 printed, and whether MASTER_ADDR and MASTER_PORT can be reached",
        ) from error
    word = json.loads(store.get(_key("plan")))
    return Meeting(store), word.get("plan"), int(word.get("code", 0))


def worker_variables() -> dict[str, str]:
    """What makes the workers' ``torch.distributed`` use the store that is there already."""
    return {_AGENT: "True", "TORCHELASTIC_RESTART_COUNT": _restart()}


def check_launcher(distributed: str) -> None:
    """Refuse an ``accelerate launch`` that was told of a strategy which ``hardware`` decides."""
    for name, flag in (("DEEPSPEED", "--use_deepspeed"), ("FSDP", "--use_fsdp")):
        if os.environ.get(f"ACCELERATE_USE_{name}", "false").lower() == "true":
            raise ConfigError(
                Problem(
                    "hardware.distributed",
                    distributed,
                    f"accelerate launch was told {flag}, and r1lab takes the strategy from "
                    "the hardware group",
                    f"leave {flag} out and write hardware=deepspeed_z2, deepspeed_z3 or fsdp",
                )
            )


def _key(name: str) -> str:
    return f"r1lab/{name}/{_restart()}"


def _let_the_others_read() -> None:
    """The store goes with this process: whoever has just been told must have read it."""
    if not _agent():
        time.sleep(LINGER_S)


def _restart() -> str:
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")


def _agent() -> bool:
    return os.environ.get(_AGENT, "").lower() == "true"


def _store(hosting: bool) -> Any:
    from torch.distributed import TCPStore

    try:
        return TCPStore(
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            is_master=hosting,
            timeout=timedelta(seconds=PATIENCE_S),
            wait_for_workers=False,
        )
    except (KeyError, ValueError) as error:
        raise PrerequisiteError(
            "MASTER_ADDR and MASTER_PORT",
            f"RANK and WORLD_SIZE are set, so this is one of several processes ({error})",
            "start it with torchrun, accelerate launch or a Slurm launcher, or unset RANK",
        ) from error
