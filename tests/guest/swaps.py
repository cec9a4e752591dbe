"""Hot swap of the kernel's own slots: programs/swaps.c for each of them, in a boot of its own; what has to be
looked at from outside: the console's, under continuous output; a swap on the command line beside a load of BusyBox."""

import hashlib
import re

from harness import HERE
from programs import report_program
from tern.bench import guest, turns
from tern.userland import program


def expected(writer, number):
    fill = chr(ord("a") + number % 26) * (number % 190)
    return f"{writer} {number} {fill}"


def console(target):
    binary = program(target.arch, "musl", [HERE / "programs" / "swaps.c"])
    p = target.run(["/swaps", "console"], ["--add", f"{binary}:/swaps"], timeout=300)
    lines = p.stdout.decode(errors="replace").replace("\r", "").split("\n")
    figures = re.search(r"^lines (\d+) (\d+) (\d+) (\d+)\nfailed 0 swaps ", "\n".join(lines[-3:]),
                        re.M)
    if p.returncode or not figures:
        return f"status {p.returncode}: {lines[-4:]}"
    counts = [int(n) for n in figures.groups()]
    seen = [0] * len(counts)
    for line in lines[:-3]:
        writer = int(line[:1]) if line[:1].isdigit() else len(seen)
        if writer >= len(seen) or line != expected(writer, seen[writer]):
            return f"after {seen}: {line!r}"
        seen[writer] += 1
    return "" if seen == counts else f"{seen} lines of {counts}"


LOAD = """for i in 1 2 3 4; do (seq 1 30000 | sort -rn | md5sum) & done
tern-ctl swap scheduler fifo >/dev/null || echo bad
sleep 1
tern-ctl swap scheduler prio >/dev/null || echo bad
wait"""


def command_line(target):
    p = target.run(["sh", "-c", LOAD], timeout=200)
    text = "".join(f"{n}\n" for n in range(30000, 0, -1)).encode()
    want = f"{hashlib.md5(text).hexdigest()}  -\n" * 4
    got = p.stdout.decode(errors="replace").replace("\r", "")
    return "" if p.returncode == 0 and got == want else f"status {p.returncode}: {got}"


# Counted, so that neither the host nor its load show: with four CPUs in turns (tern/bench/turns.py) an instruction of any of them
# takes a nanosecond. The goal of 100 us, for CPUs that do no more than one instruction a nanosecond each.
CPUS = 4
INSTRUCTIONS = 100000 * CPUS
DIRECTIONS = 18


def pauses(target):
    binary = program(target.arch, "musl", [HERE / "programs" / "swaps.c"])
    heard = guest.Tern(target.arch, target.preset).run(guest.Settings(target.arch, CPUS, timeout=900, turns=True),
                                                       turns.command(target.arch, CPUS, "/bin/swaps pauses"),
                                                       [(binary, "/bin/swaps")])
    rows = re.findall(r"^pause (\S+) (\S+) (\S+) (\d+) (\d+)$", heard.output, re.M)
    for slot, old, new, median, most in rows:
        print(f"# {slot} {old} to {new}: median {median}, most {most} instructions")
    long = [row for row in rows if int(row[3]) >= INSTRUCTIONS]
    if not heard.complete or len(rows) != DIRECTIONS or long:
        return f"{heard.why}, {len(rows)} directions, too long: {long}\n{heard.output[-2000:]}"
    return ""


SLOTS = ("input", "scheduler", "frames", "heap", "tmpfs")
COUNTED = "pauses, counted"
CASES = {COUNTED: pauses, "console under continuous output": console, "scheduler beside a BusyBox load": command_line}


def under_load(target, tap, slot):
    binary = program(target.arch, "musl", [HERE / "programs" / "swaps.c"])
    p = target.run(["/swaps", slot], ["--add", f"{binary}:/swaps"], timeout=400)
    report_program(tap, f"swaps {slot}", p.returncode, p.stdout.decode(errors="replace").replace("\r", ""))


def run(target, tap, group):
    for slot in tap.matching(group, SLOTS):
        under_load(target, tap, slot)
    for name in tap.matching(group, CASES):
        if name == COUNTED and (target.smp == 1 or target.preset.endswith("debug")):
            continue
        why = CASES[name](target)
        tap.result(name, not why, why)
