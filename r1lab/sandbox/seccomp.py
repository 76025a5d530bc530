"""The kernel's filter of system calls for untrusted programs, made by libseccomp.

The C library that Docker, systemd and Flatpak use for this knows every architecture's numbers and
argument orders. It is used through ctypes: Debian, Ubuntu, Fedora and Red Hat install it with the
system, and it needs no Python package. Programs may call everything but what is named here: system
calls that reach other processes, the kernel's configuration, other namespaces or the network, that
have been a way out of containers, or that hold memory which no limit counts.
"""

from __future__ import annotations

import ctypes
import errno
import os
from functools import cache

from r1lab.errors import PrerequisiteError

#: Why -> what is refused with EPERM.
DENIED = {
    "other views of the file system": """
        mount umount umount2 pivot_root chroot move_mount open_tree fsopen
        fsconfig fsmount fspick mount_setattr name_to_handle_at open_by_handle_at
        fanotify_init fanotify_mark quotactl quotactl_fd swapon swapoff acct
    """,
    "other processes, other namespaces": """
        ptrace process_vm_readv process_vm_writev process_madvise process_mrelease kcmp
        pidfd_getfd setns unshare move_pages migrate_pages mbind set_mempolicy
        set_mempolicy_home_node
    """,
    "the machine": """
        reboot kexec_load kexec_file_load init_module finit_module delete_module
        create_module settimeofday clock_settime clock_adjtime clock_settime64
        clock_adjtime64 adjtimex stime sethostname setdomainname iopl ioperm modify_ldt
        vm86 vm86old vhangup syslog personality lookup_dcookie nfsservctl uselib ustat
        sysfs _sysctl vserver
    """,
    "what has often been a hole in the kernel": """
        bpf perf_event_open userfaultfd keyctl add_key request_key
    """,
    "memory that belongs to no process": """
        memfd_create memfd_secret shmget shmat shmctl semget semop semtimedop semctl
        msgget msgsnd msgrcv msgctl mq_open
    """,
}
#: Refused with ENOSYS: libraries then take the older call, whose arguments a filter can read.
ABSENT = (
    "clone3",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
)

#: As absent as these: system calls newer than Linux 6.10, whose last is mseal, number 462. Numbers
#: of new ones are the same on every architecture, and what they do was not looked at here.
UNKNOWN = range(463, 600)

_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NOT_EQUAL, _MASKED_EQUAL = 1, 7
_OPTIMIZE, _BINARY_TREE = 8, 2
#: New cgroup, uts, ipc, user, pid, net and mount namespaces, as flags of clone.
_NEW_NAMESPACES = (0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000, 0x20000)
_MAP_SHARED_ANONYMOUS = 0x01 | 0x20
_TERMINAL_REQUESTS = (0x5412, 0x541C)  # TIOCSTI and TIOCLINUX type into somebody's terminal
_LOW_HALF = 0xFFFFFFFF


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operation", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        raise PrerequisiteError(
            "libseccomp",
            f"untrusted programs run behind its system call filter ({error})",
            "apt-get install libseccomp2 (dnf install libseccomp)",
        ) from error
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_release.argtypes = [ctypes.c_void_p]
    library.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
    library.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Comparison),
    ]
    library.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    return library


@cache
def syscall_filter() -> bytes:
    """The filter as the kernel takes it: ``struct sock_filter`` after ``struct sock_filter``.

    A program of another architecture (32 bits, x32) is killed at its first system call. Raises
    ``PrerequisiteError`` without libseccomp and ``OSError`` where it refuses a rule.
    """
    library = _library()
    context = library.seccomp_init(_ALLOW)

    def refuse(name: str | int, error: int, *comparisons: tuple[int, int, int, int]) -> None:
        number = name
        if isinstance(name, str):
            number = library.seccomp_syscall_resolve_name(name.encode())
            if number < 0:  # this architecture, or this libseccomp, has no such call
                return
        rows = (_Comparison * len(comparisons))(*(_Comparison(*c) for c in comparisons))
        code = library.seccomp_rule_add_array(
            context, _ERRNO | error, number, len(comparisons), rows
        )
        if code:
            raise OSError(-code, f"libseccomp takes no rule for {name}: {os.strerror(-code)}")

    try:
        for names in DENIED.values():
            for name in names.split():
                refuse(name, errno.EPERM)
        for call in (*ABSENT, *UNKNOWN):
            refuse(call, errno.ENOSYS)
        for flag in _NEW_NAMESPACES:
            refuse("clone", errno.EPERM, (0, _MASKED_EQUAL, flag, flag))
        # AF_UNIX only. The others would find an empty network namespace, but AF_VSOCK, which leads
        # from a virtual machine to its host, belongs to no namespace.
        refuse("socket", errno.EAFNOSUPPORT, (0, _NOT_EQUAL, 1, 0))
        for request in _TERMINAL_REQUESTS:
            refuse("ioctl", errno.EPERM, (1, _MASKED_EQUAL, _LOW_HALF, request))
        shared = _MAP_SHARED_ANONYMOUS
        refuse("mmap", errno.EPERM, (3, _MASKED_EQUAL, shared, shared))
        library.seccomp_attr_set(context, _OPTIMIZE, _BINARY_TREE)
        return _exported(library, context)
    finally:
        library.seccomp_release(context)


def _exported(library: ctypes.CDLL, context: int) -> bytes:
    reader = os.memfd_create("filter")
    try:
        code = library.seccomp_export_bpf(context, reader)
        if code:
            raise OSError(-code, f"libseccomp exports no filter: {os.strerror(-code)}")
        return os.pread(reader, os.fstat(reader).st_size, 0)
    finally:
        os.close(reader)
