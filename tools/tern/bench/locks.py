"""How often an operation takes a lock, by what the lock stands for, and how often it has to wait.

Debug kernels count it (core/sync/lock_stat.c). The benchmark program reads the counters before and
after its loop; ticks and the reading itself add some thousandths.
"""

import re

from tern.bench import guest, report
from tern.common import Failure, say

CPUS = 4
OPERATIONS = ("fault_anon_write", "fault_anon_read", "fault_cow", "fault_file", "mmap_munmap_64k",
              "mprotect_pair", "brk_pair", "fork_exit_wait", "faults_one_space",
              "faults_many_spaces", "mmap_one_space", "mmap_many_spaces")
SCOPES = ("CPU", "object", "region", "address space", "machine")
LINE = re.compile(r"^lock\t(\S+)\t([^\t]+)\t(\w+)\t([\d.]+)\t([\d.]+)$", re.MULTILINE)

# What a lock is one of, by its name; the lock of a zone, a slab cache or a table is the machine's.
SCOPE = {
    "run queue": "CPU", "timers": "CPU",
    "region.lock": "region",
    "aspace.lock": "address space", "pagetree": "address space",
} | dict.fromkeys((
    "descriptors", "file.position", "fs context", "futex", "inode.lock", "inode.locks", "object maps",
    "object.grow", "pipe.lock", "process", "signal actions", "socket.bind_lock", "socket.lock",
    "tty.lock", "waitq"), "object")


def count(kernel, operations=OPERATIONS, cpus=CPUS):
    """{operation: {scope: [taken, contended]}}, each per operation; the kernel is a debug build."""
    heard = kernel.run(guest.Settings(kernel.arch, cpus, False),
                       "; ".join(f"/bin/bench --locks {name}" for name in operations))
    found = {name: {scope: [0.0, 0.0] for scope in SCOPES} for name in operations}
    for name, lock, kind, taken, contended in LINE.findall(heard.output):
        cell = found[name][SCOPE.get(lock, "machine")]
        cell[0] += float(taken)
        cell[1] += float(contended)
    silent = [name for name in operations if not any(cell[0] for cell in found[name].values())]
    if silent:
        raise Failure(f"{kernel.arch}: no counts of locks for {' '.join(silent)}: {heard.why}")
    return found


def measure(arch, results):
    """Puts the counts into results["locks"]."""
    results["locks"] = count(guest.Tern(arch, "debug"))
    say(f"{arch}: locks taken by each operation")


def rows(kept):
    """The table's head and rows."""
    every = report.descriptions() | report.descriptions("cpus.c")
    yield ["operation", "", *SCOPES]
    for name in OPERATIONS:
        for arch, results in kept.items():
            cells = results.get("locks", {}).get(name)
            if cells:
                yield [f"{every[name]} (`{name}`)" if arch == next(iter(kept)) else "", arch,
                       *(f"{taken:.2f}" + (f" ({contended:.2f})" if contended >= 0.005 else "")
                         for taken, contended in (cells[scope] for scope in SCOPES))]
