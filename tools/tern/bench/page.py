"""docs/performance.md and its pictures, from the result files of the three architectures."""

import shutil

from tern.bench import chart, inside, latency, locks, native, report, strategies, system
from tern.common import ARCHES, ROOT, relative, say

PAGE = ROOT / "docs" / "performance.md"
PICTURES = ROOT / "docs" / "performance"

METHOD = """\
**Method.** Both kernels boot in the same QEMU machine with the same CPU model, 512 MiB and the same initramfs: BusyBox, the
benchmark program (`tests/bench`, one static binary, one source for the three architectures) and Tern's program 1, which uses
nothing that Linux does not have. Linux is the stock kernel of Debian's package with its defaults: it carries what a
distribution's kernel carries (security modules, audit, control groups, and on x86_64 the code against speculation), which
is what a user would run instead. Each operation has a process of its own and runs in a loop, three times after a warm-up; the
least is taken. Before the first one both kernels get five seconds of their own time to finish their boot, and
address space randomisation is turned off on both, as chance would decide how many tables a program has; transparent
huge pages are on, which Linux leaves off on machines this small.

*Counted*: QEMU runs with `-icount shift=0`: each guest instruction advances the guest's clock by one nanosecond, so that a
difference of two clock readings is a count of instructions, kernel and program together. Date and random numbers of
the machine are fixed: the same build gives the same figures again, within 1 %.
*Timed*: the same without `-icount`; nanoseconds of the machine that the emulator ran on, median of three
runs in one boot, with several CPUs of five.

**Limits.** Emulated instructions are not cycles: a cache miss, a TLB miss and an addition all count one. On x86_64 each
iteration of a `rep` string instruction counts as one: a copy by bytes looks dearer than one by words. AArch64's clock in
the emulator ticks every 16 instructions, RISC-V's every 100. Tern has no vDSO, so its clock readings cost a
call; they are outside the loops. Wall time is that of a translator on a shared machine: what misses the emulator's TLB or
its cache of translated code is dear, and single figures vary by tens of percent from run to run. Counting is for one CPU: the
emulator then runs several CPUs one after the other, each until something is due, and one that waits for another is
counted for millions of instructions. So operations on several CPUs are timed, on a machine that has two.

`nanosleep_overshoot` is how much later than asked a sleep of 1 ms returns; the timer slack that Linux adds on purpose (50 us)
is set to the least by `prctl`. The faults include what the kernel does ahead: on both a fault of a file's page maps its neighbours."""


def number(value, unit=""):
    if value is None:
        return "-"
    if unit == "seconds":
        return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.1f}"


def table(head, rows):
    yield "| " + " | ".join(head) + " |"
    yield "|---|" + "---:|" * (len(head) - 1)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def cell(side, kind):
    return "failed" if side.get("why") and kind not in side else number(side.get(kind))


def both(ours, theirs, unit=""):
    """Cells: Tern, Linux, ratio."""
    ratio = report.share_text(ours / theirs) if ours and theirs else "-"
    if ours and theirs and ours > theirs:
        ratio = f"**{ratio}**"
    return [number(ours, unit), number(theirs, unit), ratio]


def heads(first, kept):
    return [first, *(f"{arch}: {column}" if column == "Tern" else column
                     for arch in kept for column in ("Tern", "Linux", "ratio"))]


def operations(kept, cpus, kind):
    """The rows of all architectures side by side; then why figures are missing."""
    every = list(kept.values())
    names = {row["name"]: row["what"] for results in every for row in results["rows"]
             if row["cpus"] == cpus}
    rows, missing = [], {}
    for name, what in names.items():
        cells = [f"{what} (`{name}`)"]
        for arch, results in kept.items():
            row = next((r for r in results["rows"] if (r["name"], r["cpus"]) == (name, cpus)), None)
            if row is None:
                cells += ["-"] * 3
                continue
            *_, share = both(row["tern"].get(kind), row["linux"].get(kind))
            cells += [cell(row["tern"], kind), cell(row["linux"], kind), share]
            for side in report.SIDES:
                if row[side].get("why"):
                    where = missing.setdefault((name, side.title(), row[side]["why"]), [])
                    where.append(arch)
        rows.append(cells)
    means = ["**geometric mean**"]
    for results in every:
        mean = report.geometric_mean(report.ratio(row, kind) for row in results["rows"]
                                     if row["cpus"] == cpus)
        means += ["", "", f"**{mean:.2f}**" if mean else "-"]
    yield from table(heads("operation", kept), [*rows, means])
    for (name, side, why), where in missing.items():
        yield f"- `{name}` failed on {side} ({', '.join(where)}): {why}."
    if missing:
        yield ""


def whole_system(kept):
    rows = []
    for name, what, unit in system.FIGURES:
        cells = [f"{what}, {unit}"]
        for results in kept.values():
            sides = results.get("system", {})
            cells += both(*(sides.get(side, {}).get(name) for side in report.SIDES), unit)
        rows.append(cells)
    yield from table(heads("figure", kept), rows)


def missing_steps(kept):
    steps = [f"- {arch}, {what}: {why}" for arch, results in kept.items()
             for what, why in results.get("missing", {}).items()]
    return ["What could not be measured:", "", *steps, ""] if steps else []


def within(kept):
    """The kernel's own operations: a column for each number of CPUs."""
    names = dict.fromkeys(name for results in kept.values() for name in results.get("inside", {}))
    head = ["operation", *(f"{arch}, {cpus}" for arch in kept for cpus in inside.CPU_COUNTS)]
    rows = []
    for name in names:
        cells = [f"{inside.WHAT.get(name, '')} (`{name}`)"]
        for arch, results in kept.items():
            found = results.get("inside", {}).get(name, {})
            for cpus in inside.CPU_COUNTS:
                timed = cpus > 1 and arch in inside.TIMED and str(cpus) in found
                cells.append(number(found.get(str(cpus))) + (" ns" if timed else ""))
        rows.append(cells)
    yield from table(head, rows)


def allocators(kept):
    """One frame operation per row, a column for each allocator and architecture."""
    head = ["operation", "CPUs", *(f"{arch}: {name}" for arch in kept
                                   for name in inside.ALLOCATORS)]
    rows = []
    for operation in inside.BY_ALLOCATOR:
        for cpus in ("1", str(inside.CPU_COUNTS[-1])):
            cells = [number(results.get("allocators", {}).get(name, {}).get(operation, {}).get(cpus))
                     for results in kept.values() for name in inside.ALLOCATORS]
            if any(cell != "-" for cell in cells):
                rows.append([f"`{operation}`", cpus, *cells])
    yield from table(head, rows)


def hal_cost(kept):
    kept = {arch: results["hal"] for arch, results in kept.items() if "hal" in results}
    names = dict.fromkeys(name for found in kept.values() for name in found["count"])
    head = ["counted", *(f"{arch}: {preset}" for arch in kept for preset in ("release", "debug"))]
    rows = [[f"`{name}`", *(number(found["count"][name].get(preset)) for found in kept.values()
                            for preset in ("release", "debug"))] for name in names]
    for key, what in (("table", "bytes of the HAL's table in the image"),
                      ("indirect_calls", "indirect calls in the image, of all tables")):
        rows.append([what, *(number(found[preset][key]) for found in kept.values()
                             for preset in ("release", "debug"))])
    yield from table(head, rows)
    for arch, found in kept.items():
        yield f"- The check `hal_calls` on {arch}, release: {found['check']}."
    yield ""


def above(kept):
    """What Linux does with fewer instructions, and what failed."""
    lines = [f"- {arch}: `{row['name']}` {report.ratio(row, 'count'):.2f}"
             for arch, results in kept.items() for row in results["rows"]
             if row["cpus"] == 1 and (report.ratio(row, "count") or 0) > 1]
    return ["Above 1:", "", *lines, ""] if lines else ["No operation is above 1.", ""]


def repeated(kept):
    """How repeatable the counts were found to be."""
    worst = {side: max((results.get("repeat", {}).get(side, 0) for results in kept.values()),
                       default=0) for side in report.SIDES}
    return ("Two counted runs of ten operations differed by at most "
            + " and ".join(f"{worst[side]:.2%} on {side.title()}" for side in report.SIDES) + ".")


def lines(kept):
    versions = ", ".join(f"{results['linux']['version']} on {arch}"
                         for arch, results in kept.items())
    yield "# Performance"
    yield ""
    yield (f"Tern next to Debian's Linux ({versions}) in the same emulator. `./tern bench all --vs linux` "
           "measures; this page is made of its result files. A ratio under 1 means that Tern needs less.")
    yield ""
    for arch in kept:
        yield f"![{arch}: ratios](performance/{arch}.svg)"
    yield ""
    yield "## Operations, counted instructions, one CPU"
    yield ""
    yield from operations(kept, 1, "count")
    yield from above(kept)
    yield "## Operations, wall time in nanoseconds, one CPU"
    yield ""
    yield from operations(kept, 1, "wall")
    for cpus in (2, 4):
        yield f"## {cpus} CPUs, wall time in nanoseconds"
        yield ""
        yield from operations(kept, cpus, "wall")
    yield from latency.lines(kept)
    yield from strategies.lines(kept)
    yield "## The whole system"
    yield ""
    yield ("Counted from outside, by a plugin of the emulator that watches for the kernel's first instruction, program "
           "1's first, and that of a program which the login shell starts just before its prompt. Seconds: the same, not "
           "counting, median of three boots.")
    yield ""
    yield from whole_system(kept)
    yield from missing_steps(kept)
    yield "## Inside the kernel"
    yield ""
    yield ("What no program sees (`tests/kernel/bench.c`, a release kernel with its tests), by the number of CPUs: counted "
           "instructions of all CPUs together. With several CPUs RISC-V is timed: there the firmware sends the "
           "requests to forget a page, and spins for the answer.")
    yield ""
    yield from within(kept)
    yield ("The frame allocators, chosen with `pmm=`, counted. A single frame comes from its CPU's stock, whichever it is; "
           "bump never takes back.")
    yield ""
    yield from allocators(kept)
    yield "## Locks"
    yield ""
    yield (f"How often one operation takes a lock, and in brackets how often it finds it taken, on {locks.CPUS} CPUs, by what "
           "the lock stands for: a CPU, one object (a file, a pipe, a process), one region of memory, one address space, the "
           "machine (a zone's free frames, a slab cache, a table of names). A debug kernel counts "
           "(`/sys/kernel/debug/locks`); ticks and the reading add some thousandths. A fault takes its region's lock for reading. "
           "What it takes of the machine's is a zone's, once for 16 frames.")
    yield ""
    head, *rows = locks.rows(kept)
    yield from table(head, rows)
    yield "## The same code as a process"
    yield ""
    yield from native.lines()
    yield "## What the HAL's table costs"
    yield ""
    yield ("The debug kernel calls through the table and also checks lock ranks and invariants; in the release kernel the "
           "linker has folded the table away. The difference is the upper bound of what the table would cost.")
    yield ""
    yield from hal_cost(kept)
    yield "## Method and limits"
    yield ""
    yield METHOD
    yield ""
    yield repeated(kept)
    yield ""
    yield ("**Guard.** `./tern test ARCH -k budget` fails when one of ten counted operations rises more than 5 % over "
           "`tests/bench/budget.json`; `./tern bench ARCH --update-budget` writes the file. `./tern bench ARCH --profile "
           "NAME` shows the instructions of one operation by function, `-v` by source line, `--vs linux` those of Linux.")


def replace_section(title, lines):
    """Puts a section into the page, before the whole system if it is new, and leaves the rest as it is."""
    text = PAGE.read_text()
    before, found, rest = text.partition(title + "\n")
    if found:
        rest = rest[rest.index("\n## ") + 1:]
    else:
        before, mark, rest = text.partition("## The whole system\n")
        rest = mark + rest
    PAGE.write_text(before + "\n".join(lines) + "\n" + rest)


def publish_latency():
    """Puts the table of latencies into the page and leaves the rest as it is."""
    replace_section(latency.TITLE, latency.lines({arch: report.load(arch) for arch in ARCHES}))
    say(f"wrote the latencies into {relative(PAGE)}")


def publish():
    """Writes the page if all architectures have been compared."""
    kept = {arch: report.load(arch) for arch in ARCHES}
    missing = [arch for arch, results in kept.items()
               if "linux" not in results or "system" not in results]
    if missing:
        say(f"{relative(PAGE)} is written when {' and '.join(missing)} "
            f"{'has' if len(missing) == 1 else 'have'} been compared too")
        return
    PICTURES.mkdir(exist_ok=True)
    for results in kept.values():
        shutil.copyfile(chart.write(results), PICTURES / f"{results['arch']}.svg")
    PAGE.write_text("\n".join(lines(kept)) + "\n")
    say(f"wrote {relative(PAGE)}")
