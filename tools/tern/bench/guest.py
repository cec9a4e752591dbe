"""The two kernels under test: each boots in the same machine, runs one shell script, and is heard.

Both get the same initramfs, made by initramfs.py: BusyBox, the benchmark program, and the program 1
of Tern, which uses no more than Linux has. Linux is Debian's stock kernel with its defaults.
"""

import re
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from tern import build, initramfs, packages, qemu, run, userland
from tern.bench import turns
from tern.common import BUILD, ROOT

SOURCES = ROOT / "tests" / "bench"
CONSOLE = {"x86_64": "ttyS0", "aarch64": "ttyAMA0", "riscv64": "ttyS0"}
LINE = re.compile(r"^bench (\S+) (failed .+|[\d.]+ ns)\r?$", re.MULTILINE)
RECORD = re.compile(r"\033_tern:.*?\033\\", re.DOTALL)  # see console.py
END = "bench-end"
# Linux goes on with its boot in the background (it tests its ciphers): both get time to finish.
# Addresses are not random, on either: they decide how many tables and pages a program has. Linux has huge
# pages off on machines of less than 512 MiB.
SETTLE = "echo 0 >/proc/sys/kernel/randomize_va_space; " \
         "echo always >/sys/kernel/mm/transparent_hugepage/enabled; sleep 5"
MEMORY = "512M"


class Settings(NamedTuple):
    """How to boot: what both kernels have in common."""
    arch: str
    smp: int = 1
    icount: bool = True
    mem: str = MEMORY
    timeout: float = 240
    emulator: tuple = ()  # more words for the emulator
    append: str = ""  # to the kernel's command line
    flavour: str = "musl"  # of the benchmark program
    turns: bool = False  # several CPUs, counted: see turns.py


class Heard(NamedTuple):
    output: str
    complete: bool
    why: str  # it is not complete


def program(arch, flavour="musl"):
    """The benchmark program for one architecture."""
    return userland.program(arch, flavour, sorted(SOURCES.glob("*.c")), name="bench")


def listen(words, timeout):
    """Runs the emulator to its end; what the console said."""
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, preexec_fn=run.die_with_parent)
    try:
        output, _ = process.communicate(timeout=timeout)
        why = "the machine stopped"
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        why = f"no answer within {timeout:g} s"
    finally:
        run.stop(process)
    text = output.decode(errors="replace").replace("\r", "")
    return Heard(RECORD.sub("", text), END in text, why_stopped(text) or why)


def why_stopped(text):
    """The line in which a kernel says that it gives up."""
    for pattern in (r"tern:panic:(.+?)\033", r"(Kernel panic - .+)"):
        found = re.search(pattern, text)
        if found:
            return found[1].strip()
    return ""


class Kernel:
    """What Tern and Linux do alike; `init` is Tern's program 1 for both."""

    def __init__(self, arch, preset=None):
        self.arch = arch
        self.folder = build.build(build.preset_for(arch, preset))
        self.init = self.folder / "user" / "init"

    def archive(self, script, additions, target):
        return initramfs.make(self.arch, self.init, additions,
                              script and ["/bin/sh", "-c", f"{script}\necho {END}"], False, target)

    def words(self, settings, archive, workspace):
        """The emulator's command line."""
        machine = qemu.Machine(self.arch, self.image, archive,
                               " ".join(filter(None, (self.cmdline, settings.append, settings.turns
                                                      and turns.append(self.key, self.arch)))),
                               settings.smp * (2 if settings.turns else 1),
                               settings.mem, icount=settings.icount)
        return [*qemu.command(machine, workspace, ["-serial", "stdio", "-monitor", "none"]),
                *(turns.words(self.arch, settings.smp, settings.mem, workspace) if settings.turns else ()),
                *settings.emulator]

    def run(self, settings, script, additions=()):
        """Boots and runs a script of BusyBox' shell as the one program."""
        BUILD.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="bench-", dir=BUILD) as folder:
            workspace = Path(folder)
            archive = self.archive(script, [(program(self.arch, settings.flavour),
                                             "/bin/bench"), *additions],
                                   workspace / "initramfs.cpio")
            return listen(self.words(settings, archive, workspace), settings.timeout)


class Tern(Kernel):
    key, name = "tern", "Tern"
    # Framed: bytes pass unchanged, and a panic can be told from what the program says.
    cmdline = "exit=emulator console=framed quiet"

    def __init__(self, arch, preset=None):
        super().__init__(arch, preset)
        self.image = self.folder
        self.version = preset or "release"


class Linux(Kernel):
    key, name = "linux", "Linux"

    def __init__(self, arch):
        super().__init__(arch)
        self.image, self.version = packages.linux(arch)
        self.cmdline = f"console={CONSOLE[arch]} quiet panic=-1"


def operations(kernel, settings, names, runs=1):
    """({name: [values]}, {name: why not}) of the benchmark program.

    Each operation has a process of its own, so that it does not matter which ran before. One at
    which the machine stops or hangs is left out of the next attempt."""
    values, reasons, left = {}, {}, list(names)
    while left and len(reasons) <= 3:
        loop = " ".join(str(i) for i in range(runs))
        heard = kernel.run(settings, f"{SETTLE}; for i in {loop}; do for name in {' '.join(left)}; "
                                     "do /bin/bench $name; done; done")
        for name, result in LINE.findall(heard.output):
            if result.startswith("failed "):
                reasons[name] = result.removeprefix("failed ")
            else:
                values.setdefault(name, []).append(float(result.split()[0]))
        missing = [name for name in left if name not in values and name not in reasons]
        if not missing:
            break
        reasons[missing[0]] = heard.why if not heard.complete else "the program gave no figure"
        left = missing[1:]
    for name in left:
        if name not in values:
            reasons.setdefault(name, "not tried: too many before it stopped the machine")
    return values, reasons
