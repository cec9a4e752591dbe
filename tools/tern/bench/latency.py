"""The latency of an audio-like, an interactive and a server task beside eight processes that compute:
tests/bench/latency, with each scheduler of Tern and with Linux's default one.

One CPU, counted: with -icount shift=0 an instruction takes a nanosecond of the guest's clock, so the figures repeat and
the host's load is not in them. Several CPUs the emulator would then run one after the other, which is no longer a machine
whose latency means something: so four CPUs are timed, with less work, RUNS times, of which the median counts, and only on a
host with as many idle cores: else it is the host's load that is measured.
"""

import os
import re
import statistics

from tern import userland
from tern.bench import guest, page, report
from tern.common import Failure, say

SOURCE = guest.SOURCES / "latency" / "latency.c"
SCHEDULERS = ("fifo", "prio", "mlfq", "dis")
TASKS = {"audio": "audio, 1 ms every 5 ms", "interactive": "interactive, 2 ms at odd times",
         "server": "server, 1 ms a request"}
CPUS = (1, 4)
SECONDS = 2
RUNS = 3  # of the timed ones
TIMED_WORK = 20  # percent of the work then: the emulator shares out what the host has
HEAD = ("runs", "misses", "median", "p99", "max")
LINE = re.compile(r"^latency (\w+) (\d+) (\d+) (\d+) (\d+) (\d+)$", re.MULTILINE)


def run(kernel, cpus, append=""):
    """{task: {runs, misses, median, p99, max}}"""
    program = userland.program(kernel.arch, "musl", [SOURCE])
    runs = 1 if cpus == 1 else RUNS
    heard = kernel.run(guest.Settings(kernel.arch, cpus, cpus == 1, append=append, timeout=400),
                       "sleep 2" + f"; /bin/latency {SECONDS} 8 {100 if cpus == 1 else TIMED_WORK}" * runs, [(program, "/bin/latency")])
    every = {}
    for name, *values in LINE.findall(heard.output):
        every.setdefault(name, []).append(list(map(int, values)))
    if set(every) != set(TASKS):
        raise Failure(f"{kernel.arch}: {kernel.name} {append}: no latencies: {heard.why}")
    return {name: dict(zip(HEAD, (round(statistics.median(column)) for column in zip(*lines))))
            for name, lines in every.items()}


def measure(arch, preset=None, versus=True, counts=CPUS):
    """Puts {CPUs: {scheduler: {task: figures}}} into the result file."""
    results = report.load(arch)
    tern = guest.Tern(arch, preset)
    into(results, tern, guest.Linux(arch) if versus else None, counts)
    return results


def into(results, tern, linux=None, counts=CPUS):
    """The same into results["latency"], saved after each."""
    kept = results.setdefault("latency", {})
    systems = [(name, tern, f"sched={name}") for name in SCHEDULERS]
    for cpus in counts:
        if cpus > 1 and os.cpu_count() - os.getloadavg()[0] < cpus:
            say(f"{tern.arch}: latency with {cpus} CPUs: this host has not that many idle cores")
            continue
        for name, kernel, append in systems + ([("linux", linux, "")] if linux else []):
            found = run(kernel, cpus, append)
            kept.setdefault(str(cpus), {})[name] = found
            report.save(results)
            say(f"{tern.arch}: latency, {cpus} CPU{'s' if cpus > 1 else ''}, {name}: {summary(found)}")


def bench(arches, preset, versus):
    for arch in arches:
        measure(arch, preset, versus)
    page.publish_latency()
    return 0


def summary(found):
    return "  ".join(f"{task} {f['misses']}/{f['runs']} p99 {microseconds(f['p99'])}"
                     for task, f in found.items())


def microseconds(ns):
    return f"{ns / 1000:,.1f}"


TITLE = "## Latency beside eight processes that compute"
INTRO = """\
`tests/bench/latency`: a task that works like audio output, an interactive one and a server with its client, beside eight
processes that compute; the same static program everywhere. On Tern each says what it is (`audio_playback`, `ui_thread`,
`web_server`, `compilation`), which only the scheduler `dis` heeds; Linux has its default scheduler and defaults. Microseconds
from when a task should have run to when it did. A miss of the audio task is a period whose work was not done when the next
began, or that went by without it; of the others an answer after more than 50 ms. With one CPU the tasks need 37 % of it.

One CPU is counted (`-icount shift=0`, an instruction is a nanosecond): these figures repeat. Several CPUs the emulator would
then run one after the other, which is no machine whose latency means something, so four CPUs are timed, with a fifth of the
work, the median of three runs, and only on a host with four idle cores: else it is the host's load that is measured."""


def lines(kept):
    yield TITLE
    yield ""
    yield INTRO
    yield ""
    for arch, results in kept.items():
        for cpus in CPUS:
            found = list(rows(results, cpus))
            if not found:
                continue
            yield f"{arch}, {cpus} CPU{'s, timed' if cpus > 1 else ', counted'}:"
            yield ""
            yield from page.table(["task", "scheduler", *HEAD], found)


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
