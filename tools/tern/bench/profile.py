"""`./tern bench ARCH --profile NAME`: where the instructions of one operation go.

The emulator's plugin interface lets counter.c see every instruction that the guest executes. It
counts by address between two functions of the benchmark program, which for this is linked at a
fixed address; the addresses become functions by the symbols of the kernel and of the program. Code
that was inlined counts to the function it is in; -v shows the source lines, and whose they are.
Nothing is sampled: the sums are exact, but for a timer interrupt that falls into the time.
"""

import bisect
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tern import setup
from tern.bench import guest, report
from tern.common import BUILD, Failure, run_quietly, say
from tern.elf import Elf

COUNTER = Path(__file__).with_name("counter.c")
MOST = 2000  # operations: more only takes longer
SHOWN, LINES_SHOWN = 45, 40


def plugin():
    """The compiled counter."""
    setup.require("programs-x86_64")  # the machine's own compiler
    target = BUILD / "programs" / "counter.so"
    if not target.exists() or target.stat().st_mtime < COUNTER.stat().st_mtime:
        target.parent.mkdir(parents=True, exist_ok=True)
        run_quietly(["gcc", "-std=gnu2x", "-O2", "-Wall", "-shared", "-fPIC", "-o", target, COUNTER],
                    "compiling the counter")
    return target


def words(out, *arguments):
    """What the emulator needs to load the counter."""
    return ("-plugin", ",".join([str(plugin()), f"out={out}", *arguments]))


class Symbols:
    """Addresses to names."""

    def __init__(self, pairs):
        named = sorted(pairs)
        self.addresses = [address for address, _ in named]
        self.names = [name for _, name in named]

    def at(self, address):
        i = bisect.bisect_right(self.addresses, address) - 1
        return self.names[i] if i >= 0 else hex(address)


def of_elf(path):
    elf = Elf(path.read_bytes())
    for symbol in elf.symbols():
        kept = not symbol.name.startswith((".L", "$", "__text", "__image"))
        if kept and symbol.section and symbol.kind in (0, 2) and symbol.name:
            yield symbol.value, symbol.name


def of_linux(kernel):
    """Linux tells its symbols itself; kept, because the list is long and the console slow."""
    kept = report.FOLDER / f"{kernel.arch}-{kernel.version}.symbols"
    if not kept.exists():
        say(f"asking Linux {kernel.version} for its symbols")
        heard = kernel.run(guest.Settings(kernel.arch, icount=False, append="nokaslr"),
                           "awk '$2 ~ /[tTwW]/ {print $1, $3}' /proc/kallsyms")
        if not heard.complete:
            raise Failure(f"Linux did not tell its symbols: {heard.why}")
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(heard.output)
    for address, name in re.findall(r"^([0-9a-f]{16}) (\S+)$", kept.read_text(), re.MULTILINE):
        yield int(address, 16), name


def rounds_of(name):
    for source in report.FILES:
        found = re.search(rf'\{{"{name}",\s*"[^"]+",\s*(\w+)', (guest.SOURCES / source).read_text())
        if found:
            return min(int(found[1]), MOST) if found[1].isdigit() else 1000
    raise Failure(f"bench --profile: there is no operation {name}: "
                  + " ".join(report.descriptions()), 2)


def count(kernel, name, rounds):
    """{address: instructions} of `rounds` operations."""
    program = guest.program(kernel.arch, "fixed")
    controls = {symbol.name.removeprefix("bench_"): symbol.value
                for symbol in Elf(program.read_bytes()).symbols()
                if symbol.name in ("bench_begin", "bench_end", "bench_pause", "bench_resume")}
    with tempfile.TemporaryDirectory(prefix="profile-", dir=BUILD) as folder:
        out = Path(folder) / "counts"
        settings = guest.Settings(
            kernel.arch, flavour="fixed", append="nokaslr" if kernel.key == "linux" else "",
            emulator=words(out, *(f"{key}={value:#x}" for key, value in controls.items())))
        heard = kernel.run(settings, f"{guest.SETTLE}; /bin/bench --rounds {rounds} {name}")
        result = dict(guest.LINE.findall(heard.output)).get(name, heard.why)
        if not result.endswith("ns"):
            raise Failure(f"{kernel.name}: {name}: {result}")
        return {int(address, 16): int(times) for address, times
                in re.findall(r"^pc (\S+) (\d+)$", out.read_text(), re.MULTILINE)}


def profile(arch, preset, name, linux, verbose):
    """Prints the instructions of one operation by function."""
    rounds = rounds_of(name)
    kernel = guest.Linux(arch) if linux else guest.Tern(arch, preset)
    counts = count(kernel, name, rounds)
    user = list(of_elf(guest.program(arch, "fixed")))
    symbols = Symbols([*user, *(of_linux(kernel) if linux else of_elf(kernel.folder / "tern.elf"))])
    by_function = Counter()
    for address, times in counts.items():
        where = "" if address >> 63 else "program: "
        by_function[where + symbols.at(address)] += times
    show(f"{arch}, {kernel.name} {kernel.version}: {name}", by_function, rounds, SHOWN)
    if verbose and not linux:
        lines = by_line(kernel.folder / "tern.elf", counts)
        show("the same by source line (function that the line is of)", lines, rounds, LINES_SHOWN)
    return 0


def show(title, counts, rounds, most):
    total = sum(counts.values())
    paint = report.Paint()
    print(f"\n{title}: {total / rounds:,.1f} instructions an operation\n")
    print(paint(report.DIM, f"{'instructions':>12} {'share':>6} {'all':>5}   function"))
    shown = 0
    for name, times in counts.most_common(most):
        shown += times
        print(f"{times / rounds:>12,.1f} {times / total:>6.1%} {shown / total:>5.0%}   {name}")
    if len(counts) > most:
        print(f"{(total - shown) / rounds:>12,.1f} {(total - shown) / total:>6.1%}  100%   "
              f"{len(counts) - most} more")
    sys.stdout.flush()


def by_line(elf, counts):
    """Counter of "file:line (function)", where the function is the inlined one."""
    addresses = [address for address in counts if address >> 63]
    result = subprocess.run(["llvm-symbolizer-19", "-e", elf, "--output-style=GNU", "--no-demangle",
                             "-s", "-f", "--no-inlines"],
                            input="\n".join(hex(a) for a in addresses), text=True,
                            stdout=subprocess.PIPE, check=True)
    said = result.stdout.splitlines()
    lines = Counter()
    for address, function, place in zip(addresses, said[::2], said[1::2]):
        lines[f"{re.sub(r'.*/| .*', '', place)} ({function})"] += counts[address]
    return lines
