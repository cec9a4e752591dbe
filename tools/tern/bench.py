"""`./tern bench`: counts instructions of the guest, shows a table with bars, keeps the figures.

The emulator runs with -icount shift=0: one instruction takes one nanosecond of the guest's clock,
so what the program of tests/bench/ measures with its clock is a count, the same in every run. The
results go to build/bench/ARCH.json, and all that are there into the tables of docs/performance.md.
"""

import contextlib
import json
import re
import subprocess
import sys

from tern import build, userland
from tern.common import ARCHES, BUILD, ROOT, Failure, relative, say

SOURCES = ROOT / "tests" / "bench"
LINE = re.compile(r"^bench (\S+) (\S+) (\S+)$", re.MULTILINE)
# In the guest: the program, and the time of the boot, which the kernel tells.
BENCH = "/bin/bench; s=$?; cat /proc/tern/boot; exit $s"
PAGE = ROOT / "docs" / "performance.md"
MARKS = ("<!-- bench: begin -->", "<!-- bench: end -->")
# Debian's Linux in the same emulator (6.1 amd64, 6.1 arm64, 6.12 riscv64), instructions.
LINUX = {
    "null_call": (337, 460, 437),
    "pipe_round_trip": (11119, 12842, 13780),
    "fork_exit_wait": (254298, 154899, 194010),
    "fork_exec_wait": (779142, 507584, 581760),
    "fault_anon_write": (7791, 4017, 5797),
    "mmap_munmap_64k": (20568, 14543, 12326),
}
WIDTH = 30  # of the longest bar
TIMEOUT = 600


def descriptions():
    """{name: what it does} in the order of the sources' tables."""
    found = {"boot": "kernel entry to the first instruction of program 1"}
    for name in ("syscalls.c", "memory.c", "processes.c"):
        for match in re.finditer(r'\{"(\w+)", "([^"]+)",', (SOURCES / name).read_text()):
            found[match[1]] = match[2]
    return found


def measure(arch, preset, smp):
    """{name: instructions}"""
    program = userland.program(arch, "musl", sorted(SOURCES.glob("*.c")), name="bench")
    process = subprocess.run(
        [ROOT / "tern", "run", arch, "--preset", build.preset_for(arch, preset), "--smp", str(smp),
         "--icount", "--timeout", str(TIMEOUT), "--add", f"{program}:/bin/bench", "--",
         "/bin/sh", "-c", BENCH],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace")
    output, status = process.stdout, process.returncode
    results = {}
    for name, value, unit in LINE.findall(output):
        if value == "failed":
            say(f"{arch}: {name} failed: {unit}")
        else:
            results[name] = int(value)
    if status != 0 or not results:
        raise Failure(f"the benchmark on {arch} ended with status {status}:\n{output[-2000:]}")
    return results


def bench(arches, preset, smp):
    what = descriptions()
    for arch in arches:
        results = measure(arch, preset, smp)
        folder = BUILD / "bench"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{arch}.json").write_text(json.dumps(
            {"arch": arch, "smp": smp, "unit": "instructions", "results": results}, indent=1) + "\n")
        show(arch, results, what)
    publish(what)
    return 0


def show(arch, results, what):
    """A table; the bars compare with Linux where we know its figure: its bar is full."""
    column = ARCHES.index(arch)
    print(f"{arch}: instructions an operation (Linux in the same emulator: a full bar)\n")
    for name in [n for n in what if n in results]:
        theirs = LINUX.get(name, (None,) * 3)[column]
        line = f"{name:18} {results[name]:>9,}"
        if theirs:
            share = results[name] / theirs
            bar = "█" * round(min(share, 1.5) * WIDTH)
            line += f"  {theirs:>9,} {share:>5.0%}  {bar:·<{WIDTH}}"
        print(line)
    print()
    sys.stdout.flush()


def publish(what):
    """Rewrites the tables between the marks of docs/performance.md."""
    kept = {}
    for arch in ARCHES:
        with contextlib.suppress(FileNotFoundError):
            kept[arch] = json.loads((BUILD / "bench" / f"{arch}.json").read_text())["results"]
    if not PAGE.exists() or not kept:
        return
    lines = ["| operation | " + " | ".join(kept) + " |", "|---|" + "---:|" * len(kept)]
    for name, text in what.items():
        if not any(name in results for results in kept.values()):
            continue
        cells = []
        for arch, results in kept.items():
            theirs = LINUX.get(name, (None,) * 3)[ARCHES.index(arch)]
            cell = f"{results[name]:,}" if name in results else "-"
            cells.append(f"{cell} ({results[name] / theirs:.0%})"
                         if theirs and name in results else cell)
        lines.append(f"| {text} (`{name}`) | " + " | ".join(cells) + " |")
    page = PAGE.read_text()
    begin, end = page.find(MARKS[0]), page.find(MARKS[1])
    if begin < 0 or end < begin:
        raise Failure(f"{relative(PAGE)} has no marks {MARKS[0]} ... {MARKS[1]}")
    begin += len(MARKS[0])
    new = page[:begin] + "\n" + "\n".join(lines) + "\n" + page[end:]
    if new != page:
        PAGE.write_text(new)
        say(f"wrote {relative(PAGE)}")
