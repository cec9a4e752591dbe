"""The latency of an audio-like, an interactive and a server task beside eight processes that compute:
tests/bench/latency, with each scheduler of Tern and with Linux's default one.

Counted: with -icount shift=0 an instruction takes a nanosecond of the guest's clock, so the figures repeat and the host's
load is not in them. Four CPUs take turns of a few microseconds: see turns.py.

The strategies of `dis`: the same program, without intents, with one strategy at a time; what each is for is counted.
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
    heard = boot(kernel, cpus, f"/bin/latency {SECONDS} 8", append)
    found = {name: dict(zip(HEAD, map(int, values))) for name, *values in LINE.findall(heard.output)}
    if set(found) != set(TASKS):
        raise Failure(f"{kernel.arch}: {kernel.name} {append}: no latencies: {heard.why}")
    return found


def boot(kernel, cpus, program, append, before="", after=""):
    """Runs the program, counted, on so many CPUs."""
    if cpus > 1:
        program = turns.command(kernel.arch, cpus, program)
    return kernel.run(guest.Settings(kernel.arch, cpus, append=append, timeout=600, turns=cpus > 1),
                      f"{before} sleep 1; {program}; {after}",
                      [(userland.program(kernel.arch, "musl", [SOURCE]), "/bin/latency")])


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
        results = measure(arch, preset, versus)
        strategies(results, guest.Tern(arch, preset))
    page.publish_latency()
    return 0


# Strategy: (CPUs, arguments of the program, what is counted)
STRATEGIES = {
    "slice": (1, "2 8 100 undeclared", "switches of threads that computed"),
    "priority": (1, "2 8 100 undeclared", "periods and answers missed, of all three tasks"),
    "affinity": (4, "2 4 20 undeclared", "threads taken from a CPU by another"),
    "energy": (4, "2 0 20 undeclared", "switches on all CPUs but the busiest"),
}
STAT = re.compile(r"^\d+ +(\d+(?: +\d+)+)$", re.MULTILINE)


def counted(name, output):
    """What the strategy is for, from what the run printed."""
    if name == "priority":
        return sum(int(misses) for _, _, misses, *_ in LINE.findall(output))
    rows = [list(map(int, row.split())) for row in STAT.findall(output)]
    if name == "slice":
        return sum(row[0] + row[1] for row in rows)
    if name == "affinity":
        return sum(row[7] for row in rows)
    each = sorted(sum(row[:5]) for row in rows)
    return sum(each[:-1])


def strategies(results, tern):
    """Puts {strategy: [without, with]} into results["strategies"]; all others are off."""
    kept = results.setdefault("strategies", {})
    program = userland.program(tern.arch, "musl", [SOURCE])
    for name, (cpus, arguments, _) in STRATEGIES.items():
        values = []
        for on in (0, 1):
            others = "; ".join(f"echo {on if s == name else 0} >/sys/kernel/sched/dis/{s}"
                               for s in STRATEGIES)
            heard = tern.run(guest.Settings(tern.arch, cpus, cpus == 1, append="sched=dis", timeout=300),
                             f"{others}; sleep 1; /bin/latency {arguments}; cat /sys/kernel/sched/stats",
                             [(program, "/bin/latency")])
            if not heard.complete:
                raise Failure(f"{tern.arch}: strategy {name}: {heard.why}")
            values.append(counted(name, heard.output))
        kept[name] = values
        report.save(results)
        say(f"{tern.arch}: strategy {name}: {values[0]:,.0f} without, {values[1]:,.0f} with")


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

Counted (`-icount shift=0`: an instruction of any CPU is a nanosecond), so these figures repeat on any host. The emulator
runs four CPUs in turns of {turns.TURN} us, each at a quarter of the speed, for which the work is made less: there up to {3 * turns.TURN} us of a
latency are the wait for the CPU's turn, with Tern and with Linux."""


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
    if any("strategies" in results for results in kept.values()):
        yield ("The strategies of `dis`, one at a time, without intents: what each is for, without and with it (`affinity` and "
               "`energy` on four CPUs, timed).")
        yield ""
        yield from page.table(["strategy", "counted", *(f"{arch}: {on}" for arch in kept
                                                        for on in ("without", "with"))],
                              strategy_rows(kept))


def strategy_rows(kept):
    for name, (cpus, _, what) in STRATEGIES.items():
        cells = [f"{value:,.0f}" for results in kept.values()
                 for value in results.get("strategies", {}).get(name, [0, 0])]
        yield [f"`{name}`", f"{what}, {cpus} CPU{'s' if cpus > 1 else ''}", *cells]


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
