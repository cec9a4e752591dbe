"""Machines of other sizes and kinds, and bad input to the boot."""

import gzip
import tempfile

from harness import ROOT, WORK
from tern import build, initramfs
from tern.cpio import Archive
from tern.userland import program

HELLO = ["sh", "-c", "echo $((6*7)); grep -c ^processor /proc/cpuinfo; exit 7"]
# Work on all CPUs at once, with a result that is known.
WORK_HARD = ["sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do "
             "(seq 1 2000 | awk '{s += $1} END {print s}') & done | sort | uniq -c"]

OTHER_MACHINES = {
    "x86_64": {"qemu64": ["--cpu", "qemu64"], 
               "without x2apic and 1G pages": ["--cpu", "max,-x2apic,-pdpe1gb"],
               "five levels of tables": ["--cpu", "max,+la57"],
               "i440fx": ["--machine", "pc"]},
    "aarch64": {"GICv2": ["--machine", "virt,gic-version=2"],
                "GICv3": ["--machine", "virt,gic-version=3"],
                "EL2, smc": ["--machine", "virt,virtualization=on"],
                "cortex-a53": ["--cpu", "cortex-a53"], "cortex-a72": ["--cpu", "cortex-a72"],
                "cortex-a76": ["--cpu", "cortex-a76"]},
    "riscv64": {"without Sstc": ["--cpu", "rv64,sstc=off"],
                "with svpbmt and svnapot": ["--cpu", "rv64,svpbmt=on,svnapot=on,svinval=on"],
                "sifive-u54": ["--cpu", "sifive-u54"]},
}


def sizes(t, tap):
    for smp in (1, 2, 3, 8):
        p = t.run(HELLO, smp=smp)
        tap.equal(f"{smp} CPUs", (p.stdout, p.returncode), (b"42\n%d\n" % smp, 7))
        p = t.run(WORK_HARD, smp=smp)
        tap.equal(f"{smp} CPUs at work", p.stdout.split(), [b"12", b"2001000"])
    for mem in ("64M", "128M", "2G", "5G"):
        p = t.run(HELLO, ["--mem", mem])
        tap.equal(f"{mem} of memory", (p.stdout, p.returncode), (b"42\n%d\n" % t.smp, 7))


def much_to_free(t, tap):
    """Each of eight CPUs leaves files behind to be freed later."""
    deferred = program(t.arch, "musl", [ROOT / "tests/guest/programs/deferred.c"])
    p = t.run(["/bin/deferred"], ["--add", f"{deferred}:/bin/deferred"], smp=8)
    tap.result("8 CPUs with much to free later", p.returncode == 0 and b"\nnot ok" not in p.stdout,
               f"{p.returncode}\n{p.stdout.decode()[-600:]}\n{p.stderr[-600:]}")


def kinds(t, tap):
    for name, options in OTHER_MACHINES[t.arch].items():
        p = t.run(HELLO, options)
        tap.equal(name, (p.stdout, p.returncode), (b"42\n%d\n" % t.smp, 7))


# Options, levels of tables, bits of the highest address a program can have.
LEVELS = {
    "x86_64": {"four levels": ([], 4, 47),
               "five levels": (["--append", "paging=la57"], 5, 56),
               "five levels asked of a CPU without": (["--cpu", "max,-la57", "--append",
                                                       "paging=la57"], 4, 47)},
    "aarch64": {"four levels": ([], 4, 48)},
    "riscv64": {"Sv39": (["--append", "paging=sv39"], 3, 38),
                "Sv48": (["--append", "paging=sv48"], 4, 47),
                "Sv57": (["--append", "paging=sv57"], 5, 56)},
}


def levels(t, tap):
    """Each depth of the page tables; what lies above 47 bits a program gets only where it asks."""
    program_file = program(t.arch, "musl", [ROOT / "tests/guest/programs/addresses.c"])
    for name, (options, count, bits) in LEVELS[t.arch].items():
        p = t.run(["/bin/addresses", str(bits)],
                  [*options, "--add", f"{program_file}:/bin/addresses", "-v"])
        said = (p.stdout + p.stderr).decode(errors="replace")
        tap.result(f"{name}: {count} levels, {bits} bits",
                   p.returncode == 0 and f" {count} levels of tables" in said
                   and "not ok" not in said, f"{p.returncode}\n{said[-1500:]}")


def small_memory(t, tap):
    """tmpfs to the brim, then a program that takes all there is, three times."""
    taker = program(t.arch, "musl", [ROOT / "tests/guest/programs/exhaust.c"])
    p = t.run(["sh", "-c", "head -c 200000000 /dev/zero >/tmp/f; echo $?; rm /tmp/f; "
               "/bin/exhaust && echo fine; seq 1 100 | tail -n 1"],
              ["--mem", "64M", "--add", f"{taker}:/bin/exhaust"], timeout=120)
    lines = p.stdout.decode(errors="replace").splitlines()
    tap.result("64 MiB filled to the brim: the machine goes on", p.returncode == 0
               and "1" in lines and lines[-2:] == ["fine", "100"]
               and not any(line.startswith("not ok") for line in lines),
               f"{p.returncode}\n{p.stdout.decode()[-1500:]}\n{p.stderr[-600:]}")


def out_of_memory(t, tap):
    """64 MiB and many programs that want all of it; most results are the program's own."""
    stress = program(t.arch, "musl", [ROOT / "tests/guest/programs/oomstress.c"])
    for smp, seconds in ((1, 5), (4, 10)):
        p = t.run(["/bin/oomstress", str(seconds)],
                  ["--mem", "64M", "--add", f"{stress}:/bin/oomstress", "-v"], smp=smp, timeout=250)
        lines = (p.stdout + p.stderr).decode(errors="replace").splitlines()
        for line in lines:
            if line.startswith(("ok ", "not ok ")):
                what, _, why = line.partition(" # ")
                tap.result(f"{smp} CPU(s): {what.partition('ok ')[2]}", line.startswith("ok "), why)
        tap.result(f"{smp} CPU(s): 64 MiB at the edge ends well", p.returncode == 0,
                   "\n".join(lines[-60:]))
        reports = [line for line in lines if "oom: process" in line and "needs a frame" in line]
        kills = [line for line in lines if "out of memory: killed process" in line]
        tap.result(f"{smp} CPU(s): each kill has its line, and there is a report",
                   reports and len(kills) >= 5, f"{len(reports)} reports, {len(kills)} kills")
        helpless = [line for line in kills if "which found none" in line]
        tap.result(f"{smp} CPU(s): nobody gave up", not helpless, "\n".join(helpless))


def archive_of(t, preset):
    init = build.BUILD / build.preset_for(t.arch, preset) / "user" / "init"
    return initramfs.base(t.arch, init, [], t.busybox(), []).read_bytes() \
        + initramfs.program(["sh", "-c", "echo up; exit 3"], False)


def boot_with(t, data, **changes):
    with tempfile.NamedTemporaryFile(dir=WORK) as file:
        file.write(data)
        file.flush()
        return t.run(["unused"], ["--initramfs", file.name], **{"timeout": 30, **changes})


def ends_readably(tap, name, p, words):
    """The kernel says what is wrong and stops; it does not hang."""
    said = p.stderr.decode(errors="replace").lower()
    tap.result(name, p.returncode == 125 and any(word in said for word in words),
               f"status {p.returncode}\n{p.stdout[-300:]}\n{said[-1500:]}")


def bad_initramfs(t, tap):
    good = archive_of(t, t.preset)
    p = boot_with(t, good)
    tap.equal("a whole initramfs boots", (p.stdout, p.returncode), (b"up\n", 3))
    p = t.run(["unused"], ["--initramfs", "none"], timeout=30)
    ends_readably(tap, "no initramfs", p, ["initramfs", "no program 1", "init"])
    damaged = {
        "garbage": bytes(range(256)) * 64,
        "zeroes": bytes(65536),
        "one byte": b"0",
        "cut off in a header": good[:60],
        "cut off before the first file": good[:700],
        "cut off in a file": good[:len(good) // 2],
        "a huge file": patch_field(good, 6, "ffffffff"),
        "a huge name": patch_field(good, 11, "ffffffff"),
        "no hexadecimal": patch_field(good, 6, "zzzzzzzz"),
        "compressed": gzip.compress(good[:100000]),
        "no init": only_files({"etc/passwd": b"root"}),
        "an empty init": only_files({"init": b""}),
        "an init that is no program": only_files({"init": b"\x7fELF" + b"\xff" * 200}),
        "names that climb": only_files({"../../init": b"x", "a/../../b": b"y"}),
    }
    for name, data in damaged.items():
        p = boot_with(t, data)
        good_end = p.returncode in (125, 3, 126, 127)
        tap.result(f"initramfs: {name}", good_end and (p.returncode == 3 or p.stderr.strip()),
                   f"status {p.returncode}\n{p.stderr.decode(errors='replace')[-1200:]}")
    p = boot_with(t, bytes(512) + good)
    tap.equal("zeroes before an archive", (p.stdout, p.returncode), (b"up\n", 3))


def patch_field(archive, field, digits):
    at = 6 + 8 * field
    return archive[:at] + digits.encode() + archive[at + 8:]


def only_files(files):
    archive = Archive()
    for name, data in files.items():
        archive.entries[name] = (0o100755, data, (0, 0))
    return archive.bytes()


def init_that_ends(t, tap):
    """Program 1 is a script that ends: there is nothing left to run."""
    from tern import packages
    archive = Archive()
    archive.file("bin/busybox", packages.busybox(t.arch).read_bytes(), 0o755)
    archive.symlink("bin/sh", "busybox")
    archive.file("init", "#!/bin/sh\nexit 5\n", 0o755)
    p = boot_with(t, archive.bytes())
    ends_readably(tap, "program 1 ends", p, ["init", "program 1"])


def odd_command_lines(t, tap):
    for name, words in {"very long": "x=" + "y" * 1500, "quotes": 'a="b c" d="', "odd": "= == ,"}.items():
        p = t.run(HELLO, ["--append", words])
        tap.equal(f"command line: {name}", (p.stdout, p.returncode), (b"42\n%d\n" % t.smp, 7))


BOOT_CASES = (sizes, bad_initramfs, init_that_ends, odd_command_lines)
# Nothing that a boot method could change: with the direct boot only.
OTHER_CASES = (kinds, levels, much_to_free, small_memory, out_of_memory)


def run(target, tap, group):
    WORK.mkdir(parents=True, exist_ok=True)
    cases = (*BOOT_CASES, *(OTHER_CASES if target.boot == "direct" else ()))
    names = tap.matching(group, [case.__name__ for case in cases])
    for case in cases:
        if case.__name__ in names:
            case(target, tap)
