#!/usr/bin/env python3
"""Records what programs do on Tern into the files beside this one: record.py [ARCH]

A row is a run of one thread, from waking to sleeping: nanoseconds on a CPU, waiting for one, asleep before it; why it then slept;
pages of its process. One CPU, counted, so the host is not in them; the files *-timed are of an emulator that was not counted, on a
busy host. /sys/kernel/sched/dis/trace gives the rows.
"""

import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "tools"))

from tern import userland  # noqa: E402
from tern.bench import guest  # noqa: E402

TRACE = "/sys/kernel/sched/dis/trace"
SHELL = ("for i in $(seq 60); do ls -l /bin >/dev/null; seq $((i * i)) | tail -1 >/dev/null; "
         "echo $(grep -c o /proc/mounts) $i; test $((i % 7)) = 0 && ps; done")
LATENCY = "/bin/latency 2 2 100 undeclared"
# File: what runs, the name of the thread, which of that name (by its first row)
PROGRAMS = {
    "shell": (f"sh -c '{SHELL}'", "sh", 0),
    "cat": ("cat /bin/busybox /bin/busybox /bin/busybox | gzip -c | sha1sum", "cat", 0),
    "sha1sum": ("cat /bin/busybox /bin/busybox /bin/busybox | gzip -c | sha1sum", "sha1sum", 0),
    "audio": (LATENCY, "latency", 0),
    "interactive": (LATENCY, "latency", 1),
    "server": (LATENCY, "latency", 2),
    "client": (LATENCY, "latency", 3),
}
TIMED = ("shell", "cat", "sha1sum", "audio", "interactive")
MOST = 300
ROW = re.compile(r"^(\d+) (\d+ \d+ \d+ (?:io|timer|event) \d+) (\S+)$", re.MULTILINE)


def rows(output, name, index):
    threads = {}
    for tid, row, who in ROW.findall(output):
        if who == name:
            threads.setdefault(int(tid), []).append(row)
    return [threads[tid] for tid in sorted(threads) if len(threads[tid]) >= 30][index]


def main():
    arch = sys.argv[1] if len(sys.argv) > 1 else "x86_64"
    tern = guest.Tern(arch)
    latency = userland.program(arch, "musl", [guest.SOURCES / "latency" / "latency.c"])
    for counted in (True, False):
        for name in PROGRAMS if counted else TIMED:
            command, thread, index = PROGRAMS[name]
            heard = tern.run(guest.Settings(arch, icount=counted, append="sched=dis"),
                             f"echo 4096 >{TRACE}; {command} >/dev/null; cat {TRACE}", [(latency, "/bin/latency")])
            found = rows(heard.output, thread, index)[:MOST]
            file = HERE / f"{name}{'' if counted else '-timed'}.txt"
            file.write_text("\n".join(found) + "\n")
            print(f"{file.name}: {len(found)} runs")


if __name__ == "__main__":
    main()
