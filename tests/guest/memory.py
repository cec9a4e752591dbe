"""Memory from outside: each allocator under load, machines with several nodes, purging and the model
of an address space under pressure, the debug file."""

import re
import subprocess

from harness import HERE, WORK
from machines import WORK_HARD
from programs import report_program
from tern import setup
from tern.userland import program

ALLOCATORS = ("buddy", "bitmap", "hybrid", "bump")
MEMORY = "/sys/kernel/debug/memory"
HEAP = "/sys/kernel/debug/heap"
NODES = "/sys/devices/system/node"


def shell(t, script, options=(), **changes):
    """The lines that a script prints; its status must be 0."""
    p = t.run(["sh", "-c", script], options, **changes)
    if p.returncode:
        return [f"status {p.returncode}", *p.stderr.decode(errors="replace").splitlines()[-5:]]
    return p.stdout.decode(errors="replace").splitlines()


ROUNDS = 5


def allocators(t, tap):
    """The same load over and over: once all caches are warm, the memory of one round is there for
    the next. A round is 37 processes."""
    work = f"{WORK_HARD[2]} >/tmp/1; free | awk 'NR == 2 {{print $4}}'; "
    for name in ALLOCATORS:
        lines = shell(t, f"{work * 2 * ROUNDS} cat /tmp/1; head -n 1 {MEMORY}",
                      ["--append", f"pmm={name}"])
        tap.equal(f"pmm={name}: the load and the name", [line.split() for line in lines[-2:]],
                  [["12", "2001000"], ["frame", "allocator:", name]])
        free = [int(line) for line in lines if line.isdigit()]
        if name == "bump":  # which never takes back
            continue
        lost = free[ROUNDS - 1] - free[-1] if len(free) == 2 * ROUNDS else None
        tap.result(f"pmm={name}: nothing is lost", lost is not None
                   and lost < 37 * ROUNDS * 4 - 100, f"{lost} KiB less: {lines}")
    lines = shell(t, f"head -n 1 {MEMORY}; dmesg | grep -c 'pmm=magic: unknown'",
                  ["--append", "pmm=magic"])
    tap.equal("pmm=magic: one clear line, then the default", lines, ["frame allocator: buddy", "1"])


# Each may have lost so many KiB after the second half of the rounds; bump takes nothing back.
HEAPS = {"slab": 600, "list": 600, "bump": None}


def heaps(t, tap):
    """The same load on each provider of the kernel's heap."""
    work = f"{WORK_HARD[2]} >/tmp/1; free | awk 'NR == 2 {{print $4}}'; "
    for name, may_lose in HEAPS.items():
        lines = shell(t, f"{work * 2 * ROUNDS} cat /tmp/1; grep ^heap: {MEMORY}",
                      ["--append", f"heap={name}"])
        tap.equal(f"heap={name}: the load and the name", [line.split()[:2] for line in lines[-2:]],
                  [["12", "2001000"], ["heap:", name + ","]])
        free = [int(line) for line in lines if line.isdigit()]
        if may_lose is None:
            continue
        lost = free[ROUNDS - 1] - free[-1] if len(free) == 2 * ROUNDS else None
        tap.result(f"heap={name}: nothing is lost", lost is not None and lost < may_lose,
                   f"{lost} KiB less: {lines}")
    lines = shell(t, f"grep -o '^heap: [a-z]*' {MEMORY}; dmesg | grep -c 'heap=magic: unknown'",
                  ["--append", "heap=magic"])
    tap.equal("heap=magic: one clear line, then the default", lines, ["heap: slab", "1"])


def heap_debug(t, tap):
    """The debug mode: nothing is damaged under load, and what is in use is told by who took it."""
    script = f"echo mark >{HEAP}; {WORK_HARD[2]} >/tmp/1; cat /tmp/1; exec 9</etc/passwd; " \
             f"echo leaks >{HEAP}; cat {HEAP} >/tmp/leaks; grep -c '^  .*(fs/.*c:' /tmp/leaks; " \
             f"echo sweep >{HEAP}; head -n 1 {HEAP}; dmesg | grep -c 'heap: ----'; " \
             f"echo magic 2>/dev/null >{HEAP} || echo refused"
    for name in HEAPS:
        lines = shell(t, script, ["--append", f"heap={name} heap_debug"], timeout=120)
        first = re.fullmatch(r"(\w+), debug mode: (\d+) blocks in use, (\d+) bytes, \d+ in "
                             r"quarantine, 0 reports", lines[2]) if len(lines) == 5 else None
        tap.result(f"heap={name} heap_debug", first and first[1] == name and int(first[2]) > 100
                   and lines[0].split() == ["12", "2001000"] and int(lines[1]) > 0
                   and lines[3:] == ["0", "refused"], lines)
    lines = shell(t, f"cat {HEAP}; echo mark 2>/dev/null >{HEAP} || echo refused")
    tap.equal("without heap_debug", lines, ["slab, without the debug mode (heap_debug)", "refused"])


def areas(t, words=()):
    """{name: start} of the kernel's areas."""
    lines = shell(t, f"grep ^area {MEMORY}", words)
    return {line.split(maxsplit=2)[2]: int(line.split()[1].partition("-")[0], 16)
            for line in lines if line.startswith("area ")}


def random_bases(t, tap):
    """Each boot has its own addresses, unless told otherwise."""
    boots = [areas(t) for _ in range(4)]
    for name in ("direct map", "frame table", "kmap", "stacks", "devices"):
        starts = [boot.get(name, 0) for boot in boots]
        tap.result(f"base of the area: {name}", len(set(starts)) >= 3
                   and all(start % (1 << 30) == 0 for start in starts),
                   [hex(start) for start in starts])
    fixed = [areas(t, ["--append", "nokaslr"]) for _ in range(2)]
    tap.result("nokaslr: always the same", fixed[0] and fixed[0] == fixed[1], fixed)


# The CPUs of each node, two of them without any, and the distances.
TWO = (["0-1", "2-3"], {(0, 1): 25})
FOUR = (["0-1", "2-3", "", ""],
        {(0, 1): 25, (0, 2): 15, (0, 3): 40, (1, 2): 33, (1, 3): 12, (2, 3): 50})
MIB = 512


def numa_words(t, machine):
    if t.arch == "riscv64":
        return ["--qemu", f"-dtb {device_tree(machine)}"]
    nodes, distances = machine
    words = []
    for n, cpus in enumerate(nodes):
        words += [f"-object memory-backend-ram,id=m{n},size={MIB // len(nodes)}M",
                  f"-numa node,nodeid={n},memdev=m{n}" + (f",cpus={cpus}" if cpus else "")]
    words += [f"-numa dist,src={a},dst={b},val={d}" for (a, b), d in distances.items()]
    return ["--qemu", " ".join(words)]


def device_tree(machine):
    """The emulator's own tree for RISC-V with nodes in it: itself it can make two at most, each
    with CPUs."""
    setup.require("emulator-riscv64", "device-tree")
    nodes, distances = machine
    plain, tree = WORK / "plain.dtb", WORK / f"{len(nodes)}-nodes.dtb"
    subprocess.run(["qemu-system-riscv64", "-M", f"virt,dumpdtb={plain}", "-smp", "4",
                    "-m", f"{MIB}M", "-display", "none"], check=True, stderr=subprocess.DEVNULL)
    source = subprocess.run(["dtc", "-q", "-O", "dts", plain], check=True,
                            stdout=subprocess.PIPE, text=True).stdout
    size = MIB << 20
    each = size // len(nodes)
    memory = "".join(f"""memory@{start:x} {{ device_type = "memory"; numa-node-id = <{n}>;
        reg = <0 {start:#x} 0 {each:#x}>; }};\n"""
                     for n, start in enumerate(range(0x80000000, 0x80000000 + size, each)))
    matrix = " ".join(f"{a} {b} {d}  {b} {a} {d} " for (a, b), d in distances.items())
    source = re.sub(r"memory@80000000 \{.*?\};", lambda m: memory + f"""distance-map {{
        compatible = "numa-distance-map-v1"; distance-matrix = <{matrix}>; }};""", source,
                    flags=re.DOTALL)
    for n, cpus in enumerate(nodes):
        for cpu in range(int(cpus[0]), int(cpus[-1]) + 1) if cpus else ():
            source = source.replace(f"cpu@{cpu} {{", f"cpu@{cpu} {{ numa-node-id = <{n}>;")
    subprocess.run(["dtc", "-q", "-O", "dtb", "-o", tree, "-"], check=True, input=source, text=True)
    return tree


def distance_rows(machine):
    nodes, distances = machine
    return [" ".join(str(10 if a == b else distances[min(a, b), max(a, b)])
                     for b in range(len(nodes))) for a in range(len(nodes))]


def nodes_described(t, tap):
    lines = shell(t, f"cat {NODES}/online {NODES}/node*/distance; ls -d {NODES}/node*",
                  ["--mem", "512M"])
    tap.equal("one node", lines, ["0", "10", f"{NODES}/node0"])
    for name, machine in {"two": TWO, "four": FOUR}.items():
        count = len(machine[0])
        lines = shell(t, f"cd {NODES}; cat online has_cpu has_memory node*/distance; "
                         "awk '/MemTotal/ {print $2, ($4 > 100000)}' node*/meminfo; "
                         "cat node*/cpulist", numa_words(t, machine), smp=4)
        tap.equal(f"{name} nodes: memory and distances", lines[:-count],
                  [f"0-{count - 1}", "0-1", f"0-{count - 1}", *distance_rows(machine),
                   *[f"{n} 1" for n in range(count)]])
        # The CPU that boots is number 0, and on RISC-V that may be any.
        cpus = [numbers(line) for line in lines[-count:]]
        tap.equal(f"{name} nodes: two CPUs on each that has some", [len(c) for c in cpus],
                  [2 if c else 0 for c in machine[0]])
        tap.equal(f"{name} nodes: each CPU is on one", sorted(sum(cpus, [])), [0, 1, 2, 3])


def numbers(line):
    """[0, 1, 3] of 0-1,3."""
    ends = [part.split("-") for part in line.split(",") if part]
    return [n for part in ends for n in range(int(part[0]), int(part[-1]) + 1)]


FILL = "head -c {0}m /dev/zero >/tmp/{1}"


def numastat(lines):
    """[{name: count}] of each node, from the lines of its file."""
    found = []
    for line in lines:
        name, _, value = line.partition(" ")
        if name == "numa_hit":
            found.append({})
        if found and re.fullmatch(r"\d+", value):
            found[-1][name] = int(value)
    return found


def local_first(t, tap):
    """What runs on node 1 takes node 1's memory; when that is full, the nearest other node's."""
    script = f"cat {NODES}/node*/numastat; cpu=$(tr -c 0-9 '\\n' <{NODES}/node1/cpulist | " \
             "head -n 1); mask=$(printf %x $((1 << cpu))); " \
             f"taskset $mask sh -c '{FILL.format(40, 'a')}'; " \
             f"cat {NODES}/node*/numastat; mount -o remount,size=500m /tmp; " \
             f"taskset $mask sh -c '{FILL.format(120, 'b')}'; cat {NODES}/node*/numastat"
    stats = numastat(shell(t, script, numa_words(t, FOUR), smp=4, timeout=120))
    if len(stats) != 12:
        tap.result("counters of four nodes", False, stats)
        return
    before, local, full = stats[0:4], stats[4:8], stats[8:12]
    grown = [after["numa_hit"] - was["numa_hit"] for was, after in zip(before, local)]
    tap.result("40 MiB come from the CPU's own node", grown[1] >= 10240 and grown[0] < 1000
               and all(node["numa_miss"] == 0 for node in local), (before, local))
    missed = [after["numa_miss"] - was["numa_miss"] for was, after in zip(local, full)]
    tap.result("what is more comes from the nearest node", missed[3] > 5000
               and missed[0] == missed[1] == missed[2] == 0
               and full[1]["numa_foreign"] == sum(missed), (local, full))


def little_is_used(t, tap):
    lines = shell(t, "awk '/MemFree/ {print $2}' /proc/meminfo", ["--mem", "64M"], smp=1)
    tap.result("64 MiB: 56 are free", lines[-1].isdigit() and int(lines[-1]) >= 56 * 1024, lines)


def policies(t, tap):
    """The program of memory policies, on machines with several nodes."""
    numa = program(t.arch, "musl", [HERE / "programs/numa.c"])
    for name, machine in {"two": TWO, "four": FOUR}.items():
        for smp in (4,):
            p = t.run(["/bin/numa", "full"],
                      [*numa_words(t, machine), "--add", f"{numa}:/bin/numa"], smp=smp,
                      timeout=200)
            report_program(tap, f"{name} nodes", p.returncode, p.stdout.decode(errors="replace"))


def watermarks(t, tap):
    """Reclaim between the low and the high watermark, with 64 MiB."""
    reclaim = program(t.arch, "musl", [HERE / "programs/reclaim.c"])
    for smp in (1, 4):
        p = t.run(["/bin/reclaim"], ["--mem", "64M", "--add", f"{reclaim}:/bin/reclaim"], smp=smp)
        report_program(tap, f"{smp} CPU(s)", p.returncode, p.stdout.decode(errors="replace"))


RAM_AT = {"x86_64": 0, "aarch64": 0x40000000, "riscv64": 0x80000000}


def hostile_maps(t, tap):
    """A firmware map with forty more ranges: unsorted, overlapping, empty, and round the end."""
    base = RAM_AT[t.arch] + (128 << 20)
    ranges = [f"96K${base + i * 7 % 40 * 0x10000:#x}" for i in range(40)]
    ranges += [f"0K${base:#x}", "64K$0xffffffffffff8000", f"1M@{base:#x}", f"64M@{base:#x}",
               "1G@0x100000000000000"]  # which no CPU reaches
    totals = []
    for words in ("", " memmap=" + ",".join(ranges), " memmap=magic"):
        lines = shell(t, "awk '/^MemTotal/ {print $2}' /proc/meminfo; grep -c Reserved /proc/iomem; "
                         "dmesg | grep -c 'memmap=: what is magic'; echo $((6*7))",
                      ["--mem", "512M", "--append", "quiet=0" + words])
        totals.append(lines)
    numbers_ok = all(len(lines) == 4 and lines[3] == "42" for lines in totals)
    tap.result("boots whatever the map", numbers_ok, totals)
    if not numbers_ok:
        return
    lost = int(totals[0][0]) - int(totals[1][0])
    tap.result("what is reserved is no memory, once", 2592 <= lost <= 2592 + 64, totals)
    tap.equal("memmap=magic: one clear line", [totals[2][2], totals[2][0]], ["1", totals[0][0]])


def walks(t, tap):
    lines = shell(t, f"echo dump_pt 0x400000 >{MEMORY}; cat {MEMORY}; "
                     f"echo dump_pt 0x1000 >{MEMORY}; tail -n 1 {MEMORY}; "
                     f"echo mem >{MEMORY}; grep -c '^free' {MEMORY}; "
                     f"echo magic 2>/dev/null >{MEMORY} || echo refused; cat {MEMORY} | head -n 1")
    steps = [line for line in lines[1:-4] if re.match(r"level \d: table 0x\w+000 entry", line)]
    levels = [int(step[6]) for step in steps]
    tap.result("the walk, level by level", lines[0] == "0x400000:" and len(steps) >= 2 and
               levels == list(range(levels[0], levels[-1] - 1, -1)) and
               all(re.search(r": table 0x\w+000$", step) for step in steps[:-1]) and
               re.search(r": (page 0x\w+000 present.* user|nothing)", steps[-1]), lines)
    tap.equal("nothing at 0x1000; figures; refused", [lines[-4].split()[-1], *lines[-3:]],
              ["nothing", "1", "refused", "frame allocator: buddy"])


def purging(t, tap):
    """Memory that may be purged, on a machine that is full."""
    purge = program(t.arch, "musl", [HERE / "programs/purge.c"])
    p = t.run(["/bin/purge"], ["--mem", "64M", "--add", f"{purge}:/bin/purge"], timeout=120)
    report_program(tap, "64 MiB", p.returncode, p.stdout.decode(errors="replace"))


AUDIT = "while grep -q mapmodel /proc/[0-9]*/comm; do sleep 1; done 2>/dev/null; sleep 1; " \
        "awk '/^(MemFree|AnonPages|Cached|Slab|KernelStack|PageTables|Committed_AS):/ " \
        "{print \"=\", $1, $2}' /proc/meminfo; true; "
KEPT_ROOTS = 32 * 4  # KiB of page tables that wait for the next process and are on no account


def audits(lines):
    """[{name: KiB}] of each AUDIT."""
    found = []
    for line in lines:
        mark, name, value = (line.split() + ["", "", ""])[:3]
        if mark == "=":
            if name == "MemFree:":
                found.append({})
            found[-1][name[:-1]] = int(value)
    return found


def model(t, tap):
    """Address spaces against a model, one thread and four, while somebody takes all memory; afterwards
    every frame is accounted for."""
    binary = program(t.arch, "musl", [HERE / "programs/mapmodel.c"])
    # Only who takes it all is ended for it.
    script = "echo -1000 >/proc/$$/oom_score_adj; mapmodel 2 4000 hog >/dev/null; " \
             f"{AUDIT} mapmodel 1 {MODEL_STEPS} hog; mapmodel 4 {MODEL_STEPS} hog; {AUDIT}"
    lines = shell(t, script, ["--mem", "64M", "--add", f"{binary}:/bin/mapmodel"], timeout=600)
    for line in lines:
        if line.startswith(("ok ", "not ok ")):
            tap.result(f"model: {line.partition('ok ')[2]}", line.startswith("ok"), lines)
    found = audits(lines)
    if len(found) != 2:
        tap.result("model: the audit", False, lines)
        return
    before, after = found
    promised = before.pop("Committed_AS"), after.pop("Committed_AS")
    tap.equal("model: all promises are back", promised[1], promised[0])
    tap.result("model: all pages are back", abs(after["AnonPages"] - before["AnonPages"]) <= 32
               and after["Cached"] == before["Cached"], found)
    lost = sum(before.values()) - sum(after.values())
    tap.result("model: every frame is accounted for", abs(lost) <= KEPT_ROOTS, f"{lost} KiB: {found}")


MODEL_STEPS = 100000

CASES = (allocators, heaps, heap_debug, random_bases, little_is_used, purging, model,
         nodes_described, local_first, policies, watermarks, hostile_maps, walks)


def run(target, tap, group):
    names = tap.matching(group, [case.__name__ for case in CASES])
    for case in CASES:
        if case.__name__ in names:
            case(target, tap)
