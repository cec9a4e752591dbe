"""The latency of an audio-like, an interactive and a server task beside eight processes that compute:
tests/bench/latency, with each scheduler of Tern and with Linux's default one.

Counted: with -icount shift=0 an instruction takes a nanosecond of the guest's clock, so the figures repeat and the host's
load is not in them. Four CPUs take turns of a few microseconds: see turns.py.
"""

import re

from tern import userland
from tern.bench import guest, page, report, turns
from tern.common import Failure, say

SOURCE = guest.SOURCES / "latency" / "latency.c"
SCHEDULERS = ("fifo", "prio", "mlfq", "dis")
TASKS = {"audio": "audio, 1 ms every 5 ms", "interactive": "interactive, 2 ms at odd times",
         "server": "server, 1 ms a request"}
CPUS = (1, 4)
SECONDS = 2
HEAD = ("runs", "misses", "median", "p99", "max")
LINE = re.compile(r"^latency (\w+) (\d+) (\d+) (\d+) (\d+) (\d+)$", re.MULTILINE)


def run(kernel, cpus, append=""):
    """{task: {runs, misses, median, p99, max}}"""
    program = turns.command(kernel.arch, cpus, f"/bin/latency {SECONDS} 8")
    heard = kernel.run(guest.Settings(kernel.arch, cpus, append=append, timeout=900, turns=cpus > 1), f"sleep 1; {program}",
                       [(userland.program(kernel.arch, "musl", [SOURCE]), "/bin/latency")])
    found = {name: dict(zip(HEAD, map(int, values))) for name, *values in LINE.findall(heard.output)}
    if set(found) != set(TASKS):
        raise Failure(f"{kernel.arch}: {kernel.name} {append}: no latencies: {heard.why}")
    return found


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
INTRO = f"""\
`tests/bench/latency`: a task that works like audio output, an interactive one and a server with its client, beside eight
processes that compute; the same static program everywhere. On Tern each says what it is (`audio_playback`, `ui_thread`,
`web_server`, `compilation`), which only the scheduler `dis` heeds; Linux has its default scheduler and defaults. Microseconds
from when a task should have run to when it did. A miss of the audio task is a period whose work was not done when the next
began, or that went by without it; of the others an answer after more than 50 ms. The tasks need 37 % of one CPU.

Counted (`-icount shift=0`: an instruction of any CPU is a nanosecond): the host and its load are not in these figures. Tern's repeat to
some percent, Linux's to some ten, as its boot goes on in the background. The emulator runs four CPUs in turns of {turns.TURN} us, each at
a quarter of the speed, for which the work is made less: there up to {3 * turns.TURN} us of a latency are the wait for the CPU's turn, with Tern and
with Linux."""


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
            yield f"{arch}, {cpus} CPU{'s' if cpus > 1 else ''}:"
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
