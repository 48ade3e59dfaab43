"""How many CPU cores this process really has, and whom it shares them with.

Knows: affinity, control groups and their quotas, Linux' groups of sessions, how a thread gives way. Does not know: what
the cores are for.
"""

import contextlib
import os
import sys
import threading
from pathlib import Path

CGROUP, PROC = Path("/sys/fs/cgroup"), Path("/proc")
NICER = 10


def usable_cores(cgroup: Path = CGROUP) -> int:
    """Cores that this process may run on at once, at least 1: a container with `--cpus 1.5` on 64 cores has 1."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroup)
    return max(1, min(affinity, int(quota))) if quota else affinity


def in_group(cgroup: Path = CGROUP, proc: Path = PROC) -> bool:
    """Whether this process is in a group that has its share of the CPU beside other groups: the control group of a
    container or a unit, or a session where the kernel groups by session. Its idle class then gives way to its own group
    alone, and otherwise to everything on the machine.
    """
    try:
        if (proc / "sys/kernel/sched_autogroup_enabled").read_text().strip() == "1":
            return True
    except OSError:
        pass
    try:
        own = next(line[4:] for line in (proc / "self/cgroup").read_text().splitlines() if line.startswith("0::/"))
    except (OSError, StopIteration):
        return False
    return (cgroup / own / "cpu.weight").exists()


def give_way(*, idle_class: bool) -> None:
    """Let the event loop have any core as soon as it wants it, for this thread would keep one for ms at a time.

    While the model works on every core, requests are read, refused, or answered from the cache. For threads that are
    nicer, the loop still waits for their time slices; for those of Linux' idle class it does not. (Measured: 1.04 to
    1.08 times the throughput. But event loops on every core leave those nothing: misses then took 2.3 s, not 0.1 s.)
    """
    if sys.platform == "linux":  # elsewhere a thread has no priority of its own
        thread = threading.get_native_id()
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            if idle_class:
                os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))
            else:
                os.setpriority(os.PRIO_PROCESS, thread, os.nice(0) + NICER)


def _quota(cgroup: Path) -> float | None:
    """Cores that the control group may use, version 2 or 1 of the interface; None where nothing limits them."""
    try:
        limit, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            limit = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    try:
        cores = int(limit) / int(period)
    except (ValueError, ZeroDivisionError):  # "max"
        return None
    return cores if cores > 0 else None  # version 1 says -1
