"""What the strategies of the scheduler `dis` gain: tests/guest/programs/strategies.c, counted, which runs each one's scenario
without any, with this one, and with the three that are on by default; all in one boot for those of one CPU, in another
for those of several. Four CPUs take turns of a few microseconds: see turns.py.
"""

import re

from tern import userland
from tern.bench import guest, page, report, turns
from tern.common import ARCHES, ROOT, Failure, relative, say

SOURCE = ROOT / "tests/guest/programs/strategies.c"
# Strategy: CPUs, what is counted, what of it is the scenario
SCENARIOS = {
    "slice": (1, "jobs cut short, of 1,000", "four jobs of 12 ms come together every 60 ms"),
    "priority": (1, "runs more than 1 ms late, of 1,000",
                 "three tasks of 1 ms at odd times beside four jobs of 12 ms"),
    "affinity": (4, "times moved to another CPU, of 1,000 runs", "two tasks of 60 us a CPU at odd times"),
    "energy": (4, "switches on all CPUs but the busiest", "three tasks of 1 ms at odd times"),
}
LINE = re.compile(r"^# strategy (\w+) (\d+) (\d+) (\d+) took (\d+) (\d+) (\d+)$", re.MULTILINE)


def boot(tern, cpus, timeout=400):
    """What the program said of the strategies for so many CPUs."""
    program = userland.program(tern.arch, "musl", [SOURCE])
    names = [name for name, (count, *_) in SCENARIOS.items() if count == cpus]
    heard = tern.run(guest.Settings(tern.arch, cpus, timeout=timeout, turns=cpus > 1),
                     turns.command(tern.arch, cpus, f"/bin/strategies {' '.join(names)}"), [(program, "/bin/strategies")])
    found = LINE.findall(heard.output)
    if not heard.complete or [name for name, *_ in found] != names:
        raise Failure(f"{tern.arch}: strategies, {cpus} CPUs: {heard.why}")
    return heard.output


def measure(arch, preset=None):
    """Puts {strategy: {"counted": [without, with, all], "took": [...]}} into results["strategies"]."""
    results = report.load(arch)
    into(results, guest.Tern(arch, preset))
    return results


def into(results, tern):
    kept = results.setdefault("strategies", {})
    for cpus in sorted({cpus for cpus, *_ in SCENARIOS.values()}):
        for name, *values in LINE.findall(boot(tern, cpus)):
            values = list(map(int, values))
            kept[name] = {"counted": values[:3], "took": values[3:]}
            say(f"{tern.arch}: strategy {name}: {values[0]:,} without, {values[1]:,} with, {values[2]:,} with the default ones")
    report.save(results)


def bench(arches, preset):
    for arch in arches:
        measure(arch, preset)
    publish()
    return 0


TITLE = "## What the strategies of `dis` gain"
INTRO = """\
Threads that declare nothing, `tests/guest/programs/strategies.c`, each scenario run without any strategy, with the one it is for, and
with the three that are on by default (`slice`, `priority`, `affinity`). The counts are the kernel's own (ru_nivcsw, nr_migrations, the
switches of each CPU; late is from the program's clock). *Took* is the mean from when a run was due to its end, in microseconds: what the
gain costs or brings who waits. Counted (`-icount shift=0`); four CPUs take turns, as
above. `./tern bench ARCH --strategies` measures; the
test of the same program, `./tern test ARCH -k strategies`, asks for about half of the gain."""


def lines(kept):
    yield TITLE
    yield ""
    yield INTRO
    yield ""
    yield from page.table(["strategy", "scenario and what is counted", "", "without", "with", "default",
                           "took without", "with", "default"], rows(kept))


def rows(kept):
    for name, (cpus, what, scenario) in SCENARIOS.items():
        first = True
        for arch, results in kept.items():
            found = results.get("strategies", {}).get(name)
            if isinstance(found, dict):
                yield [f"`{name}`" if first else "",
                       f"{scenario}, {cpus} CPU{'s' if cpus > 1 else ''}: {what}" if first else "",
                       arch,
                       *(f"{value:,}" for value in found["counted"]),
                       *(f"{value / 1000:,.0f}" for value in found["took"])]
                first = False


def publish():
    """Puts the table into the page and leaves the rest as it is."""
    page.replace_section(TITLE, lines({arch: report.load(arch) for arch in ARCHES}))
    say(f"wrote what the strategies gain into {relative(page.PAGE)}")
