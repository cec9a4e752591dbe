"""`./tern bench`: what operations cost on Tern, and next to it on Linux in the same emulator.

Counted: the emulator runs with -icount shift=0, so that one instruction takes one nanosecond of the
guest's clock, and what the program of tests/bench/ measures with its clock is a count, the same in
every run. Wall time: without that, several runs in one boot, of which the median counts. Operations
on several CPUs are only timed: when it counts, the emulator runs one CPU after the other, each until
something is due, so that a CPU that waits for another one is counted for millions of instructions.
"""

import statistics
import time

from tern import qemu
from tern.bench import budget, chart, guest, hal, inside, latency, locks, native, page, report, strategies, system
from tern.common import Failure, relative, say

RUNS = {1: 3, 2: 5, 4: 5}  # of the wall-time measurement, by CPUs: several are less steady
CPU_COUNTS = (1, 2, 4)
MOST_DIFFERENCE = 0.01  # of two counted runs


def chosen(pattern):
    """{(operation, CPUs): what it does} of those whose name contains the pattern."""
    found = {(name, 1): what for name, what in report.descriptions().items()}
    for cpus in CPU_COUNTS[1:]:
        found |= {(name, cpus): what for name, what in report.descriptions("cpus.c").items()}
    picked = {key: what for key, what in found.items() if not pattern or pattern in key[0]}
    if not picked:
        raise Failure(f"bench: no operation has {pattern} in its name: "
                      + " ".join(dict.fromkeys(name for name, _ in found)), 2)
    return picked


def measure(kernel, results, wanted, cpus, wall):
    """One boot of one kernel, counted or timed; the figures go into `results`."""
    names = [name for name, count in wanted if count == cpus]
    if not names:
        return
    began = time.monotonic()
    settings = guest.Settings(kernel.arch, cpus, icount=not wall)
    values, reasons = guest.operations(kernel, settings, names, RUNS[cpus] if wall else 1)
    for name in names:
        side = report.row(results, name, wanted[name, cpus], cpus)[kernel.key]
        found = values.get(name)
        if wall:
            side.pop("wall", None)
            if found:
                side |= {"wall": statistics.median(found), "runs": found}
            if name not in reasons and cpus > 1:
                side.pop("why", None)
        else:
            side.clear()
            if found:
                side["count"] = min(found)
        if name in reasons:
            side["why"] = reasons[name]
    say(f"{kernel.arch}: {kernel.name} {kernel.version}, {cpus} CPU{'s' if cpus > 1 else ''}, "
        f"{'timed' if wall else 'counted'}: {time.monotonic() - began:.0f} s")


def repeat(kernel, results):
    """Counts ten operations twice and keeps by how much they differ at most."""
    first, second = (budget.count(kernel) for _ in range(2))
    worst = max(abs(first[name] / second[name] - 1) for name in first)
    results.setdefault("repeat", {})[kernel.key] = worst
    say(f"{kernel.arch}: {kernel.name}: two counted runs differ by {worst:.2%} at most"
        + ("" if worst < MOST_DIFFERENCE else ": something is not repeatable"))


def attempt(results, what, step, *arguments):
    """A step that may fail without ending the rest: why stays in the result file."""
    missing = results.setdefault("missing", {})
    missing.pop(what, None)
    try:
        step(*arguments)
    except Failure as failure:
        missing[what] = str(failure)
        say(f"{what}: {failure}")
    report.save(results)


def whole_system(kernels, results, ram):
    """Everything but the operations."""
    for kernel in kernels:
        attempt(results, f"{kernel.name} counted twice", repeat, kernel, results)
        attempt(results, f"the boot of {kernel.name}", system.measure, kernel, results)
        if ram:
            attempt(results, f"the smallest memory of {kernel.name}", system.least_memory, kernel,
                    results)
    attempt(results, "inside the kernel", inside.measure, results["arch"], results)
    attempt(results, "the HAL's cost", hal.measure, results["arch"], results)
    attempt(results, "latencies", latency.into, results, *kernels)
    attempt(results, "what strategies gain", strategies.into, results, kernels[0])
    attempt(results, "locks taken", locks.measure, results["arch"], results)


def bench_arch(arch, preset, versus, pattern, ram):
    wanted = chosen(pattern)
    results = report.load(arch)
    kernels = [guest.Tern(arch, preset)] + ([guest.Linux(arch)] if versus else [])
    for kernel in kernels:
        results[kernel.key] = {"version": kernel.version}
        measure(kernel, results, wanted, 1, wall=False)
        for cpus in CPU_COUNTS if versus else ():
            measure(kernel, results, wanted, cpus, wall=True)
    if versus and not pattern:
        whole_system(kernels, results, ram)
    results["emulator"] = qemu.version(arch)
    report.in_order(results)
    report.save(results)
    report.show(results, {name for name, _ in wanted} if pattern else None)
    if versus and not pattern:
        report.show_system(results, system.FIGURES)
        report.show_inside(results)
    picture = chart.write(results)
    print(f"\n{relative(report.path(arch))}" + (f"  {relative(picture)}" if picture else ""))


def bench(arches, preset=None, versus=False, pattern=None, ram=False):
    for arch in arches:
        bench_arch(arch, preset, versus, pattern, ram)
    if versus and not pattern:
        native.measure()
        page.publish()
    return 0
