"""A real Slurm for the tests, on this machine: two emulated nodes with two fake GPUs each."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PACKAGES = ["slurmctld", "slurmd", "slurm-client", "munge"]
PROGRAMS = ["slurmctld", "slurmd", "srun", "munged"]
_PATH = os.environ["PATH"] + os.pathsep + "/usr/sbin"


class Cluster:
    """A Slurm that is up; its files are in ``root``."""

    def __init__(self, root: Path):
        self.root = root

    def environment(self) -> dict[str, str]:
        """What makes Slurm's commands talk to this one."""
        path = os.pathsep.join([str(self.root / "bin"), _PATH])
        return {"SLURM_CONF": str(self.root / "slurm.conf"), "PATH": path}

    def __call__(self, *command: str) -> str:
        """A command's standard output; CalledProcessError when it fails."""
        return subprocess.run(
            command,
            env={**os.environ, **self.environment()},
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        ).stdout

    def show(self, job_id: str) -> str:
        """All that the controller knows of a job."""
        return self("scontrol", "show", "job", job_id)

    def squeue(self, job_id: str) -> str:
        """A job's line or lines, also when it has ended: id, state, machines."""
        return self("squeue", "--noheader", "--states=all", f"--jobs={job_id}", "--format=%i %T %N")

    def state(self, job_id: str) -> str:
        """PENDING, RUNNING, COMPLETED, FAILED, ...: of a single job, not of an array."""
        return self.squeue(job_id).split()[1]

    def wait_idle(self, seconds: float = 60) -> None:
        """Until no job is left and every machine is idle; TimeoutError otherwise."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            machines = self("sinfo", "--noheader", "--Node", "--partition=debug", "--format=%t")
            if set(machines.split()) == {"idle"} and not self("squeue", "--noheader").strip():
                return
            time.sleep(0.2)
        raise TimeoutError(self("squeue") + self("sinfo", "--Node"))

    def cancel_all(self) -> None:
        jobs = self("squeue", "--noheader", "--format=%A").split()
        if jobs:
            self("scancel", *sorted(set(jobs)))


def _missing() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name, path=_PATH) is None]


def _install() -> str | None:
    """Install what is missing, where that may be done; else the reason."""
    if not _missing():
        return None
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return f"Slurm is not installed ({', '.join(_missing())}): apt-get install {PACKAGES}"
    policy = Path("/usr/sbin/policy-rc.d")  # keeps the packages from starting daemons of their own
    mine = not policy.exists()
    if mine:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        for command in (
            ["apt-get", "update", "-qq"],
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES],
        ):
            done = subprocess.run(command, env=quiet, capture_output=True, text=True, timeout=600)
            if done.returncode != 0:
                return f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}"
    finally:
        if mine:
            policy.unlink()
    return f"still missing: {', '.join(_missing())}" if _missing() else None


def _unavailable(reason: str) -> None:
    """Skip, but fail where CI says that there has to be one."""
    if os.environ.get("R1LAB_REQUIRE_SLURM") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def _free_ports(count: int) -> int:
    """The first of ``count`` ports in a row that nobody listens on, below the ephemeral ones."""
    for first in range(20000, 32000, 100):
        try:
            for port in range(first, first + count):
                with socket.socket() as tried:
                    tried.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise RuntimeError("no free ports")


def start() -> Cluster:
    """A Slurm of its own, with the ports and the folder to itself; RuntimeError with its logs."""
    # A short path: the names of Unix sockets are limited.
    root = Path(tempfile.mkdtemp(prefix="r1lab-slurm-", dir="/tmp"))
    try:
        up = subprocess.run(
            ["bash", str(HERE / "cluster_up.sh")],
            env={**os.environ, "SLURM_ROOT": str(root), "SLURM_PORT": str(_free_ports(3))},
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )
        if up.returncode != 0:
            raise RuntimeError(f"Slurm does not start: {(up.stdout + up.stderr)[-2000:]}")
    except BaseException:  # Ctrl-C too
        stop(root)
        raise
    return Cluster(root)


def stop(root: Path) -> None:
    """End the Slurm in ``root`` and remove the folder."""
    down = ["bash", str(HERE / "cluster_down.sh")]
    subprocess.run(down, env={**os.environ, "SLURM_ROOT": str(root)}, check=True, timeout=120)
    shutil.rmtree(root)


@pytest.fixture(scope="session")
def _cluster() -> Iterator[Cluster]:
    reason = _install()
    if reason:
        _unavailable(reason)
    cluster = start()
    try:
        yield cluster
    finally:
        stop(cluster.root)


@pytest.fixture
def slurm(_cluster: Cluster) -> Iterator[Cluster]:
    """The session's Slurm, without a job of another test."""
    yield _cluster
    _cluster.cancel_all()
