"""The system calls that Python 3.11 has no functions for."""

from __future__ import annotations

import ctypes
import os

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2
#: New mount, cgroup, uts, ipc, user, pid and network namespaces.
CLONE_NEW_ALL = (
    0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
)

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_CHILD_SUBREAPER = 1, 4, 22, 36
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2
_SYS_MOUNT_SETATTR = 442  # the same number on every architecture
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV, _ATTR_NOEXEC = 1, 2, 4, 8
_SIGKILL = 9

_libc = ctypes.CDLL(None, use_errno=True)
_prctl_arguments = [ctypes.c_int, *[ctypes.c_ulong] * 4]
_libc.prctl.argtypes = _prctl_arguments
_libc.mount.argtypes = [*[ctypes.c_char_p] * 3, ctypes.c_ulong, ctypes.c_char_p]


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("user_namespace", ctypes.c_uint64),
    )


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("rules", ctypes.c_void_p))


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def _check(code: int, what: str) -> None:
    if code != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _prctl(what: str, option: int, argument: int = 0, pointer: int = 0) -> None:
    _check(_libc.prctl(option, argument, pointer, 0, 0), what)


def unshare(flags: int) -> None:
    """Leave the namespaces of ``flags`` for new ones."""
    _check(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """mount(2)."""
    kind_, data_ = (text and text.encode() for text in (kind, data))
    _check(
        _libc.mount(source.encode(), target.encode(), kind_, flags, data_),
        f"mount {source} on {target}",
    )


def unmount(target: str) -> None:
    """Take a mount away, even from under those who use it."""
    _check(_libc.umount2(target.encode(), MNT_DETACH), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    """Make ``new`` the root and keep the old one at ``old``."""
    _check(_libc.pivot_root(new.encode(), old.encode()), "pivot_root")


def harden_mount(target: str, device: bool = False, recursive: bool = True) -> None:
    """No set-user-id programs; and nothing written and no devices, or a device and nothing else.

    For the mounts below ``target`` too, which mount(2) cannot do at once. Needs Linux 5.12.
    """
    attributes = _ATTR_NOSUID
    attributes |= _ATTR_NOEXEC if device else _ATTR_NODEV | _ATTR_RDONLY
    wanted = _MountAttributes(attributes, 0, 0, 0)
    flags = _AT_RECURSIVE if recursive else 0
    code = _libc.syscall(
        ctypes.c_long(_SYS_MOUNT_SETATTR),
        ctypes.c_int(_AT_FDCWD),
        ctypes.c_char_p(target.encode()),
        ctypes.c_uint(flags),
        ctypes.byref(wanted),
        ctypes.c_size_t(ctypes.sizeof(wanted)),
    )
    _check(code, f"mount_setattr {target}")


def die_with_parent() -> None:
    """Be killed when the parent (the thread that forked) ends; forgotten when ids change."""
    _prctl("PR_SET_PDEATHSIG", _PR_SET_PDEATHSIG, _SIGKILL)


def adopt_orphans() -> None:
    """Become the parent of descendants whose parent ends, as process 1 is by itself."""
    _prctl("PR_SET_CHILD_SUBREAPER", _PR_SET_CHILD_SUBREAPER, 1)


def hide_memory() -> None:
    """Let no process of the same user trace this one or read its memory and open files."""
    _prctl("PR_SET_DUMPABLE", _PR_SET_DUMPABLE, 0)


def drop_capabilities() -> None:
    """Give up every capability; after ``forbid_new_privileges`` none can be had again."""
    version_3, ambient, clear_all = 0x20080522, 47, 4
    _prctl("PR_CAP_AMBIENT", ambient, clear_all)
    header = _CapabilityHeader(version_3, 0)
    _check(_libc.capset(ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)())), "capset")


def install_filter(rules: bytes) -> None:
    """Put this process and all that come from it behind a system call filter, for good."""
    keep = ctypes.create_string_buffer(rules, len(rules))
    program = _Filter(len(rules) // 8, ctypes.addressof(keep))
    pointer = ctypes.addressof(program)
    _prctl("PR_SET_SECCOMP", _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, pointer)


def forbid_new_privileges() -> None:
    """Make set-user-id bits and file capabilities mean nothing from here on."""
    _prctl("PR_SET_NO_NEW_PRIVS", _PR_SET_NO_NEW_PRIVS, 1)


def default_signals() -> None:
    """Undo what Python ignores: a program that exec starts would ignore it as well."""
    _default_signals(13, 25)  # SIGPIPE, SIGXFSZ


def handle_no_signals() -> None:
    """Undo what Python handles: process 1 of a namespace gets the signals that it handles."""
    _default_signals(2)  # SIGINT


def _default_signals(*numbers: int) -> None:
    for number in numbers:
        _libc.signal(ctypes.c_int(number), ctypes.c_void_p(0))
