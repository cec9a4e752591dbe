"""Figures of the whole system: the boot, the kernel's size, the memory that it takes.

The boot is watched from outside by counter.c: the first instruction of the kernel (at its physical
address, as the firmware leaves it), the first of program 1, and the first of a program that the
login shell starts at the end of its profile, just before its prompt. Instructions are counted with
-icount, seconds taken without it and without counting. The same for both kernels. On x86_64 Debian's
image unpacks itself (xz), which is most of its instructions: so there is a figure without that too.
"""

import re
import statistics
import tempfile
from pathlib import Path

from tern import build
from tern.bench import guest, profile
from tern.common import BUILD, Failure, say
from tern.elf import PT_LOAD, Elf

PROMPT = guest.SOURCES / "prompt.sh"
BOOTS = 3  # timed ones
LINUX_ENTRY = {"x86_64": 0x100000, "aarch64": 0x40200000, "riscv64": 0x80200000}
PVH_ENTRY = "pvh_entry"
# (name, what it is, unit) of the figures, in their order
FIGURES = (
    ("boot_user", "kernel entry to the first instruction of program 1", "instructions"),
    ("boot_unpacked", "the same by Linux' log, whose clock starts after unpacking", "instructions"),
    ("boot_prompt", "kernel entry to the prompt of a login shell", "instructions"),
    ("boot_user_s", "kernel entry to the first instruction of program 1", "seconds"),
    ("boot_prompt_s", "kernel entry to the prompt of a login shell", "seconds"),
    ("image", "kernel image as loaded, Linux' compressed on x86_64", "KiB"),
    ("in_memory", "kernel in memory: code and data", "KiB"),
    ("used", "memory in use at the prompt: MemTotal - MemFree", "KiB"),
    ("gone", "memory not free at the prompt: all of the machine's - MemFree", "KiB"),
    ("least", "smallest memory that boots to the prompt", "MiB"),
)
SMALLEST, LARGEST, STEP = 4, 256, {"tern": 1, "linux": 4}  # MiB


def entry(kernel):
    """The physical address of the kernel's first instruction."""
    if kernel.arch != "x86_64" or kernel.key == "linux":
        return LINUX_ENTRY[kernel.arch]
    elf = Elf((kernel.folder / "tern.elf").read_bytes())
    virtual = next(s.value for s in elf.symbols() if s.name == PVH_ENTRY)
    segment = next(s for s in elf.segments if s.kind == PT_LOAD)
    return virtual - segment.address + segment.physical


def first_instructions(kernel):
    """{address: what counter.c is to watch for}: of the kernel, of program 1, and of the program
    that stands for the prompt. Linux runs other programs before program 1 (it asks for modules):
    so the bytes have to be those of ours, too."""
    found = {entry(kernel): f"at={entry(kernel):#x}"}
    for path in (kernel.init, guest.program(kernel.arch, "fixed")):
        elf = Elf(path.read_bytes())
        first = int.from_bytes(elf.at(elf.entry, 8), "little")
        found[elf.entry] = f"at={elf.entry:#x}:{first:#x}"
    if len(found) != 3:
        raise Failure("two of the programs start at one address")
    return found


def to_prompt(kernel, mem=guest.MEMORY, icount=False, emulator=(), timeout=120):
    settings = guest.Settings(kernel.arch, icount=icount, mem=mem, flavour="fixed",
                              timeout=timeout, emulator=tuple(emulator))
    return kernel.run(settings, None, [(PROMPT, "/root/.profile")])


def watch(kernel, icount):
    """([(instructions, nanoseconds) since the kernel's entry], what the console said)"""
    addresses = first_instructions(kernel)
    with tempfile.TemporaryDirectory(prefix="system-", dir=BUILD) as folder:
        out = Path(folder) / "marks"
        heard = to_prompt(kernel, icount=icount, emulator=profile.words(
            out, *addresses.values(), *(["count=on"] if icount else [])))
        if not heard.complete:
            raise Failure(f"{kernel.name} did not come to a prompt: {heard.why}")
        reached = {int(a, 16): (int(count), int(ns)) for a, count, ns
                   in re.findall(r"^at (\S+) (\d+) (\d+)$", out.read_text(), re.MULTILINE)}
    if len(reached) != len(addresses):
        raise Failure(f"{kernel.name} on {kernel.arch}: only {len(reached)} of the "
                      f"{len(addresses)} points of the boot were seen")
    start, *others = (reached[a] for a in addresses)
    return [(count - start[0], ns - start[1]) for count, ns in others], heard.output


def image_size(kernel):
    """What is loaded of the file, in bytes."""
    if kernel.key == "linux":
        return kernel.image.stat().st_size
    elf = Elf((kernel.folder / "tern.elf").read_bytes())
    return sum(s.file_size for s in elf.segments if s.kind == PT_LOAD)


def memory_size(kernel, output):
    """Code and data in memory, in KiB; Linux tells in its log."""
    if kernel.key == "tern":
        return sum(build.sizes(kernel.folder / "tern.elf").values()) // 1024
    said = re.search(r"Memory: .*available \((.*)\)", output)
    return sum(int(size) for size in
               re.findall(r"(\d+)K (?:kernel code|rwdata|rodata|init|bss)", said[1])) if said else None


def without_unpacking(kernel, output, counted):
    """Linux' log begins when it has unpacked itself; counted, its clock is in instructions."""
    said = re.search(r"\[ *(\d+)\.(\d{6})\] Run /init", output)
    return counted if kernel.key == "tern" else int(said[1] + said[2]) * 1000 if said else None


def measure(kernel, results):
    """Puts the figures of one kernel into results["system"]."""
    figures = results.setdefault("system", {}).setdefault(kernel.key, {})
    counted, output = watch(kernel, icount=True)
    timed = [watch(kernel, icount=False)[0] for _ in range(BOOTS)]
    for i, name in enumerate(("boot_user", "boot_prompt")):
        figures[name] = counted[i][0]
        figures[f"{name}_s"] = statistics.median(run[i][1] for run in timed) / 1e9
    figures["boot_unpacked"] = without_unpacking(kernel, output, counted[0][0])
    meminfo = {key: int(size) for key, size in
               re.findall(r"^(Mem\w+): +(\d+) kB", output, re.MULTILINE)}
    figures["image"] = image_size(kernel) // 1024
    figures["in_memory"] = memory_size(kernel, output)
    figures["used"] = meminfo["MemTotal"] - meminfo["MemFree"]
    figures["gone"] = int(guest.MEMORY[:-1]) * 1024 - meminfo["MemFree"]
    say(f"{kernel.arch}: {kernel.name}: the boot, {1 + BOOTS} times")


def least_memory(kernel, results):
    """Bisects for the smallest memory with which the shell's prompt is reached."""
    step = STEP[kernel.key]
    fails, works = SMALLEST // step - 1, LARGEST // step
    while works - fails > 1:
        middle = (works + fails) // 2
        good = to_prompt(kernel, f"{middle * step}M", timeout=45).complete
        fails, works = (fails, middle) if good else (middle, works)
    results.setdefault("system", {}).setdefault(kernel.key, {})["least"] = works * step
    say(f"{kernel.arch}: {kernel.name} needs {works * step} MiB")
