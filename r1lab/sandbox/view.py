"""What a sandboxed program sees of the machine: system folders, the interpreter, chosen packages.

Everything is read-only, and everything else is not there: no home folder, no ``/etc`` with its
accounts and keys, no ``/sys``, no ``/run``, no installed Python package that was not asked for.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path

import r1lab
from r1lab.sandbox.languages import Language

#: Where the chosen packages are, for PYTHONPATH.
PACKAGES = "/packages"
#: Where r1lab's own half of the sandbox is, if it cannot be imported before the root changes.
INSIDE = "/sandbox"

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SETTINGS = (
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/localtime",
)
# Without /dev/zero: mapped as shared it gives memory that no limit of a process counts.
_DEVICES = ("/dev/null", "/dev/full", "/dev/random", "/dev/urandom")
_LINKS = (
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("/scratch/tmp", "/dev/shm"),
    ("/scratch/tmp", "/tmp"),
)


def interpreter() -> str:
    """This process's Python itself, not a virtual environment's link to it or copy of it."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


@dataclass(frozen=True)
class View:
    """Pairs of (outside, inside), devices, pairs of (target, link), folders shown empty."""

    binds: list[tuple[str, str]]
    links: list[tuple[str, str]]
    hide: list[str]
    devices: list[str] = field(default_factory=lambda: [d for d in _DEVICES if os.path.exists(d)])

    def to_dict(self) -> dict[str, list]:
        """Plain values, for the process inside."""
        return {
            "binds": self.binds,
            "links": self.links,
            "hide": self.hide,
            "devices": self.devices,
        }

    def bubblewrap(self, scratch_bytes: int) -> list[str]:
        """The same view as bubblewrap's arguments."""
        arguments: list[str] = []
        for outside, inside in self.binds:
            arguments += ["--ro-bind", outside, inside]
        for device in self.devices:
            arguments += ["--dev-bind", device, device]
        for target, path in self.links:
            arguments += ["--symlink", target, path]
        for path in self.hide:
            arguments += ["--size", "4096", "--tmpfs", path, "--remount-ro", path]
        here = Path(r1lab.__file__).parent
        for name in ("__init__.py", "sandbox/__init__.py", "sandbox/inside"):
            arguments += ["--ro-bind", str(here / name), f"{INSIDE}/r1lab/{name}"]
        arguments += ["--proc", "/proc", "--size", str(scratch_bytes), "--tmpfs", "/scratch"]
        return [*arguments, "--remount-ro", "/"]


def make_view(packages: Sequence[str], read_only: Sequence[str]) -> View:
    """With Python packages by name (where they are installed) and further folders by path."""
    binds: dict[str, str] = {}
    links: list[tuple[str, str]] = list(_LINKS)
    for path in (*_SYSTEM, *_SETTINGS):
        if os.path.islink(path) and path in _SYSTEM:
            links.append((os.readlink(path), path))
        elif os.path.exists(path):
            binds[path] = os.path.realpath(path)
    for folder in (*_python_folders(), *map(os.path.abspath, read_only)):
        if os.path.exists(folder) and not folder.startswith("/usr/"):
            binds[folder] = os.path.realpath(folder)
    for outside in _package_folders(packages):
        binds[f"{PACKAGES}/{os.path.basename(outside)}"] = outside
    pairs = [(outside, inside) for inside, outside in sorted(binds.items())]
    # Something to show may lie below a folder that is otherwise a link, such as /tmp.
    links = [row for row in links if not any(path.startswith(row[1] + "/") for path in binds)]
    return View(pairs, links, _installed_packages())


def search_path(read_only: Sequence[str]) -> list[str]:
    """Where programs and compilers are looked for, inside and out."""
    folders = ["/usr/local/bin", "/usr/bin", "/bin", os.path.dirname(interpreter())]
    return folders + [os.path.join(os.path.abspath(folder), "bin") for folder in read_only]


def find_tool(language: Language, read_only: Sequence[str]) -> str | None:
    """The path of the language's compiler or interpreter, if it is in the view."""
    if language.tools == ("python",):
        return interpreter()
    for tool in language.tools:
        for folder in search_path(read_only):
            path = os.path.join(folder, tool)
            if os.access(path, os.X_OK):
                return path
    return None


def package_path(packages: Sequence[str]) -> str:
    """Outside: the folder that the packages are imported from, where nothing is hidden."""
    return os.pathsep.join(dict.fromkeys(map(os.path.dirname, _package_folders(packages))))


def _python_folders() -> list[str]:
    # Not the whole prefix: it may be a folder in which other things are kept, such as a home.
    prefix = os.path.realpath(sys.base_prefix)
    folders = [os.path.join(prefix, name) for name in ("bin", "lib", "lib64")]
    return [os.path.dirname(interpreter()), *folders]


def _installed_packages() -> list[str]:
    prefix = os.path.realpath(sys.base_prefix)
    found: list[str] = []
    for root in dict.fromkeys((prefix, "/usr", "/usr/local")):
        for kind in ("site-packages", "dist-packages"):
            found += glob(f"{root}/lib*/python3*/{kind}")
    # A link (lib64 to lib) would be a second mount on the same folder.
    return sorted({os.path.realpath(folder) for folder in found})


def missing_packages(packages: Sequence[str]) -> list[str]:
    """Those that are not installed, or are no folder that could be shown."""
    return [name for name in packages if not _package_folders([name])]


def _package_folders(packages: Sequence[str]) -> list[str]:
    """Of each package that is installed, with the libraries that wheels put beside it."""
    found: list[str] = []
    for name in packages:
        specification = importlib.util.find_spec(name)
        for location in (specification and specification.submodule_search_locations) or ():
            folder = os.path.realpath(location)
            found += [path for path in (folder, f"{folder}.libs") if os.path.isdir(path)]
    return found
