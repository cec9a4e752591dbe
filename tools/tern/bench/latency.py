"""The latency of an audio-like, an interactive and a server task beside eight processes that compute:
tests/bench/latency, with each scheduler of Tern and with Linux's default one.

One CPU, counted: with -icount shift=0 an instruction takes a nanosecond of the guest's clock, so the figures repeat and
the host's load is not in them. Several CPUs the emulator would then run one after the other, which is no longer a machine
whose latency means something: so four CPUs are timed, RUNS times, of which the median counts; the host's load is in it.
"""

import re
import statistics

from tern import userland
from tern.bench import guest, report
from tern.common import Failure, say

SOURCE = guest.SOURCES / "latency" / "latency.c"
SCHEDULERS = ("fifo", "prio", "mlfq", "dis")
TASKS = {"audio": "audio, 1 ms every 5 ms", "interactive": "interactive, 2 ms at odd times",
         "server": "server, 1 ms a request"}
CPUS = (1, 4)
SECONDS = 2
RUNS = 3  # of the timed ones
HEAD = ("runs", "misses", "median", "p99", "max")
LINE = re.compile(r"^latency (\w+) (\d+) (\d+) (\d+) (\d+) (\d+)$", re.MULTILINE)


def run(kernel, cpus, append=""):
    """{task: {runs, misses, median, p99, max}}"""
    program = userland.program(kernel.arch, "musl", [SOURCE])
    runs = 1
    heard = kernel.run(guest.Settings(kernel.arch, cpus, True, append=append, timeout=1200),
                       "sleep 2" + f"; /bin/latency {SECONDS}" * runs, [(program, "/bin/latency")])
    every = {}
    for name, *values in LINE.findall(heard.output):
        every.setdefault(name, []).append(list(map(int, values)))
    if set(every) != set(TASKS):
        raise Failure(f"{kernel.arch}: {kernel.name} {append}: no latencies: {heard.why}")
    return {name: dict(zip(HEAD, (round(statistics.median(column)) for column in zip(*lines))))
            for name, lines in every.items()}


def measure(arch, preset=None, versus=True):
    """Puts {CPUs: {scheduler: {task: figures}}} into the result file."""
    results = report.load(arch)
    kept = results.setdefault("latency", {})
    tern = guest.Tern(arch, preset)
    for cpus in CPUS:
        table = kept.setdefault(str(cpus), {})
        for name in SCHEDULERS:
            table[name] = run(tern, cpus, f"sched={name}")
            report.save(results)
            say(f"{arch}: latency, {cpus} CPUs, {name}: " + summary(table[name]))
        if versus:
            table["linux"] = run(guest.Linux(arch), cpus)
            report.save(results)
            say(f"{arch}: latency, {cpus} CPUs, Linux: " + summary(table["linux"]))
    return results


def summary(found):
    return "  ".join(f"{task} {f['misses']}/{f['runs']} p99 {microseconds(f['p99'])}"
                     for task, f in found.items())


def microseconds(ns):
    return f"{ns / 1000:,.1f}"


def rows(results, cpus):
    """A row a task and scheduler."""
    table = results.get("latency", {}).get(str(cpus), {})
    for task, what in TASKS.items():
        for i, name in enumerate((*SCHEDULERS, "linux")):
            found = table.get(name, {}).get(task)
            if found:
                yield [what if i == 0 else "", "Linux" if name == "linux" else f"`{name}`",
                       str(found["runs"]), str(found["misses"]),
                       *(microseconds(found[key]) for key in ("median", "p99", "max"))]
