"""Confinement of the running process: what it gives up before it opens a file of a stranger.

Everything here is irreversible, and each part works without the others: a kernel or a container that refuses one leaves
the rest. libseccomp is on every system with systemd; no Python package is needed for it.
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import errno
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

SET_PARENT_DEATH_SIGNAL, SET_NO_NEW_PRIVILEGES = 1, 38
"""Numbers of prctl(2)."""
ALLOW, REFUSE = 0x7FFF0000, 0x00050000
"""Actions of seccomp(2); an errno is added to the second."""
ALL_THREADS, MASKED_EQUAL = 4, 7
"""libseccomp's SCMP_FLTATR_CTL_TSYNC and SCMP_CMP_MASKED_EQ."""
NEW_THREAD = 0x00010000
"""CLONE_THREAD of clone(2)."""
REFUSED = (
    *("socket", "socketpair", "connect", "bind", "listen", "accept", "accept4"),
    *("execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "kill", "tkill"),
    *("pidfd_open", "pidfd_getfd", "pidfd_send_signal", "io_uring_setup", "bpf", "perf_event_open", "userfaultfd"),
    *("creat", "openat2", "open_by_handle_at", "unlink", "unlinkat", "rename", "renameat", "renameat2", "rmdir"),
    *("link", "linkat", "symlink", "symlinkat", "mkdir", "mkdirat", "mknod", "mknodat", "truncate", "utimensat"),
    *("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat", "setxattr", "lsetxattr"),
    *("fsetxattr", "removexattr", "lremovexattr", "fremovexattr", "mount", "umount2", "move_mount", "unshare"),
    *("setns", "chroot", "pivot_root", "keyctl", "add_key", "request_key", "shmget", "msgget", "mq_open"),
)
"""System calls that no inference needs: network, other programs and processes, changes of files."""


class _Comparison(ctypes.Structure):
    """``(argument & mask) == value``, libseccomp's scmp_arg_cmp."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operation", ctypes.c_int),
        ("mask", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
    )


def die_with_parent(parent: int) -> None:
    """End this process when ``parent``, its parent's number, ends."""
    _prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the kernel was asked
        os._exit(1)


def be_killed_first() -> None:
    """Let the kernel end this process first if memory runs out."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def confine(parent: int) -> None:
    """Give up root, and for every user: new privileges, network, other programs, other processes, changes of files.

    Call it after the last import: the user ``nobody`` may not read the installation. ``parent`` is as of
    :func:`die_with_parent`, which a change of user undoes.
    """
    _become_nobody()
    _prctl(SET_NO_NEW_PRIVILEGES, 1)
    die_with_parent(parent)
    try:
        _refuse_system_calls()
    except (OSError, AttributeError) as error:
        log.debug("no filter of system calls: %s", error)


def _become_nobody() -> None:
    """Root becomes ``nobody``, and not fmd: that user reads the settings and signals the service."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return
    import pwd

    try:
        nobody = pwd.getpwnam("nobody")
        os.setgroups([])
        os.setresgid(nobody.pw_gid, nobody.pw_gid, nobody.pw_gid)
        os.setresuid(nobody.pw_uid, nobody.pw_uid, nobody.pw_uid)
    except (KeyError, OSError) as error:  # a container without other users
        log.debug("root stays root: %s", error)


def _prctl(option: int, value: int) -> None:
    if sys.platform != "linux":
        return
    zero = ctypes.c_ulong(0)
    ctypes.CDLL(None, use_errno=True).prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero)


def _refuse_system_calls() -> None:
    """Install the filter. Raises OSError or AttributeError where libseccomp or the kernel lacks something."""
    if sys.platform != "linux":
        return
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(ALLOW)))
    if not context:
        raise OSError("libseccomp has no filter for this processor")
    refused = REFUSE + errno.EPERM
    for name in REFUSED:
        _add(library, context, name, refused)
    for name, argument in (("open", 1), ("openat", 2)):
        for mask, value in ((os.O_ACCMODE, os.O_WRONLY), (os.O_ACCMODE, os.O_RDWR), (os.O_CREAT, os.O_CREAT)):
            _add(library, context, name, refused, [_Comparison(argument, MASKED_EQUAL, mask, value)])
    # Threads are allowed, processes are not. glibc uses clone, whose flags a filter can read, where clone3 is missing.
    _add(library, context, "clone", refused, [_Comparison(0, MASKED_EQUAL, NEW_THREAD, 0)])
    _add(library, context, "clone3", REFUSE + errno.ENOSYS)
    library.seccomp_attr_set(context, ctypes.c_int(ALL_THREADS), ctypes.c_uint32(1))
    code = library.seccomp_load(context)
    library.seccomp_release(context)
    if code:
        raise OSError(-code, os.strerror(-code))


def _add(library: Any, context: Any, name: str, action: int, comparisons: Sequence[_Comparison] = ()) -> None:
    number = library.seccomp_syscall_resolve_name(name.encode())
    if number == -1:  # an older libseccomp does not know the newest
        return
    array = (_Comparison * len(comparisons))(*comparisons)
    library.seccomp_rule_add_array(
        context, ctypes.c_uint32(action), ctypes.c_int(number), ctypes.c_uint(len(comparisons)), array
    )
