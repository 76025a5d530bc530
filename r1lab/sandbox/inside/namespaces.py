"""Into namespaces of one's own: a root with nothing in it but what programs need, read-only.

    supervisor (outside) - bridge (new user namespace) - process 1 (everything new)

The supervisor writes the user ids' map, which only somebody outside may where there are two ids.
The bridge exists since a new pid namespace begins with the next child. Either one's end kills the
one below, and with process 1 the kernel kills all that is in its pid namespace.
"""

from __future__ import annotations

import os
from typing import Any

from r1lab.sandbox.inside import system

#: The user and group that programs see themselves as.
PROGRAM_ID = 1000
#: Who that is outside where the caller is root: "nobody", who owns nothing.
NOBODY = 65534
_QUIET = system.MS_NOSUID | system.MS_NODEV


def enter(view: dict[str, Any]) -> bool:
    """Return in process 1 of new namespaces; the two processes above it never return.

    ``True`` says that programs have to change to ``PROGRAM_ID`` (the caller is root), ``False``
    that the caller's own user is it already. Raises ``OSError`` (naming the call) in whichever
    process fails.
    """
    uid, gid = os.geteuid(), os.getegid()
    two_ids = uid == 0 and _is_mapped(NOBODY, "uid") and _is_mapped(NOBODY, "gid")
    with open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")  # rather a program than the training is killed
    unshared, mapped = os.pipe(), os.pipe()
    bridge = os.fork()
    if bridge:
        os.close(unshared[1])
        if os.read(unshared[0], 1) and two_ids:
            for kind in ("uid", "gid"):
                _write(f"/proc/{bridge}/{kind}_map", f"0 0 1\n{PROGRAM_ID} {NOBODY} 1\n")
        os.write(mapped[1], b"1")
        _wait_for(bridge)
    os.close(mapped[1])
    system.unshare(system.CLONE_NEW_ALL)
    system.die_with_parent()
    if not two_ids:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{PROGRAM_ID} {uid} 1\n")
        _write("/proc/self/gid_map", f"{PROGRAM_ID} {gid} 1\n")
    os.write(unshared[1], b"1")
    if not os.read(mapped[0], 1):
        os._exit(1)  # the supervisor failed, and says so
    for end in (*unshared, mapped[0]):
        os.close(end)
    first = os.fork()
    if first:
        _wait_for(first)
    system.die_with_parent()
    _build_root(view)
    return two_ids


def _wait_for(pid: int) -> None:
    os.close(0)  # the channel: it ends when process 1 does
    os.waitpid(pid, 0)
    os._exit(0)


def _is_mapped(number: int, kind: str) -> bool:
    with open(f"/proc/self/{kind}_map") as rows:
        for row in rows:
            start, _, count = map(int, row.split())
            if start <= number < start + count:
                return True
    return False


def _write(path: str, text: str) -> None:
    # At once: a second write to a map is refused.
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    except OSError as error:
        raise OSError(error.errno, f"write {path}: {error.strerror}") from error
    finally:
        os.close(descriptor)


def _build_root(view: dict[str, Any]) -> None:
    """A root in memory that holds ``view`` and nothing else; the old root is gone afterwards.

    ``view`` has ``binds`` (pairs of a path outside and one inside), ``devices``, ``links`` (pairs
    of a target and a path) and ``hide`` (folders inside that shall be empty).
    """
    system.mount("none", "/", None, system.MS_REC | system.MS_PRIVATE)
    system.mount("tmpfs", "/tmp", "tmpfs", _QUIET, "mode=0755,size=1m")
    os.mkdir("/tmp/.old")
    system.pivot_root("/tmp", "/tmp/.old")
    os.chdir("/")
    for outside, inside in view["binds"]:
        _bind(outside, inside)
        system.harden_mount(inside)
    for device in view["devices"]:
        _bind(device, device)
        system.harden_mount(device, device=True)
    for target, path in view["links"]:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(target, path)
    for path in view["hide"]:
        flags = _QUIET | system.MS_RDONLY
        system.mount("tmpfs", path, "tmpfs", flags, "mode=0555,size=4k")
    os.mkdir("/proc")
    system.mount("proc", "/proc", "proc", _QUIET | system.MS_NOEXEC)
    # Per user namespace: no other one can be made from here, with the system call filter or not.
    _write("/proc/sys/user/max_user_namespaces", "0")
    system.harden_mount("/proc")
    os.mkdir("/scratch")
    system.unmount("/.old")
    os.rmdir("/.old")
    system.harden_mount("/", recursive=False)


def _bind(outside: str, inside: str) -> None:
    source = "/.old" + outside
    if os.path.isdir(source):
        os.makedirs(inside, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(inside), exist_ok=True)
        os.close(os.open(inside, os.O_CREAT | os.O_WRONLY, 0o644))
    system.mount(source, inside, None, system.MS_BIND | system.MS_REC)
